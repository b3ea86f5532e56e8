//! What the compiler does not check: where unsafe code lives, and how long a file may be.

use std::path::{Path, PathBuf};

/// Longest file of the product.
const LONGEST: usize = 500;

/// Every file that may contain unsafe code. A new name here is a decision: first look whether one of
/// these can offer what is missing as a safe function.
const UNSAFE: &[&str] = &[
    "consumer-sdk/examples/incremental.rs",
    "consumer-sdk/c/src/consumer.rs",
    "consumer-sdk/c/src/copies.rs",
    "consumer-sdk/c/src/error.rs",
    "consumer-sdk/c/src/heat.rs",
    "consumer-sdk/c/src/mappings.rs",
    "consumer-sdk/c/src/marks.rs",
    "consumer-sdk/c/src/pointers.rs",
    "consumer-sdk/c/src/processes.rs",
    "consumer-sdk/c/src/session.rs",
    "consumer-sdk/src/memory.rs",
    "consumer-sdk/src/reader_memory.rs",
    "consumer-sdk/src/sigbus.rs",
    "consumer-sdk/src/tests/sigbus.rs",
    "consumer-sdk/src/place.rs",
    "consumer-sdk/src/sys.rs",
    "launcher/src/entry.rs",
    "launcher/src/guest/arena.rs",
    "launcher/src/guest/chunks.rs",
    "launcher/src/host/clock.rs",
    "launcher/src/host/credentials.rs",
    "launcher/src/host/descriptors.rs",
    "launcher/src/host/execution.rs",
    "launcher/src/host/filesystem.rs",
    "launcher/src/host/futex.rs",
    "launcher/src/host/guest_memory.rs",
    "launcher/src/host/messages.rs",
    "launcher/src/host/placement.rs",
    "launcher/src/host/proc_files.rs",
    "launcher/src/host/process_view.rs",
    "launcher/src/host/processor.rs",
    "launcher/src/host/questions.rs",
    "launcher/src/host/relay.rs",
    "launcher/src/host/residency.rs",
    "launcher/src/host/signals.rs",
    "launcher/src/host/threads.rs",
    "launcher/src/kvm/caps.rs",
    "launcher/src/kvm/dirty_ring.rs",
    "launcher/src/kvm/first_run.rs",
    "launcher/src/kvm/signal_mask.rs",
    "launcher/src/kvm/spare_slot.rs",
    "launcher/src/kvm/stats.rs",
    "launcher/src/kvm/tsc.rs",
    "launcher/src/kvm/vcpu.rs",
    "launcher/src/kvm/vm.rs",
    "launcher/src/guest/stub_page.rs",
    "launcher/src/machine.rs",
    "launcher/src/main.rs",
    "launcher/src/probes/pages.rs",
    "launcher/src/process/fork.rs",
    "launcher/src/host/processes.rs",
    "launcher/src/process/call_sites/mod.rs",
    "launcher/src/process/command.rs",
    "launcher/src/process/executable.rs",
    "launcher/src/process/image.rs",
    "launcher/src/process/lifecycle.rs",
    "launcher/src/process/memory.rs",
    "launcher/src/process/resident.rs",
    "launcher/src/process/runner.rs",
    "launcher/src/process/seat.rs",
    "launcher/src/process/sharing.rs",
    "launcher/src/process/stack.rs",
    "launcher/src/process/thread.rs",
    "launcher/src/session.rs",
    "launcher/src/syscalls/descriptors.rs",
    "launcher/src/syscalls/exec.rs",
    "launcher/src/syscalls/kernel_writes/oracle/mod.rs",
    "launcher/src/syscalls/kernel_writes/oracle/waiting.rs",
    "launcher/src/syscalls/mapping.rs",
    "launcher/src/syscalls/memory.rs",
    "launcher/src/syscalls/proc_links.rs",
    "launcher/src/syscalls/proc_self.rs",
    "launcher/src/syscalls/threads.rs",
    "shim/guest/src/answer.rs",
    "shim/guest/src/protocol.rs",
    "shim/src/kernel.rs",
    "shim/src/lib.rs",
    "tests/rigs/src/emulator/mod.rs",
    "tests/src/bench/bare_exit.rs",
    "tests/src/bench/workload.rs",
    "tests/src/machine.rs",
    "tests/src/packages.rs",
    "tests/src/program.rs",
    "tests/src/session.rs",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
}

/// All Rust files below a directory of the workspace, ordered by name.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .unwrap_or_else(|cause| panic!("{}: {cause}", directory.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("the directory can be listed").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// A line without its comment and without what stands in quotes.
fn code_of(line: &str) -> String {
    let line = line.replace("\\\"", "");
    let unquoted: String = line.split('"').step_by(2).collect();
    unquoted.split("//").next().unwrap_or_default().to_owned()
}

fn has_unsafe_code(text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.lines().any(|line| {
        code_of(line)
            .split(|c| !is_word(c))
            .any(|word| word == "unsafe")
    })
}

fn relative(path: &Path) -> String {
    let inside = path.strip_prefix(root()).expect("below the workspace");
    inside.display().to_string()
}

#[test]
fn unsafe_code_lives_in_the_named_files() {
    let parts = ["launcher", "shim", "consumer-sdk", "tests"];
    let found: Vec<String> = parts
        .iter()
        .flat_map(|part| rust_files(&root().join(part)))
        .filter(|path| has_unsafe_code(&text_of(path)))
        .map(|path| relative(&path))
        .collect();
    let unnamed: Vec<&String> = found
        .iter()
        .filter(|file| !UNSAFE.contains(&file.as_str()))
        .collect();
    assert!(
        unnamed.is_empty(),
        "unsafe code in files not named in UNSAFE: {unnamed:#?}"
    );
    let safe_by_now: Vec<&&str> = UNSAFE
        .iter()
        .filter(|&&file| !found.iter().any(|path| path == file))
        .collect();
    assert!(
        safe_by_now.is_empty(),
        "named in UNSAFE without need: {safe_by_now:#?}"
    );
}

#[test]
fn files_of_the_product_are_short() {
    let long: Vec<String> = [
        "launcher/src",
        "shim/src",
        "shim/guest/src",
        "consumer-sdk/src",
        "consumer-sdk/c/src",
    ]
    .iter()
    .flat_map(|part| rust_files(&root().join(part)))
    .map(|path| (text_of(&path).lines().count(), path))
    .filter(|&(lines, _)| lines > LONGEST)
    .map(|(lines, path)| format!("{} has {lines} lines", relative(&path)))
    .collect();
    assert!(
        long.is_empty(),
        "longer than {LONGEST} lines, so split by theme: {long:#?}"
    );
}

#[test]
fn the_word_counts_only_where_it_is_code() {
    assert!(has_unsafe_code("    unsafe { f() }"));
    assert!(has_unsafe_code("#[unsafe(no_mangle)]"));
    for line in [
        "// unsafe",
        "say(\"unsafe\")",
        "unsafe_op_in_unsafe_fn",
        "x(); // unsafe {",
    ] {
        assert!(!has_unsafe_code(line), "{line}");
    }
}
