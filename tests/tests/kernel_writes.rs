//! What the kernel writes for the program, and vmmload in its place: reported by page, with its bytes.

use std::collections::BTreeMap;

use vmmload_consumer::Kind;
use vmmload_tests::dump::{kernel_bytes, lost};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::segment::Segment;
use vmmload_tests::watched::{PAGE, Watched, hexadecimal};
use vmmload_tests::{Guest, Program, machine};

/// Pages that the guest has for its calls.
const PAGES: u64 = 64;

/// Has the guest make the calls of one command. What it says that they wrote must be what is reported.
#[track_caller]
fn reported(command: char, options: &[&str]) {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start_guest("kernel_writes/calls", PAGES, 1, options);
    watched.guest.send(&command.to_string());
    let mut expected = BTreeMap::new();
    let done = format!("done {command}");
    loop {
        let line = watched.guest.line();
        if line == done {
            break;
        }
        let (start, bytes) = line.split_once(' ').expect("an address and a length");
        let bytes: u64 = bytes.parse().expect("a length");
        add(&mut expected, hexadecimal(start), bytes);
    }
    let buffer = watched.buffer.clone();
    let records = watched.end();
    assert_eq!(lost(&records), 0);
    let found = kernel_bytes(&records, &buffer);
    assert!(
        found == expected,
        "pages with bytes: expected {expected:x?}, found {found:x?}"
    );
}

/// Adds a span's bytes to the pages that it lies in.
fn add(pages: &mut BTreeMap<u64, u64>, start: u64, bytes: u64) {
    let mut at = start;
    while at < start + bytes {
        let page = at - at % PAGE;
        let stop = (page + PAGE).min(start + bytes);
        *pages.entry(page).or_insert(0) += stop - at;
        at = stop;
    }
}

#[test]
fn what_is_read_from_files_is_reported_with_its_bytes() {
    reported('f', &[]);
}

#[test]
fn what_is_received_is_reported_with_its_addresses_and_headers() {
    reported('s', &[]);
}

#[test]
fn what_a_waiting_call_stores_is_reported() {
    reported('w', &[]);
}

#[test]
fn what_is_learned_of_processes_and_memory_is_reported() {
    reported('p', &[]);
}

#[test]
fn what_emulated_calls_store_is_reported_as_the_kernels() {
    reported('e', &[]);
}

#[test]
fn signal_frames_are_reported_as_the_kernels() {
    reported('g', &[]);
}

#[test]
fn what_is_stored_for_a_thread_is_reported_from_its_beginning_to_its_end() {
    reported('t', &[]);
}

#[test]
fn calls_that_fail_or_only_read_are_not_reported() {
    reported('n', &[]);
}

#[test]
fn more_writes_than_fit_the_log_in_an_epoch_are_all_reported() {
    reported('m', &["--interval", "2s"]);
}

#[test]
fn what_is_stored_in_a_forked_childs_memory_is_reported_as_the_childs() {
    if !machine::can_run_inside() {
        return;
    }
    let mut parent = Watched::start_guest("kernel_writes/calls", PAGES, 1, &[]);
    parent.guest.send("c");
    let line = parent.guest.line();
    let (pid, at) = line.split_once(' ').expect("an id and an address");
    let word = hexadecimal(at)..hexadecimal(at) + PAGE;
    let mut child = Segment::attach(pid.parse().expect("an id"));
    child.settle();
    let events = child.events(Kind::Kernel, &word);
    let bytes: Vec<u32> = events.iter().map(|event| event.bytes).collect();
    assert_eq!(bytes, [4]);
    assert_eq!(parent.guest.line(), "done c");
    parent.command('x');
    assert_eq!(kernel_bytes(&parent.end(), &word), BTreeMap::new());
}

/// The summary of a program; None where nothing can run inside.
fn summary(program: &Program) -> Option<String> {
    if !machine::can_run_inside() {
        return None;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("summary");
    let option = format!("--summary={}", file.display());
    let outcome = program.clone().option(option).inside();
    outcome.assert_success("the program");
    Some(std::fs::read_to_string(&file).expect("the summary"))
}

/// The guest with commands on its standard input.
fn guest(commands: &str) -> Program {
    let program = Guest::new("kernel_writes/calls").program();
    program
        .args([PAGES, 1].map(|n| n.to_string()))
        .input(commands)
}

/// What a line of the summary says.
fn said<'a>(summary: &'a str, label: &str) -> Option<&'a str> {
    let find = |line: &'a str| line.trim().strip_prefix(label);
    summary.lines().find_map(find).map(str::trim)
}

#[test]
fn without_tracking_nothing_is_reported() {
    let program = guest("fguq").option("--track").option("none");
    let Some(summary) = summary(&program) else {
        return;
    };
    assert!(said(&summary, "calls").is_some(), "{summary}");
    for label in ["kernel", "unknown"] {
        assert_eq!(said(&summary, label), None, "{summary}");
    }
}

#[test]
fn calls_whose_writes_are_not_known_are_counted_by_name() {
    let Some(summary) = summary(&guest("uq")) else {
        return;
    };
    let line = "3 calls of which it is not known what the kernel wrote: ioctl (3)";
    assert_eq!(said(&summary, "unknown"), Some(line), "{summary}");
}

#[test]
fn the_first_stack_and_the_ends_of_initialised_data_are_reported() {
    let argument = "x".repeat(10 * PAGE as usize);
    let Some(summary) = summary(&Program::new("/bin/true").arg(argument)) else {
        return;
    };
    let kernel = |name: &str| -> u64 {
        let row = summary.lines().find(|line| line.contains(name));
        let events = row.and_then(|row| row.split_whitespace().nth(3));
        events.and_then(|events| events.parse().ok()).unwrap_or(0)
    };
    // Ten for the argument, and some for the vectors and the environment.
    assert!((11..30).contains(&kernel(" [stack]")), "{summary}");
    assert_eq!(kernel("/ld-linux-x86-64.so.2"), 1, "{summary}");
}
