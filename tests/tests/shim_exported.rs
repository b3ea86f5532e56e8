//! The preload library in the environment of a whole session: each program is wrapped exactly once, and does what it
//! does natively.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vmmload_tests::packages::program;
use vmmload_tests::preload::Preload;
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Program, Session, machine, packages, vmmload};

/// A script of bash, which begins preloaded itself.
fn script(text: &str) -> Program {
    Program::new(packages::bash())
        .args(["-c", text])
        .arranged("env=PATH=/usr/bin:/bin")
        .arranged("env=LC_ALL=C")
        .limit(Duration::from_secs(120))
}

/// Runs the script natively and preloaded, each time in a new directory of the same name.
#[track_caller]
fn same(text: &str, prepare: impl Fn(&Scratch)) -> String {
    let preload = Preload::new();
    let work = preload.directory().path().join("work");
    // Emptied by the script: both runs say the same about where they are.
    let text = format!(
        "cd {}; rm -rf run; mkdir run; cp -r source/. run; cd run\n{text}",
        work.display()
    );
    std::fs::create_dir_all(work.join("source")).expect("a fresh directory can be filled");
    let source = Scratch::new();
    prepare(&source);
    for file in std::fs::read_dir(source.path())
        .expect("it was made just now")
        .flatten()
    {
        std::fs::copy(file.path(), work.join("source").join(file.file_name()))
            .expect("a file can be copied");
    }
    let outcome = preload.compare(&script(&text));
    outcome.assert_success(&text);
    outcome.text()
}

#[test]
fn small_project_is_built_to_the_same_bytes() {
    let _ = (program("/usr/bin/make", "make"), packages::c_compiler());
    let prepare = |source: &Scratch| {
        let makefile =
            "prog: main.o sum.o\n\tcc -o $@ $^\n%.o: %.c sum.h\n\tcc -O2 -g -Wall -c -o $@ $<\n";
        let main = "#include <stdio.h>\n#include \"sum.h\"\n\
                    int main(void) { int unused; printf(\"%d\\n\", sum(40, 2)); return 0; }\n";
        for (name, text) in [
            ("Makefile", makefile),
            ("main.c", main),
            (
                "sum.c",
                "#include \"sum.h\"\nint sum(int a, int b) { return a + b; }\n",
            ),
            ("sum.h", "int sum(int a, int b);\n"),
        ] {
            let _ = source.file(name, text, 0o644);
        }
    };
    // The compiler's warning is compared, too.
    let text = same(
        "make -j2 --output-sync >log; sort log; ./prog; sha256sum prog *.o",
        prepare,
    );
    assert!(text.contains("\n42\n"), "{text}");
}

#[test]
fn shells_pipes_jobs_and_interpreters_do_what_they_do_natively() {
    let _ = (packages::python(), program("/usr/bin/perl", "perl"));
    let text = same(
        "seq 1000 | sort -rn | head -3; (exit 3); echo $?\n\
         x=$(echo $(echo nested)); echo $x; true & wait $!; echo $?\n\
         python3 -c 'import subprocess as s; print(s.run([\"echo\", \"by python\"], capture_output=True))\n\
         print(s.run([\"sh\", \"-c\", \"kill $$\"]))'\n\
         perl -e 'print `echo by perl`; system \"false\"; print $? >> 8, \"\\n\"; exec \"echo\", \"replaced\"'",
        |_| {},
    );
    assert!(text.ends_with("replaced\n"), "{text}");
}

#[test]
fn tools_with_helpers_of_their_own_work() {
    let _ = (
        program("/usr/bin/git", "git"),
        program("/usr/bin/sqlite3", "sqlite3"),
    );
    let _ = program("/usr/lib/p7zip/7z", "p7zip-full");
    let text = same(
        "export HOME=$PWD GIT_AUTHOR_DATE='2000-01-01 00:00 +0000' GIT_COMMITTER_DATE='2000-01-01 00:00 +0000'\n\
         git config --global user.name x; git config --global user.email x@y\n\
         /usr/bin/git init -q -b main; seq 100 >f; /usr/bin/git add f; /usr/bin/git commit -q -m one\n\
         /usr/bin/git log --stat; /usr/bin/git fsck\n\
         sqlite3 db 'create table t(a); insert into t values (1), (2); select sum(a) from t'\n\
         7z a -bso0 -bsp0 -mmt2 a.7z f; 7z e -so a.7z | sha256sum",
        |_| {},
    );
    assert!(
        text.contains("f | 100 ++") && text.contains("\n3\n"),
        "{text}"
    );
}

/// Processes that have a VM, and how many.
fn machines(pid: &str) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let links = descriptors.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    links
        .filter(|link| link == Path::new("anon_inode:kvm-vm"))
        .count()
}

#[test]
fn each_process_of_a_session_is_wrapped_exactly_once() {
    if !machine::can_run_inside() {
        return;
    }
    let preload = Preload::real();
    let text = "sleep 100 & echo $$ $!; bash -c 'sleep 100 & echo $$ $!; wait' & wait";
    let program = Program::new(packages::bash())
        .args(["-c", text])
        .arranged(format!("env=LD_PRELOAD={}", preload.library().display()))
        .arranged("env=PATH=/usr/bin:/bin");
    let mut session = Session::start(program.native_command());
    let lines = [session.line(), session.line()].join(" ");
    let pids: BTreeSet<&str> = lines.split(' ').collect();
    assert_eq!(pids.len(), 4, "{lines}");
    let tree = || {
        let output = Command::new(vmmload())
            .args(["ls", "--tree", "--format", "json"])
            .output();
        String::from_utf8(output.expect("vmmload can be started").stdout).expect("JSON is text")
    };
    let shown = |tree: &str, pid: &str| tree.matches(&format!("\"pid\":{pid},")).count();
    // The last of them may still be starting.
    let deadline = std::time::Instant::now() + machine::patience(Duration::from_secs(10));
    let mut found = tree();
    while !pids.iter().all(|pid| shown(&found, pid) > 0) {
        assert!(std::time::Instant::now() < deadline, "{lines}: {found}");
        std::thread::sleep(Duration::from_millis(20));
        found = tree();
    }
    for pid in &pids {
        assert_eq!(shown(&found, pid), 1, "{found}");
        assert_eq!(machines(pid), 1, "VMs of {pid}");
    }
    // One session: the shell handed itself over, and what it starts is wrapped as its children are.
    let of_first = format!("\"session\":{},", session.pid());
    assert_eq!(found.matches(&of_first).count(), 4, "{found}");
    session.signal(libc::SIGKILL);
}

#[test]
fn library_costs_a_wrapped_program_one_question_and_its_loading() {
    if !machine::can_run_inside() {
        return;
    }
    let preload = Preload::real();
    let summary = preload.summary();
    let calls = |library: Option<&Path>| {
        let mut program =
            Program::new("/bin/true").option(format!("--summary={}", summary.display()));
        if let Some(library) = library {
            program = program.env("LD_PRELOAD", library);
        }
        program.inside().assert_success("true");
        let text = std::fs::read_to_string(&summary).expect("a summary was written");
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("calls "));
        // All calls: how many of them went without an exit is a matter of timing.
        let all = line.expect("it counts calls").split(';').next();
        let numbers = all.unwrap_or_default().split(|c: char| !c.is_ascii_digit());
        numbers
            .filter_map(|number| number.parse::<u64>().ok())
            .sum::<u64>()
    };
    let without = calls(None);
    let with = calls(Some(&preload.library()));
    // openat, read, fstat, mmap of each segment, close, mprotect: as any library. And prctl.
    assert!(
        with > without && with - without <= 10,
        "{with} calls, {without} without"
    );
    let harmless = Preload::new();
    let other = calls(Some(&harmless.library()));
    assert!(
        with <= other + 1,
        "{with} calls, {other} with a library that does nothing"
    );
}

#[test]
fn programs_of_musl_are_handed_over_too() {
    let compiler = program("/usr/bin/musl-gcc", "musl-tools");
    let preload = Preload::new();
    let source = preload.directory().file("musl.c", MUSL, 0o644);
    let path = preload.directory().path().join("musl");
    let output = Command::new(compiler)
        .arg("-o")
        .arg(&path)
        .arg(source)
        .output();
    let output = output.expect("the compiler can be started");
    assert!(output.status.success(), "{output:?}");
    let text = preload.compare(&Program::new(path).args(["a", ""])).text();
    assert!(text.starts_with("3 arguments"), "{text}");
}

const MUSL: &str = r#"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv, char **envp) {
    int at_start = errno;
    printf("%d arguments, errno %d, descriptor %d\n", argc, at_start, open("/dev/null", O_RDONLY));
    for (; *envp; envp++) puts(*envp);
    return 5;
}
"#;

#[test]
fn wrapped_program_that_becomes_native_and_starts_others_is_wrapped_again() {
    if !machine::can_run_inside() {
        return;
    }
    // The program in the middle is without shared libraries, and children are not followed.
    let preload = Preload::real();
    let busybox = packages::busybox();
    let text = format!("{busybox} sh -c '/bin/echo deep'");
    let program = script(&text).arranged("env=VMMLOAD_CHILDREN=native");
    let outcome = preload.preloaded(&preload.preloading(&program));
    assert_eq!(
        (outcome.text(), outcome.messages()),
        ("deep\n".to_owned(), String::new())
    );
    assert!(outcome.status.success());
}
