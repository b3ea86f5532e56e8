//! Language runtimes, with their threads, signals, compilers and children, do the same inside as natively.

use std::time::Duration;

use vmmload_tests::packages::{program, python};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Outcome, Program};

const LONG: Duration = Duration::from_secs(240);

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");

#[test]
fn node_runs_workers_compiled_loops_and_children() {
    let node = program("/usr/bin/node", "nodejs");
    let command = Program::new(node).arg(format!("{SCRIPTS}/workers.js"));
    let outcome = command.limit(LONG).compare();
    assert_eq!(outcome.status.code(), Some(5), "{}", outcome.messages());
    assert!(outcome.text().ends_with("signal\n"), "{}", outcome.text());
}

#[test]
fn a_java_machine_runs_threads_under_collection_and_catches_its_faults() {
    let compiler = program("/usr/bin/javac", "default-jdk-headless");
    let scratch = Scratch::new();
    let compiled = Program::new(compiler).directory(scratch.path());
    let compiled = compiled.args(["-d", ".", &format!("{SCRIPTS}/Threads.java")]);
    compiled.limit(LONG).native().assert_success("javac");
    let command = Program::new("/usr/bin/java").directory(scratch.path());
    let command = command.args(["-XX:+UseG1GC", "-Xmx64m", "Threads"]);
    let outcome = command.limit(LONG).compare();
    assert_eq!(outcome.status.code(), Some(3), "{}", outcome.messages());
    assert!(outcome.text().ends_with("hook\n"), "{}", outcome.text());
}

#[test]
fn go_builds_a_program_whose_goroutines_are_preempted_by_signals() {
    let _ = program("/usr/bin/go", "golang-go");
    let script = format!(
        "export HOME=$PWD GOCACHE=$PWD/cache GOPATH=$PWD/path GO111MODULE=off\n\
         go build -o preempted {SCRIPTS}/preempted.go || exit\n\
         ./preempted; test $? = 4"
    );
    let command = Program::new("/bin/sh").args(["-c", &script]).limit(LONG);
    let text = command.compare_in_fresh_directories(|_| {}).text();
    assert!(text.contains("nil pointer dereference"), "{text}");
}

/// Runs tests of CPython's own, of which `least` at least must be chosen; all must pass.
fn python_tests(modules: &[&str], least: usize) -> Outcome {
    let _ = program(
        "/usr/lib/python3.11/test/test_fork1.py",
        "libpython3.11-testsuite",
    );
    // What the tests themselves print tells how long things took.
    let script = format!(
        "{} {SCRIPTS}/python_tests.py results \"$@\" > messages 2>&1 || tail messages; cat results",
        python()
    );
    let command = Program::new("/bin/sh").args(["-c", &script, "sh"]);
    let command = command.args(modules.iter().copied()).limit(LONG);
    let outcome = command.compare_in_fresh_directories(|_| {});
    let text = outcome.text();
    assert!(!text.contains("FAILED"), "natively: {text}");
    assert!(text.matches(": ok").count() >= least, "{text}");
    outcome
}

#[test]
fn cpythons_own_tests_of_fork_terminals_mappings_and_signals_pass() {
    let _ = python_tests(
        &[
            "test_fork1",
            "test_mmap",
            "test_pty",
            "test_openpty",
            "test_threadsignals",
            "test_signal:ItimerTest.test_itimer_real:RaiseSignal:PidfdSignal:test_sigpending:test_pthread_sigmask",
        ],
        60,
    );
}

#[test]
fn cpythons_own_tests_of_threads_pass() {
    let _ = python_tests(
        &["test_threading:LockTests:EventTests:SemaphoreTests:ThreadJoinOnShutdown.test_1"],
        60,
    );
}

#[test]
fn cpythons_own_tests_of_subprocesses_pass() {
    let case = "POSIXProcessTestCase.test";
    let chosen = [
        "preexec",
        "start_new",
        "restore",
        "send_signal",
        "kill_dead",
    ];
    let subprocess = chosen.map(|name| format!(":{case}_{name}")).concat();
    let watcher = "SubprocessFastWatcherTests.test";
    let chosen = ["shell", "kill", "send_signal", "stdin_stdout"];
    let asyncio = chosen.map(|name| format!(":{watcher}_{name}")).concat();
    let _ = python_tests(
        &[
            &format!("test_subprocess{subprocess}"),
            &format!("test_asyncio.test_subprocess{asyncio}"),
            "test_multiprocessing_fork:WithProcessesTestValue:WithProcessesTestQueue.test_get",
        ],
        15,
    );
}
