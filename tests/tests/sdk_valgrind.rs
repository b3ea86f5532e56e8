//! The SDK's own tests under valgrind: no wrong access to memory, and none that is lost.

use std::path::PathBuf;
use std::process::Command;

use vmmload_tests::packages;
use vmmload_tests::scratch::{Scratch, target, workspace};

/// Tests that are left out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "fuzz::",
        "they go on for a time, and not until something is done",
    ),
    (
        "hostile::",
        "thousands of cases, of which each takes fifty times as long",
    ),
    (
        "reclaiming::",
        "they kill other processes of the same binary at chosen moments",
    ),
    (
        "ring::slow_readers",
        "valgrind runs one thread at a time: they would only wait for each other",
    ),
    (
        "segment::every_counter_page",
        "two million stores to show that a table is as large as it says",
    ),
    (
        "truncated::several_threads",
        "as the other ones with threads",
    ),
    (
        "truncated::a_reader_detached",
        "a hundred times what another test does once",
    ),
];

/// Losses that are meant. `shared_memory` closes its descriptor when it is dropped, by when the number may be
/// somebody else's: so the value is forgotten, with the two names in it.
const MEANT: &str = "
{
   forgotten-on-purpose-name
   Memcheck:Leak
   match-leak-kinds: definite
   fun:malloc
   ...
   fun:*shared_memory*
}
";

/// The binary of the SDK's tests, built if need be.
fn tests_of_the_sdk() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "test",
            "--no-run",
            "--quiet",
            "--lib",
            "-p",
            "vmmload-consumer",
        ])
        .args(["--message-format", "json", "--target-dir"])
        .arg(target())
        .current_dir(workspace())
        .output()
        .expect("cargo can be started");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut built = text.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    built.next_back().expect("cargo names what it has built")
}

#[test]
fn the_sdks_own_tests_misuse_and_lose_no_memory() {
    let scratch = Scratch::new();
    let meant = scratch.file("meant.supp", MEANT, 0o644);
    let mut command = Command::new(packages::program("/usr/bin/valgrind", "valgrind libc6-dbg"));
    command
        .args(["--quiet", "--error-exitcode=99", "--leak-check=full"])
        .args([
            "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite",
        ])
        // The handler of SIGBUS returns to an instruction that is done again, with all registers as they were.
        .arg("--vex-iropt-register-updates=allregs-at-mem-access")
        .arg("--num-callers=30")
        .arg(format!("--suppressions={}", meant.display()))
        .arg(tests_of_the_sdk())
        .arg("--test-threads=1")
        .current_dir(workspace().join("consumer-sdk"));
    for (name, _reason) in LEFT_OUT {
        command.args(["--skip", name]);
    }
    let output = command.output().expect("valgrind can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    // Not one that runs nothing.
    assert!(
        text.contains("tests::truncated::a_reader_lives_on"),
        "{text}"
    );
}
