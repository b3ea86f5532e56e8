//! At the limits: what vmmload cannot give fails as it does at a limit of the kernel's, and a fault of
//! vmmload's own is never taken for the program's.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use vmmload_consumer::{Consumer, Status};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Program, Session, machine, vmmload};

/// Natively all threads start; inside some do, and the next fails as at a limit of threads.
#[track_caller]
fn some_threads_start(program: &Program) {
    assert_eq!(program.native().text(), "all: Success\n");
    if machine::can_run_inside() {
        let outcome = program.inside();
        assert_eq!(outcome.text(), "some: Resource temporarily unavailable\n");
        assert_eq!(outcome.messages(), "");
    }
}

#[test]
fn threads_without_descriptors_for_their_vcpus_fail_as_at_a_limit() {
    let program = Guest::new("limits/threads").program();
    some_threads_start(&program.args(["80", "40"]));
}

#[test]
fn threads_beyond_the_most_vcpus_of_a_vm_fail_as_at_a_limit() {
    let doctor = Command::new(vmmload())
        .args(["doctor", "--format", "json"])
        .output();
    let facts = doctor.expect("vmmload can be started").stdout;
    let facts: Value = serde_json::from_slice(&facts).expect("a JSON object");
    let most = facts["kvm"]["max_vcpus"].as_u64().unwrap_or(1);
    if most > 2000 {
        eprintln!("not tried: {most} vCPUs take too long");
        return;
    }
    let program = Guest::new("limits/threads").program();
    let program = program.arg((most + 20).to_string());
    // Each has a ring: the smallest will do.
    some_threads_start(
        &program
            .option("--buffer")
            .option("1024")
            .limit(Duration::from_secs(120)),
    );
}

/// Which thread waits in which system call, and where it goes on: from /proc/PID/task/TID/syscall.
fn waiting_in(pid: libc::pid_t, call: &str) -> u64 {
    let deadline = Instant::now() + machine::patience(Duration::from_secs(10));
    while Instant::now() < deadline {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
        for task in tasks.flatten() {
            let text = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
            let Some(goes_on) = text.split_whitespace().last() else {
                continue;
            };
            if text.starts_with(call) {
                let hexadecimal = goes_on.trim_start_matches("0x");
                return u64::from_str_radix(hexadecimal, 16).expect("an address");
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("no thread of {pid} waits in {call}");
}

/// Puts an undefined instruction into the launcher.
fn break_launcher(pid: libc::pid_t, address: u64) {
    let memory = File::options().write(true).open(format!("/proc/{pid}/mem"));
    let memory = memory.expect("the process is ours");
    let written = memory.write_all_at(&[0x0f, 0x0b], address);
    written.expect("the kernel lets an owner change code");
}

/// Breaks the launcher of a program that handles all signals, which must be told from a fault of its own.
#[track_caller]
fn reports_its_own_fault(call: &str, behind: u64) {
    if !machine::can_run_inside() {
        return;
    }
    let program = Guest::new("limits/handles_everything").program();
    let scratch = Scratch::new();
    let messages = scratch.file("messages", "", 0o600);
    let mut command = program.inside_command();
    command.stderr(File::create(&messages).expect("the scratch directory is ours"));
    let mut session = Session::start(command);
    assert_eq!(session.line(), "ready");
    let pid = session.pid();
    let consumer = Consumer::attach(pid.unsigned_abs()).expect("a segment");
    break_launcher(pid, waiting_in(pid, call) + behind);
    if behind != 0 {
        session.send("go on\n");
        assert_eq!(session.finish().code(), Some(125));
    } else {
        // The next epoch is enough.
        let ended = session.change(0).expect("an end");
        assert_eq!(ended.code(), Some(125));
    }
    // No handler of the program's ran.
    let more = session.line_within(Duration::from_secs(1));
    assert!(more.is_err() || more.as_deref() == Ok("read"), "{more:?}");
    // It stays as after a kill -9, for others to read, until the next run removes it.
    assert!(consumer.path().ends_with(format!("vmmload-{pid}")));
    assert_eq!(consumer.status(), Status::Died);
    let _ = std::fs::remove_file(consumer.path());
    let said = std::fs::read_to_string(&messages).expect("written above");
    let version = env!("CARGO_PKG_VERSION");
    let begin = format!(
        "vmmload: internal error: a fault of vmmload {version} itself, not of the program: signal 4 at \
         vmmload+0x"
    );
    assert!(said.starts_with(&begin), "{said}");
    assert!(said.contains("Please report this line"), "{said}");
}

#[test]
fn fault_of_the_launcher_is_reported_as_its_own() {
    // The program's read of descriptor 0. The first instruction behind it is xor edx, edx.
    reports_its_own_fault("0 0x0 ", 2);
}

#[test]
fn fault_of_the_launchers_own_thread_is_reported_as_well() {
    // The harvester's futex, FUTEX_WAIT_BITSET. The program waits in read until then.
    reports_its_own_fault("202 ", 0);
}
