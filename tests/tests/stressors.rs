//! Stressors of stress-ng that are quick and safe: each must pass inside where it passes natively.

use std::time::Duration;

use vmmload_tests::machine;
use vmmload_tests::stressors::{Place, Runner};

#[track_caller]
fn all_pass(names: &[&str]) {
    let runner = Runner::new(Duration::from_secs(60));
    let mut passed = 0;
    for name in names {
        let native = runner.run(name, Place::Natively);
        if !native.passed() {
            // Not for this machine; the count below keeps that from becoming the rule.
            continue;
        }
        passed += 1;
        if machine::can_run_inside() {
            let inside = runner.run(name, Place::Inside);
            assert!(inside.passed(), "{name}: {inside:?}");
        }
    }
    assert!(
        2 * passed > names.len(),
        "only {passed} of {names:?} pass natively"
    );
}

#[test]
fn stressors_of_processes_pass() {
    all_pass(&[
        "fork",
        "vfork",
        "wait",
        "kill",
        "zombie",
        "clone",
        "exit-group",
    ]);
}

#[test]
fn stressors_of_signals_pass() {
    all_pass(&[
        "sigq",
        "sigsegv",
        "sigfpe",
        "sigsuspend",
        "signest",
        "bad-altstack",
    ]);
}

#[test]
fn stressors_of_memory_pass() {
    all_pass(&[
        "mmap", "mremap", "brk", "stack", "mlock", "mprotect", "urandom",
    ]);
}

#[test]
fn stressors_of_threads_and_of_what_they_wait_for_pass() {
    all_pass(&["pthread", "futex", "sem", "pipe", "itimer", "kcmp"]);
}
