//! What other processes learn about a program's writes: exactly the pages it wrote, live.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use vmmload_tests::dump::{Record, assert_events, events, lost};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::watched::{Watched, several_epochs};
use vmmload_tests::{Guest, Outcome, Program, machine, vmmload};

fn written_once(pages: u64, stride: u64, command: char) {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(pages, stride, &[]);
    watched.command(command);
    let (buffer, expected) = (watched.buffer.clone(), watched.expected(stride, 1));
    let records = watched.end();
    assert_eq!(lost(&records), 0);
    assert_events(&events(&records, "write", &buffer), &expected);
}

#[test]
fn each_page_written_once_is_one_write_event() {
    written_once(1000, 1, 'w');
}

#[test]
fn pages_between_the_written_ones_have_no_event() {
    written_once(3000, 7, 'w');
}

#[test]
fn single_written_page_is_one_event() {
    written_once(512, 512, 'w');
}

#[test]
fn pages_written_by_four_threads_are_one_event_each() {
    written_once(4000, 2, 't');
}

#[test]
fn events_appear_while_the_program_still_runs() {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(500, 5, &[]);
    watched.command('w');
    let (buffer, expected) = (watched.buffer.clone(), watched.expected(5, 1));
    let complete = |records: &[Record]| events(records, "write", &buffer).len() >= expected.len();
    let live = watched
        .follower
        .read_until(machine::patience(Duration::from_secs(10)), complete);
    assert!(
        live,
        "only {} of {} pages seen live",
        events(watched.follower.records(), "write", &buffer).len(),
        expected.len()
    );
    assert_events(
        &events(watched.follower.records(), "write", &buffer),
        &expected,
    );
    watched.end();
}

#[test]
fn two_rounds_some_epochs_apart_are_two_events_each() {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(1000, 3, &[]);
    watched.command('w');
    std::thread::sleep(several_epochs());
    watched.command('w');
    let (buffer, expected) = (watched.buffer.clone(), watched.expected(3, 2));
    let records = watched.end();
    assert_events(&events(&records, "write", &buffer), &expected);
    let epochs = |page: u64| {
        let of_page =
            |record: &&Record| matches!(record, Record::Page { address, .. } if *address == page);
        records.iter().filter(of_page).count()
    };
    assert_eq!(
        epochs(buffer.start),
        2,
        "two rounds are two records, not one with a count of two"
    );
}

#[test]
fn pages_that_are_only_read_have_no_write_event() {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(2000, 1, &[]);
    watched.command('r');
    std::thread::sleep(several_epochs());
    watched.command('r');
    let buffer = watched.buffer.clone();
    let records = watched.end();
    assert_events(&events(&records, "write", &buffer), &BTreeMap::new());
}

#[test]
fn pages_filled_by_the_kernel_are_told_apart_from_written_ones() {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(300, 3, &[]);
    watched.command('k');
    let (buffer, filled) = (watched.buffer.clone(), watched.expected(3, 1));
    watched.command('r');
    let records = watched.end();
    assert_events(&events(&records, "write", &buffer), &BTreeMap::new());
    let by_kernel = events(&records, "kernel", &buffer);
    assert_events(&by_kernel, &filled);
}

#[test]
fn every_record_says_how_it_was_measured() {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(100, 1, &[]);
    watched.command('w');
    watched.command('k');
    for record in watched.end() {
        match record {
            Record::Page {
                kind,
                method,
                count,
                ..
            } => {
                let expected = match kind.as_str() {
                    "write" => "dirty-ring",
                    "kernel" => "relay",
                    other => panic!("{other:?} events without --track readwrite"),
                };
                assert_eq!(method, expected, "kind {kind}");
                assert!(count > 0);
            }
            Record::Other(line) => panic!("unknown record: {line}"),
            _ => {}
        }
    }
}

#[test]
fn mapping_table_covers_the_written_buffer() {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(100, 1, &[]);
    watched.command('w');
    let buffer = watched.buffer.clone();
    let records = watched.end();
    let covers = |record: &Record| match record {
        Record::Map { range, text } => {
            range.start <= buffer.start && buffer.end <= range.end && text.starts_with("rw")
        }
        _ => false,
    };
    assert!(
        records.iter().any(covers),
        "no mapping record covers {buffer:x?}"
    );
}

#[test]
fn end_record_has_the_exit_status() {
    if !machine::can_run_inside() {
        return;
    }
    let records = Watched::start(1, 1, &[]).end();
    let exited = Record::End {
        status: Some(0),
        executes: None,
    };
    assert_eq!(records.last(), Some(&exited));
}

#[test]
fn small_dirty_ring_loses_nothing() {
    if !machine::can_run_inside() {
        return;
    }
    let pages = machine::work(200_000);
    let mut watched = Watched::start(pages, 1, &["--buffer", "1024"]);
    watched.command('w');
    let buffer = watched.buffer.clone();
    let records = watched.end();
    let found = events(&records, "write", &buffer);
    let seen: u64 = found.values().sum();
    let missing = lost(&records);
    assert!(
        seen <= pages,
        "{seen} events for {pages} pages written once"
    );
    assert!(
        found.values().all(|count| *count == 1),
        "a page written once has more than one event"
    );
    assert!(
        seen + missing >= pages,
        "{seen} events and {missing} records lost: {} unaccounted",
        pages - seen - missing
    );
}

/// Runs the touching guest to its end with these options and commands.
fn touch(pages: u64, commands: &str, options: &[&str]) -> Outcome {
    let program = Guest::new("tracking/touch")
        .program()
        .args([pages.to_string(), "1".to_owned()])
        .input(commands);
    let program = options
        .iter()
        .fold(program, |program, option| program.option(*option));
    let outcome = program.inside();
    outcome.assert_success("the touching guest");
    outcome
}

/// The write events of all mappings together, from the summary's line `events  N write, ...`.
#[track_caller]
fn write_events(summary: &str) -> u64 {
    let line = summary
        .lines()
        .find_map(|line| line.trim().strip_prefix("events"));
    let number = line.and_then(|line| line.split_whitespace().next());
    let number = number.and_then(|number| number.replace(',', "").parse().ok());
    number.unwrap_or_else(|| panic!("no count of write events in:\n{summary}"))
}

/// The C library's own few pages are written beside the buffer's.
#[track_caller]
fn assert_about(pages: u64, summary: &str) {
    assert!(
        (pages..pages + 300).contains(&write_events(summary)),
        "{pages} pages were written:\n{summary}"
    );
}

#[test]
fn summary_of_a_small_ring_counts_every_page() {
    if !machine::can_run_inside() {
        return;
    }
    let pages = machine::work(200_000);
    let summary = touch(pages, "wq", &["--buffer", "1024", "--summary"]).messages();
    assert_about(pages, &summary);
}

#[test]
fn the_smallest_ring_counts_every_page_or_names_a_larger_one() {
    if !machine::can_run_inside() {
        return;
    }
    let pages = machine::work(20_000);
    let outcome = Guest::new("tracking/touch")
        .program()
        .args([pages.to_string(), "1".to_owned()])
        .input("wq")
        .option("--buffer")
        .option("512")
        .option("--summary")
        .inside();
    let messages = outcome.messages();
    if messages.contains("Page Modification Logging") {
        // KVM keeps 576 entries in reserve for such a processor.
        assert!(messages.contains("Use --buffer 1024"), "{messages}");
        return;
    }
    outcome.assert_success("the touching guest");
    assert_about(pages, &messages);
}

#[test]
fn last_epoch_is_flushed_at_exit() {
    if !machine::can_run_inside() {
        return;
    }
    // The program ends long before its first epoch would.
    let outcome = touch(12_345, "wq", &["--interval", "100s", "--summary"]);
    assert!(
        outcome.elapsed < machine::patience(Duration::from_secs(8)),
        "waited for the epoch: {:?}",
        outcome.elapsed
    );
    assert_about(12_345, &outcome.messages());
}

#[test]
fn summary_goes_to_the_given_file_and_nowhere_else() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("summary");
    let outcome = touch(1000, "wq", &[&format!("--summary={}", file.display())]);
    assert!(outcome.stderr.is_empty(), "{}", outcome.messages());
    let summary = std::fs::read_to_string(&file).expect("the summary file is written");
    assert_about(1000, &summary);
}

#[test]
fn without_tracking_nothing_is_reported_and_the_program_runs() {
    if !machine::can_run_inside() {
        return;
    }
    let outcome = touch(1000, "wkrtq", &["--track", "none"]);
    assert!(
        outcome.text().ends_with("done t\n") && outcome.stderr.is_empty(),
        "{}",
        outcome.messages()
    );
}

#[test]
fn tracking_leaves_output_and_status_alone() {
    // As short as this machine can keep up with.
    let short = format!(
        "{}ms",
        machine::patience(Duration::from_millis(1)).as_millis()
    );
    for options in [
        &["--interval", &short][..],
        &["--interval", "1s"],
        &["--track", "none"],
        &["--buffer", "1024"],
    ] {
        let program = Guest::new("memory/random_operations").program();
        options
            .iter()
            .fold(program, |program, option| program.option(*option))
            .compare_success();
    }
}

fn list() -> String {
    let output = Command::new(vmmload())
        .arg("ls")
        .output()
        .expect("vmmload can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn ls_shows_the_process_while_it_runs_and_not_afterwards() {
    if !machine::can_run_inside() {
        return;
    }
    let watched = Watched::start(1, 1, &[]);
    let pid = watched.guest.pid().to_string();
    let shown = |text: &str| {
        text.lines()
            .any(|line| line.split_whitespace().any(|word| word == pid))
    };
    let running = list();
    // Long command lines are cut, so look for their beginning.
    let command = Guest::new("tracking/touch").path().display().to_string();
    assert!(
        shown(&running) && running.contains(&command[..20]),
        "{pid} is not in:\n{running}"
    );
    watched.end();
    let ended = list();
    assert!(!shown(&ended), "{pid} is still in:\n{ended}");
}

/// Files in /dev/shm whose name holds this pid.
fn segments_of(pid: libc::pid_t) -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm")
        .expect("/dev/shm can be listed")
        .flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| {
            name.split(|letter: char| !letter.is_ascii_digit())
                .any(|part| part == pid.to_string())
        })
        .collect()
}

#[test]
fn segment_goes_with_its_process() {
    if !machine::can_run_inside() {
        return;
    }
    let watched = Watched::start(10, 1, &[]);
    let pid = watched.guest.pid();
    assert_eq!(
        segments_of(pid).len(),
        1,
        "one segment, named after its process"
    );
    watched.end();
    assert_eq!(segments_of(pid), Vec::<String>::new());
}

#[test]
fn killed_process_is_not_listed_and_its_follower_ends() {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(10, 1, &[]);
    let pid = watched.guest.pid();
    watched.guest.signal(libc::SIGKILL);
    watched.guest.finish();
    watched.follower.read_to_end();
    assert!(
        !list()
            .split_whitespace()
            .any(|word| word == pid.to_string()),
        "{pid} is still listed"
    );
}

#[test]
fn dump_of_a_process_that_is_not_there_says_so() {
    if !machine::can_run_inside() {
        return;
    }
    // The test's own process runs natively.
    let pid = std::process::id().to_string();
    let outcome = Program::new(vmmload()).args(["dump", &pid]).native();
    assert_eq!(outcome.status.code(), Some(125), "{}", outcome.messages());
    assert!(
        outcome.messages().starts_with("vmmload: ") && outcome.messages().contains(&pid),
        "{}",
        outcome.messages()
    );
}
