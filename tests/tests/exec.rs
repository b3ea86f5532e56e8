//! execve and execveat: a wrapped program is replaced by another, which is wrapped, too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vmmload_tests::dump::{Follower, Record, events};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Link, Outcome, Program, Session, machine, packages};

/// The guest that executes `command` after it has arranged `words`.
fn exec(words: &[&str], command: &[&str]) -> Program {
    let program = Guest::new("processes/execs").program();
    program.args(words).arg("--").args(command)
}

/// Compares the failure, which both must report as `error`.
#[track_caller]
fn fails(words: &[&str], path: &str, error: &str) {
    let outcome = exec(words, &[path, "argument"]).compare();
    assert_eq!(outcome.text(), format!("{path}: {error}\n"), "{words:?}");
    assert_eq!(outcome.status.code(), Some(77));
}

fn after_exec() -> String {
    Guest::new("processes/after_exec")
        .path()
        .display()
        .to_string()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn new_program_has_its_names_and_the_same_process() {
    let after = after_exec();
    for words in [
        &[][..],
        &["name=another"],
        &["argv=none"],
        &["argv=null"],
        &["envp=null"],
    ] {
        let text = exec(words, &[&after, "one", "", "two words"])
            .compare_success()
            .text();
        assert!(text.contains("leader 1"), "{text}");
    }
}

#[test]
fn every_kind_of_program_can_be_executed() {
    for link in [Link::NoPie, Link::Static, Link::StaticPie] {
        let after = Guest::new("processes/after_exec").linked(link).path();
        exec(&[], &[&shown(&after)]).compare_success();
    }
}

#[test]
fn paths_that_do_not_lead_to_a_program_fail_as_natively() {
    let scratch = Scratch::new();
    let plain = scratch.file("plain", "#!/bin/sh\n", 0o644);
    let loop_at = scratch.path().join("circle");
    std::os::unix::fs::symlink(&loop_at, &loop_at).expect("the scratch directory is ours");
    fails(&[], "", "No such file or directory");
    fails(&[], "/no/such/program", "No such file or directory");
    fails(&[], "/bin/true/x", "Not a directory");
    fails(&[], "/etc", "Permission denied");
    fails(&[], "/dev/null", "Permission denied");
    fails(&[], &shown(&plain), "Permission denied");
    fails(&[], &shown(&loop_at), "Too many levels of symbolic links");
    fails(&[], &"x".repeat(300), "File name too long");
    fails(&[], &"x/".repeat(2048), "File name too long");
    exec(&["bad-path"], &["x"]).compare_success();
}

#[test]
fn noexec_file_system_is_refused() {
    // /proc has files with execute permission for no one; /dev/shm may be mounted noexec.
    let path = format!("/dev/shm/vmmload-tests-noexec-{}", std::process::id());
    std::fs::copy("/bin/true", &path).expect("/dev/shm can be written");
    let outcome = exec(&[], &[&path]).compare();
    std::fs::remove_file(&path).expect("written above");
    assert!(matches!(outcome.status.code(), Some(0 | 77)));
}

/// The first bytes of an ELF file with the given class and machine.
fn elf(class: u8, machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, 1, 1]);
    bytes[16] = 2; // ET_EXEC
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[20] = 1;
    bytes
}

#[test]
fn files_of_another_format_fail_as_natively() {
    let scratch = Scratch::new();
    let whole = std::fs::read("/bin/true").expect("/bin/true can be read");
    let files = [
        ("empty", vec![]),
        ("text", b"echo no interpreter\n".to_vec()),
        ("only-magic", whole[..4].to_vec()),
        ("half-a-header", whole[..40].to_vec()),
        ("no-headers", elf(2, 62)),
        ("aarch64", elf(2, 183)),
        ("nameless", b"#! \n".to_vec()),
    ];
    for (name, bytes) in files {
        let file = scratch.file(name, bytes, 0o755);
        fails(&[], &shown(&file), "Exec format error");
    }
}

#[test]
fn missing_or_broken_elf_interpreter_fails_as_natively() {
    let scratch = Scratch::new();
    let whole = std::fs::read("/bin/true").expect("/bin/true can be read");
    let loader = b"/lib64/ld-linux-x86-64.so.2";
    let at = whole
        .windows(loader.len())
        .position(|window| window == loader);
    let at = at.expect("/bin/true has an ELF interpreter");
    let with = |name: &str, interpreter: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + loader.len()].fill(0);
        bytes[at..at + interpreter.len()].copy_from_slice(interpreter);
        shown(&scratch.file(name, bytes, 0o755))
    };
    fails(
        &[],
        &with("missing", b"/no/such/loader"),
        "No such file or directory",
    );
    fails(&[], &with("directory", b"/etc"), "Permission denied");
    let broken = "Accessing a corrupted shared library";
    let text = packages::program("/usr/bin/ldd", "libc-bin");
    if text.len() < loader.len() {
        fails(&[], &with("text", text.as_bytes()), broken);
    }
}

#[test]
fn bad_vectors_and_long_ones_fail_as_natively() {
    fails(&["argv=bad"], "/bin/true", "Bad address");
    fails(&["envp=bad"], "/bin/true", "Bad address");
    fails(&["long=131072"], "/bin/true", "Argument list too long");
    exec(&["long=131071"], &["/bin/true", "x"]).compare_success();
    fails(&["many=400000"], "/bin/true", "Argument list too long");
    let small = exec(&["many=20000"], &["/bin/true", "x"]).arranged("limit=3:262144:1048576");
    assert_eq!(
        small.compare().text(),
        "/bin/true: Argument list too long\n"
    );
}

#[test]
fn long_argument_lists_arrive() {
    for count in ["50000", "100000"] {
        let outcome = exec(&[&format!("many={count}")], &["/bin/echo"]).compare_success();
        assert!(outcome.stdout.len() > 200_000);
    }
}

#[test]
fn execveat_takes_directories_descriptors_and_flags() {
    let after = after_exec();
    let (directory, name) = after.rsplit_once('/').expect("an absolute path");
    let scratch = Scratch::new();
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(&after, &link).expect("the scratch directory is ours");
    exec(&[&format!("in={directory}")], &[name, "x"]).compare_success();
    exec(&["descriptor=-1"], &[&after]).compare_success();
    // Through O_PATH and closed on the way, and through one that stays.
    exec(&[&format!("closing-file={after}")], &["", "x"]).compare_success();
    exec(&[&format!("file={after}")], &["", "x"]).compare_success();
    exec(&["flags=0x1000"], &[&after]).compare_success();
    fails(&["descriptor=-1"], "relative", "Bad file descriptor");
    fails(
        &["descriptor=-1", "flags=0x1000"],
        "",
        "Bad file descriptor",
    );
    fails(&["flags=0x80"], &after, "Invalid argument");
    fails(
        &["flags=0x100"],
        &shown(&link),
        "Too many levels of symbolic links",
    );
    fails(&[&format!("file={directory}")], "", "Permission denied");
    fails(&["in=/etc"], "", "No such file or directory");
    exec(&[], &[&shown(&link)]).compare_success();
}

#[test]
fn scripts_name_interpreters_up_to_the_kernels_depth() {
    let scratch = Scratch::new();
    let after = after_exec();
    let script = scratch.file("script0", format!("#!{after}  given twice \nrest\n"), 0o755);
    exec(&[], &[&shown(&script), "one", ""]).compare_success();
    exec(&["argv=none"], &[&shown(&script)]).compare_success();
    let mut last = script;
    for depth in 1..=5 {
        let text = format!("#!{} {depth}\n", last.display());
        last = scratch.file(&format!("script{depth}"), text, 0o755);
        let outcome = exec(&[], &[&shown(&last), "end"]).compare();
        assert_eq!(
            outcome.status.success(),
            depth < 5,
            "{depth}: {}",
            outcome.text()
        );
    }
    let missing = scratch.file("missing", "#!/no/such/interpreter\n", 0o755);
    fails(&[], &shown(&missing), "No such file or directory");
    let returns = scratch.file("returns", "#!/bin/cat\r\n", 0o755);
    fails(&[], &shown(&returns), "No such file or directory");
    let cut = scratch.file("cut", format!("#!/{}\n", "x".repeat(300)), 0o755);
    fails(&[], &shown(&cut), "Exec format error");
}

#[test]
fn script_by_its_descriptor_is_found_while_that_stays_open() {
    let scratch = Scratch::new();
    let script = shown(&scratch.file("script", "#!/bin/cat\nits text\n", 0o755));
    let outcome = exec(&[&format!("file={script}")], &["", "/dev/null"]).compare_success();
    assert_eq!(outcome.text(), "#!/bin/cat\nits text\n");
    fails(
        &[&format!("closing-file={script}")],
        "",
        "No such file or directory",
    );
    let directory = format!("in={}", scratch.path().display());
    fails(&[&directory], "script", "No such file or directory");
}

#[test]
fn shells_and_wrappers_execute_what_they_are_given() {
    for shell in ["dash", "bash"] {
        let line = "exec printf '%s\\n' a \"b c\" \"$0\"";
        Program::new(shell).args(["-c", line]).compare_success();
        let missing = Program::new(shell).args(["-c", "exec /no/such/program"]);
        assert_eq!(missing.compare().status.code(), Some(127));
        let scratch = Scratch::new();
        let text = scratch.file("commands", "echo \"$0: $1\" $#\nexit 7\n", 0o755);
        let line = format!("exec {} one", text.display());
        assert_eq!(
            Program::new(shell)
                .args(["-c", &line])
                .compare()
                .status
                .code(),
            Some(7)
        );
    }
    let chains: [&[&str]; 8] = [
        &["env", "-i", "A=1", "B=", "/usr/bin/printenv"],
        &["env", "-u", "HOME", "printenv", "HOME"],
        &["nice", "-n", "3", "nice"],
        &["nohup", "cat", "/proc/self/comm"],
        &["setpriv", "--no-new-privs", "cat", "/proc/self/cmdline"],
        &["taskset", "1", "chrt", "-o", "0", "true"],
        &["stdbuf", "-o0", "printf", "unbuffered"],
        &[
            "sh",
            "-c",
            "exec sh -c 'exec sh -c \"exec sh -c \\\"exec echo four\\\"\"'",
        ],
    ];
    for chain in chains {
        Program::new(chain[0]).args(&chain[1..]).compare();
    }
}

#[test]
fn environment_arrives_whole_and_is_not_the_launchers() {
    let show = shown(&Guest::new("environment/show_arguments").path());
    let variables = [
        "LD_LIBRARY_PATH=/nonexistent",
        "LD_BIND_NOW=1",
        "PATH=/x",
        "=odd",
        "none",
        "A=1",
        "A=2",
    ];
    let mut program = exec(&[], &[&show, "x"]);
    for variable in variables
        .into_iter()
        .chain(["GLIBC_TUNABLES=glibc.malloc.check=0"])
    {
        program = program.arranged(format!("env={variable}"));
    }
    let text = program.compare_success().text();
    assert!(
        text.contains("variable [LD_BIND_NOW=1]\nvariable [PATH=/x]"),
        "{text}"
    );
    // The loader lists libraries instead of starting anything: were it the launcher's, it would list
    // those of vmmload.
    let outcome = Program::new("env").args(["LD_TRACE_LOADED_OBJECTS=1", "/bin/true"]);
    let outcome = outcome.compare_through(without_addresses);
    assert!(outcome.text().contains("libc.so.6"), "{}", outcome.text());
    let missing = ["LD_PRELOAD=/no/such/library.so", "/bin/true"];
    let outcome = Program::new("env").args(missing).compare();
    assert_eq!(
        outcome.messages().lines().count(),
        1,
        "{}",
        outcome.messages()
    );
}

/// The text without `(0x...)`.
fn without_addresses(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text
        .lines()
        .map(|line| line.split(" (0x").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

#[test]
fn descriptors_are_closed_or_kept_as_natively() {
    let show = shown(&Guest::new("environment/show_descriptors").path());
    let program = exec(&["in=/etc", "flags=0"], &[&show]);
    let text = program
        .arranged("fd=9")
        .arranged("pipefd=7")
        .compare_success()
        .text();
    assert!(
        text.contains("9: device") && text.contains("7: pipe"),
        "{text}"
    );
    exec(&[&format!("file={show}")], &[""]).compare_success();
    exec(&[], &[&show])
        .arranged("limit=7:50:50")
        .compare_success();
}

#[test]
fn signals_stay_ignored_blocked_and_waiting_but_not_caught() {
    let show = shown(&Guest::new("environment/show_signals").path());
    let words = [
        "catch=15", "ignore=2", "ignore=1", "catch=17", "pend=10", "pend=34", "pend=15",
    ];
    let text = exec(&words, &[&show])
        .arranged("block=12")
        .compare_success()
        .text();
    assert!(text.contains("pending 0x200004200"), "{text}");
    assert!(text.contains("signal 2: ignored"), "{text}");
    let threaded = [&words[..], &["thread"]].concat();
    exec(&threaded, &[&show]).compare_success();
}

#[test]
fn any_thread_can_execute() {
    let after = after_exec();
    for _ in 0..5 {
        let text = exec(&["thread"], &[&after, "x"]).compare_success().text();
        assert!(text.contains("leader 1"), "{text}");
    }
    let failing = exec(&["thread"], &["/no/such/program"]).compare();
    assert_eq!(failing.status.code(), Some(77));
}

/// A 32-bit program that exits with status 7: `mov eax, 1; mov ebx, 7; int 0x80`.
fn small_i386() -> Vec<u8> {
    let word = |value: u32| value.to_le_bytes();
    let mut bytes = elf(1, 3)[..52].to_vec();
    bytes[24..28].copy_from_slice(&word(0x0804_8054)); // entry
    bytes[28..32].copy_from_slice(&word(52)); // program headers
    bytes[40..46].copy_from_slice(&[52, 0, 32, 0, 1, 0]);
    for value in [1, 0, 0x0804_8000, 0x0804_8000, 96, 96, 5, 4096] {
        bytes.extend(word(value));
    }
    bytes.extend([0xb8, 1, 0, 0, 0, 0xbb, 7, 0, 0, 0, 0xcd, 0x80]);
    bytes
}

#[test]
fn what_only_the_kernel_can_start_runs_natively() {
    let scratch = Scratch::new();
    let file = scratch.file("program32", small_i386(), 0o755);
    exec(&[], &[&shown(&file)]).compare();
    let id = std::fs::read("/usr/bin/id").expect("/usr/bin/id can be read");
    let id = shown(&scratch.file("id", id, 0o755));
    let show = Guest::new("environment/show_signals").path();
    let show = std::fs::read(show).expect("compiled above");
    let set_group = shown(&scratch.file("show", show, 0o755));
    if machine::can_run_inside() && as_root("chown", &["65534:65534", &id, &set_group]) {
        assert!(as_root("chmod", &["6755", &id, &set_group]));
        let text = exec(&[], &[&id]).compare_success().text();
        assert!(
            text.contains("euid=65534") && text.contains("egid=65534"),
            "{text}"
        );
        exec(&["ignore=2", "catch=3", "pend=10"], &[&set_group]).compare_success();
        Program::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "id"])
            .compare_success();
    }
}

/// Runs a command natively; whether it succeeded.
fn as_root(command: &str, args: &[&str]) -> bool {
    Program::new(command).args(args).native().status.success()
}

#[test]
fn new_image_has_a_segment_of_its_own() {
    if !machine::can_run_inside() {
        return;
    }
    let program = Guest::new("processes/writes_after_exec").program();
    let mut session = Session::start(program.option("--interval=20ms").inside_command());
    assert_eq!(session.line(), "ready");
    let mut first = Follower::attach(session.pid());
    let has_mapping = |records: &[Record]| records.iter().any(|r| matches!(r, Record::Map { .. }));
    assert!(first.read_until(Duration::from_secs(20), has_mapping));
    session.send("x");
    let line = session.line();
    let start = u64::from_str_radix(line.trim_start_matches("0x"), 16).expect("an address");
    let ends = first.read_to_end().last().cloned();
    let replaced = Record::End {
        status: None,
        executes: Some("wrapped".to_owned()),
    };
    assert_eq!(ends, Some(replaced));
    let mut second = Follower::attach(session.pid());
    session.send("x");
    assert_eq!(session.line(), "written");
    let range = start..start + 8 * 4096;
    let seen = second.read_until(Duration::from_secs(20), |records| {
        events(records, "write", &range).len() == 8
    });
    assert!(seen, "{:?}", second.last(5));
    assert!(session.finish().success());
    let _ = second.read_to_end();
    assert!(!PathBuf::from(format!("/dev/shm/vmmload-{}", session.pid())).exists());
}

#[test]
fn each_image_has_its_summary_in_the_same_file() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("summary");
    let program = Program::new("env").args(["-C", "/", "sh", "-c", "exec echo done 2>&-"]);
    let outcome: Outcome = program
        .option(format!("--summary={}", file.display()))
        .inside();
    outcome.assert_success("env");
    let text = std::fs::read_to_string(file).expect("the summary was written");
    let of: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("summary of"))
        .collect();
    assert_eq!(of.len(), 3, "{text}");
    assert!(
        of[0].contains(": env -C") && of[2].contains(": echo done"),
        "{text}"
    );
}
