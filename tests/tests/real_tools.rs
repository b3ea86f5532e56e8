//! Tools that start many processes do the same inside as natively: version control, archives, builds, and
//! what system scripts are made of.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use vmmload_tests::packages::{bash, c_compiler, program, python};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Outcome, Program, machine};

/// Hundreds of processes, each with a VM of its own.
const LONG: Duration = Duration::from_secs(240);

/// Runs a script natively and inside, in an empty directory each.
fn same(script: &str) -> Outcome {
    same_prepared(script, |_| {})
}

fn same_prepared(script: &str, prepare: impl Fn(&Scratch)) -> Outcome {
    let script = format!("set -e\n{script}");
    let command = Program::new(bash()).args(["-c", &script]).limit(LONG);
    command
        .env("LC_ALL", "C")
        .compare_in_fresh_directories(prepare)
}

#[test]
fn git_commits_clones_packs_and_checks_a_repository() {
    let _ = program("/usr/bin/git", "git");
    let script = r#"
        export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 PATH=/usr/bin:/bin
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE='2020-01-01T00:00:00Z'
        export GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.org GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
        git init -q -b main source; cd source
        for i in 1 2 3; do seq $i 400 > file$i; git add .; git commit -q -m "commit $i"; done
        cd ..; git clone -q source copy; cd copy
        git log --format='%H %s' --stat
        git checkout -q -b branch; echo more >> file1; git commit -qam 'on a branch'; git push -q origin branch
        git gc -q; git fsck --full; git -C ../source branch; git status --short; git diff main --stat"#;
    let text = same(script).text();
    assert!(text.contains("commit 3"), "{text}");
}

#[test]
fn archives_copies_and_searches_of_a_tree_are_the_same() {
    let _ = program("/usr/bin/rsync", "rsync");
    let script = r#"
        mkdir tree unpacked; for i in $(seq 40); do seq $i 2000 > tree/$i; done
        tar czf tree.tgz --mtime=@0 tree; tar tzf tree.tgz | sort | head -3
        tar xzf tree.tgz -C unpacked; diff -r tree unpacked/tree; echo 'the archive is right'
        rsync -a --itemize-changes tree/ copy/ | head -5
        seq 3 > tree/3; rsync -ac --delete --out-format=%n tree/ copy/; diff -r tree copy
        find tree -name '1*' -exec wc -l {} \; | sort
        find tree -name '2*' -execdir basename {} + | sort
        find tree -type f | sort | xargs -P 3 -n 14 md5sum | sort"#;
    let text = same(script).text();
    assert!(text.contains("the archive is right"), "{text}");
}

/// Two directories with three targets each, made by recursive makes that share the slots of one.
fn nested_makefiles(scratch: &Scratch) {
    let top = "all: a b\n\t@echo top\na b:\n\t@$(MAKE) --no-print-directory -C $@\n.PHONY: a b\n";
    let _ = scratch.file("Makefile", top, 0o644);
    for name in ["a", "b"] {
        let below = "all: one two three\n\t@echo $(notdir $(CURDIR)) done\n\
                     %:\n\t@slot=../slot-$(notdir $(CURDIR))-$@; mkdir $$slot; set -- ../slot-*\\\n\
                     \t  ; echo $$# >> ../used; sleep 0.1; touch $@; rmdir $$slot\n";
        let _ = scratch.file(&format!("{name}.mk"), below, 0o644);
    }
}

#[test]
fn recursive_makes_share_the_slots_of_a_job_server() {
    let _ = program("/usr/bin/make", "make");
    let script = "mkdir a b; mv a.mk a/Makefile; mv b.mk b/Makefile\n\
                  make -j2 | sort; ls a b; test $(sort -n used | tail -1) -le 2 && echo 'two slots'";
    let text = same_prepared(script, nested_makefiles).text();
    assert!(text.ends_with("two slots\n"), "{text}");
}

/// A program of 100 source files in 20 units: a compilation is three programs, 60 of them in all.
fn hundred_files(scratch: &Scratch) {
    let mut main = "#include <stdio.h>\n".to_owned();
    let mut sum = String::new();
    for unit in 0..20 {
        let mut includes = String::new();
        for number in unit * 5..unit * 5 + 5 {
            let source = format!("int f{number}(int x) {{ return x * {number} + 1; }}\n");
            let _ = scratch.file(&format!("f{number}.h"), source, 0o644);
            let _ = writeln!(includes, "#include \"f{number}.h\"");
            let _ = writeln!(main, "int f{number}(int);");
            let _ = write!(sum, " + f{number}({number})");
        }
        let _ = scratch.file(&format!("unit{unit}.c"), includes, 0o644);
    }
    let _ = writeln!(
        main,
        "int main(void) {{ printf(\"%d\\n\", 0{sum}); return 0; }}"
    );
    let _ = scratch.file("main.c", main, 0o644);
    let makefile = "OBJECTS = $(patsubst %.c,%.o,$(sort $(wildcard *.c)))\n\
                    prog: $(OBJECTS)\n\t@$(CC) -o $@ $^\n%.o: %.c\n\t@$(CC) -c -o $@ $<\n";
    let _ = scratch.file("Makefile", makefile, 0o644);
}

#[test]
fn a_parallel_make_builds_the_same_program_from_a_hundred_files() {
    let _ = program("/usr/bin/make", "make");
    let script = format!("make -j2 CC={}\n./prog\nsha256sum prog *.o", c_compiler());
    let text = same_prepared(&script, hundred_files).text();
    let sum: u32 = (0..100).map(|n| n * n + 1).sum();
    assert!(text.starts_with(&format!("{sum}\n")), "{text}");
}

#[test]
fn cargo_builds_runs_and_tests_a_crate() {
    // What builds this test, not a version manager's stand-in for it.
    let cargo = Path::new(env!("CARGO"));
    let path = cargo.parent().expect("cargo lies in a directory").display();
    let script = format!(
        "export PATH={path}:$PATH CARGO_HOME=$PWD/home CARGO_TARGET_DIR=$PWD/target CARGO_BUILD_JOBS=2\n\
         {cargo} build --offline --quiet; ./target/debug/small a b\n\
         {cargo} test --offline --quiet 2>&1 | sed 's/finished in .*//'",
        cargo = cargo.display()
    );
    let prepare = |scratch: &Scratch| {
        std::fs::create_dir(scratch.path().join("src")).expect("a fresh directory can be filled");
        let manifest =
            "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
        let _ = scratch.file("Cargo.toml", manifest, 0o644);
        let source = "fn main() { for a in std::env::args().skip(1) { println!(\"{}\", a.len()) } }\n\
                      #[test] fn adds() { assert_eq!(1 + 1, 2) }\n\
                      #[test] #[should_panic] fn panics() { panic!() }\n";
        let _ = scratch.file("src/main.rs", source, 0o644);
    };
    let text = same_prepared(&script, prepare).text();
    assert!(text.contains("2 passed"), "{text}");
}

/// system, backticks, pipes, fork with statuses, signals and exec.
const PERL: &str = r#"
$| = 1; system("echo system"); print `echo backticks; exit 3`, $? >> 8, "\n";
my @children; for (1 .. 5) { my $pid = fork; exit $_ unless $pid; push @children, $pid }
for (@children) { waitpid $_, 0; print $? >> 8, "\n" }
open(P, "-|", "seq 3"); print <P>; close P;
open(Q, "|-", "sort -r"); print Q "$_\n" for 1 .. 4; close Q; print "sort: $?\n";
$SIG{CHLD} = sub { print "a child\n" }; system("kill -9 \$\$"); print $? & 127, "\n"; $SIG{CHLD} = "DEFAULT";
$SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; sleep 30 }; print $@;
pipe(R, W); if (!fork) { print W "x" x 100000; exit } close W; local $/; print length(<R>), "\n"; wait;
kill TERM => $$ if 0; exec "echo", "exec";
"#;

#[test]
fn perl_starts_processes_in_all_its_ways() {
    let _ = program("/usr/bin/perl", "perl");
    let text = same(&format!("perl -e '{PERL}'")).text();
    assert!(text.ends_with("exec\n"), "{text}");
}

/// Becomes a daemon by the book: two forks, a session of its own, a file with its pid.
const DAEMON: &str = r#"
import os, signal, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
os.umask(0o27)
null = os.open('/dev/null', os.O_RDWR)
for fd in 0, 1, 2: os.dup2(null, fd)
def terminate(*_):
    open('log', 'w').write('terminated\n'); os.unlink('pid'); sys.exit(0)
signal.signal(signal.SIGTERM, terminate)
open('pid.new', 'w').write(str(os.getpid())); os.rename('pid.new', 'pid')
while True: signal.pause()
"#;

#[test]
fn a_daemon_detaches_writes_its_pid_and_ends_at_sigterm() {
    let _ = program("/usr/bin/ps", "procps");
    let python = python();
    let script = format!(
        "{python} daemon.py; while ! test -e pid; do sleep 0.05; done; pid=$(cat pid)\n\
         ps -o tty= -p $pid; test $(ps -o sid= -p $pid) -ne $pid && echo 'cannot get a terminal'\n\
         kill $pid; while test -e /proc/$pid; do sleep 0.05; done; cat log; stat -c '%a %n' *"
    );
    let prepare = |scratch: &Scratch| drop(scratch.file("daemon.py", DAEMON, 0o644));
    let text = same_prepared(&script, prepare).text();
    assert!(text.contains("terminated"), "{text}");
}

#[test]
fn programs_that_arrange_a_process_for_another_do_the_same() {
    let _ = program("/usr/bin/script", "bsdutils");
    let _ = program("/usr/bin/setpriv", "util-linux");
    let script = r#"
        run() { "$@" && echo "$1: 0" || echo "$1: $?"; }
        run setsid -w sh -c 'test $(ps -o sid= -p $$) -eq $$ && exit 5'
        run nohup sh -c 'kill -HUP $$; echo survived'
        run timeout 0.5 sleep 30
        run timeout -s INT 0.5 sh -c 'trap "echo interrupted; exit 3" INT; while :; do sleep 0.1; done'
        run env -i A=1 /usr/bin/env; run env -u HOME sh -c 'echo ${HOME-none}'
        run nice -n 7 nice; run ionice -c 3 ionice; run taskset -c 0 nproc; run chrt -b 0 chrt -p 0 > /dev/null
        run flock lock sh -c 'echo locked; flock -n lock true'; run flock -w 1 lock -c 'echo free'
        run script -qec 'test -t 0 && stty size; echo in a terminal; exit 4' /dev/null
        run stdbuf -oL echo line; run prlimit --nofile=100 sh -c 'ulimit -n'
        run setpriv --reuid=65534 --regid=65534 --clear-groups id
        run chroot / /bin/echo root; run xargs -a /dev/null echo nothing; run sh -c 'ulimit -t 7; ulimit -t'"#;
    let text = same(script).text();
    assert!(text.contains("survived"), "{text}");
}

/// Two children, each the first process of a pid namespace, that run at the same time.
const NAMESPACES: &str = r#"
my @children;
for (1, 2) {
    my $pid = syscall(56, 0x30000000 | 17, 0, 0, 0, 0);
    if (!$pid) { exec "/bin/sh", "-c", "sleep 1; exit \$((\$\$ + 40))" or die }
    push @children, $pid;
}
if (@ARGV) { for (@children) { for my $i (1 .. 600) {
    last if -e "/dev/shm/vmmload-$_"; select undef, undef, undef, 0.01; die if $i == 600 } } }
for (@children) { print waitpid($_, 0) == $_ ? "waited" : "lost", " ", $? >> 8, "\n" }
"#;

#[test]
fn children_in_pid_namespaces_run_and_publish_under_the_ids_that_others_know() {
    let perl = Program::new(program("/usr/bin/perl", "perl")).args(["-e", NAMESPACES]);
    let outcome = perl.compare_success();
    assert_eq!(outcome.text(), "waited 41\nwaited 41\n");
    if machine::can_run_inside() {
        let inside = perl.arg("segments").inside();
        inside.assert_success("finding the children's segments");
    }
}

#[test]
fn programs_run_in_namespaces_that_were_there_before() {
    let script = "id -u; tr -s ' ' < /proc/self/uid_map; sh -c 'id -gn; exit 3'; echo $?";
    let within: &[&[&str]] = &[
        &["unshare", "-Ur"],
        &["unshare", "-Urpf", "--mount-proc", "--kill-child"],
        &["unshare", "-Urmn"],
    ];
    for words in within {
        let command = Program::new("/bin/sh").args(["-c", script]);
        command.within(words.iter().copied()).compare_success();
    }
}

#[test]
fn unshare_makes_namespaces_for_the_programs_it_starts() {
    let _ = program("/usr/bin/ps", "procps");
    let script = r#"
        unshare -Ur id; unshare -Urp id -u; unshare -Urn ls /sys/class/net
        unshare -Upf --mount-proc sh -c 'echo $$; ps ax -o pid= | wc -l'
        unshare -Ur --mount sh -c 'mount -t tmpfs none /mnt && ls /mnt | wc -l'
        unshare -Uru sh -c 'hostname elsewhere; hostname'
        unshare -Urpf --kill-child --mount-proc sh -c 'readlink /proc/self/exe; cat /proc/1/comm'
        unshare -Urpf sh -c '(sleep 0.2; echo late) & echo $$; wait'
        unshare -Urm sh -c 'nsenter -t $$ -m echo entered'
        unshare -Urmpf --mount-proc sh -c 'unshare -Urpf --mount-proc sh -c "ps ax -o comm="'"#;
    let text = same(script).text();
    assert!(text.contains("elsewhere"), "{text}");
}
