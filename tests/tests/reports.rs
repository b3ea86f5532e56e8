//! What `dump` and the summary say beyond single records: of epochs, of regions, of memory that is only there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use vmmload_tests::dump::{Record, events, lost};
use vmmload_tests::watched::{Watched, hexadecimal, several_epochs};
use vmmload_tests::{Guest, Program, machine, vmmload};

/// Bytes of a huge page.
const REGION: u64 = 2 << 20;

/// Runs a program that must succeed with these options of `vmmload run`, and gives its summary.
#[track_caller]
fn summary(program: Program, options: &[&str]) -> String {
    let program = options
        .iter()
        .fold(program.option("--summary"), |program, option| {
            program.option(*option)
        });
    let outcome = program.inside();
    outcome.assert_success("the guest");
    outcome.messages()
}

/// The numbers in the summary's line that begins with `label`, as far as they are words of their own.
#[track_caller]
fn numbers(summary: &str, label: &str) -> Vec<u64> {
    let line = summary
        .lines()
        .find_map(|line| line.trim().strip_prefix(label));
    let line = line.unwrap_or_else(|| panic!("no line {label} in:\n{summary}"));
    line.split_whitespace()
        .filter_map(|word| word.replace(',', "").parse().ok())
        .collect()
}

/// An epoch of a dump.
#[derive(Debug, Default)]
struct Epoch {
    number: u64,
    /// Pages with any event, as the epoch's line has it.
    touched: u64,
    /// The records before that line, by kind.
    records: BTreeMap<String, u64>,
    /// Their pages.
    pages: BTreeSet<u64>,
}

/// The epochs of a dump. Checks that the records of each come before its line, and that its counts are theirs.
#[track_caller]
fn epochs(records: &[Record]) -> Vec<Epoch> {
    let (mut open, mut ended, mut last) = (Epoch::default(), Vec::new(), 0);
    for record in records {
        match record {
            Record::Page {
                address,
                epoch,
                kind,
                ..
            } => {
                assert!(*epoch > last, "a record of epoch {epoch} after its end");
                open.number = *epoch;
                *open.records.entry(kind.clone()).or_default() += 1;
                open.pages.insert(*address);
            }
            Record::Epoch {
                number, touched, ..
            } => {
                assert!(*number > last, "epoch {number} ends after epoch {last}");
                assert!(open.pages.is_empty() || open.number == *number);
                (open.number, open.touched, last) = (*number, *touched, *number);
                assert_counts(record, &open);
                ended.push(std::mem::take(&mut open));
            }
            _ => {}
        }
    }
    assert!(open.pages.is_empty(), "an epoch without an end: {open:?}");
    ended
}

#[track_caller]
fn assert_counts(record: &Record, epoch: &Epoch) {
    if let Record::Epoch {
        written,
        read,
        kernel,
        ..
    } = record
    {
        let count = |kind| epoch.records.get(kind).copied().unwrap_or(0);
        let counted = ["write", "read", "kernel"].map(count);
        assert_eq!([*written, *read, *kernel], counted, "{epoch:?}");
    }
}

#[test]
fn an_epoch_comes_behind_its_records_and_says_how_many_pages_they_have() {
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(500, 1, &["--track", "readwrite"]);
    for command in ['w', 'r', 'k', 'w'] {
        watched.command(command);
        std::thread::sleep(several_epochs());
    }
    let buffer = watched.buffer.clone();
    let records = watched.end();
    assert_eq!(lost(&records), 0);
    // Elsewhere one mapping may take the place of another within an epoch, and its pages count twice.
    let has_buffer = |epoch: &Epoch| epoch.pages.iter().any(|page| buffer.contains(page));
    let epochs: Vec<Epoch> = epochs(&records).into_iter().filter(has_buffer).collect();
    for epoch in &epochs {
        assert_eq!(epoch.touched, epoch.pages.len() as u64, "{epoch:?}");
    }
    assert!(epochs.len() >= 4, "only {} have the buffer", epochs.len());
}

#[test]
fn regions_add_up_to_the_pages_that_were_touched() {
    if !machine::can_run_inside() {
        return;
    }
    let (pages, stride) = (1500, 7);
    let mut watched = Watched::start(pages, stride, &[]);
    watched.command('w');
    let (buffer, expected) = (watched.buffer.clone(), watched.expected(stride, 1));
    let all = |records: &[Record]| events(records, "write", &buffer).len() == expected.len();
    assert!(watched.follower.read_until(several_epochs() * 20, all));
    let dump = Command::new(vmmload())
        .args(["dump", &watched.guest.pid().to_string()])
        .args(["--regions", "--format", "json"])
        .output()
        .expect("vmmload dump runs");
    assert!(dump.status.success());
    let text = String::from_utf8(dump.stdout).expect("JSON is text");
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let region: Value = serde_json::from_str(line).expect("JSON lines");
        assert_eq!(region["type"], "region", "{line}");
        let addr = hexadecimal(region["addr"].as_str().expect("an address"));
        found.insert(addr, region["written"].as_u64().expect("a number"));
    }
    let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
    for page in expected.keys() {
        *wanted.entry(page / REGION * REGION).or_default() += 1;
    }
    // The regions at both ends have other memory in them, too.
    let inside = |region: u64| region >= buffer.start && region + REGION <= buffer.end;
    for (region, written) in wanted {
        let seen = found.get(&region).copied().unwrap_or(0);
        match inside(region) {
            true => assert_eq!(seen, written, "{region:#x}"),
            false => assert!(seen >= written, "{region:#x}: {seen} of {written}"),
        }
    }
    watched.end();
}

#[test]
fn memory_that_is_only_there_is_cold() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = || Guest::new("tracking/populated").program();
    let text = summary(guest(), &["--track", "readwrite"]);
    let [resident, cold, ..] = numbers(&text, "resident")[..] else {
        panic!("no numbers of pages in:\n{text}");
    };
    // Of the 2,000 pages, 500 are touched.
    assert!(cold >= 1500 && resident >= cold + 500, "{text}");
    assert!(text.contains("never touched"), "{text}");
    // Where reads are not watched, those that were read are not told from the others.
    let text = summary(guest(), &[]);
    let [_, unwritten, ..] = numbers(&text, "resident")[..] else {
        panic!("no numbers of pages in:\n{text}");
    };
    assert!(unwritten >= 1800, "{text}");
    assert!(text.contains("never written"), "{text}");
}

#[test]
fn an_interval_of_zero_counts_every_page() {
    if !machine::can_run_inside() {
        return;
    }
    let pages = 3000;
    let guest = Guest::new("tracking/touch").program();
    let guest = guest.args([pages.to_string(), "1".to_owned()]).input("wwq");
    let text = summary(guest, &["-i", "0", "--max-overhead", "100"]);
    assert!(text.contains("no limit"), "{text}");
    assert!(numbers(&text, "events")[0] >= pages, "{text}");
    // The command reads a line from its input in between, so that there are several epochs.
    assert!(numbers(&text, "epochs")[0] >= 2, "{text}");
    assert!(numbers(&text, "working set")[2] <= 2 * pages, "{text}");
}

#[test]
fn the_summary_has_a_line_for_everything_it_is_asked_for() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = Guest::new("tracking/touch").program();
    let guest = guest.args(["600".to_owned(), "1".to_owned()]).input("wrkq");
    let text = summary(guest, &["--track", "readwrite"]);
    for label in [
        "time",
        "epochs",
        "tracking",
        "working set",
        "pages",
        "resident",
        "events",
        "kernel",
        "calls",
        "exits",
        "threads",
        "huge pages",
    ] {
        let found = text.lines().any(|line| line.trim().starts_with(label));
        assert!(found, "no line {label} in:\n{text}");
    }
    assert!(numbers(&text, "huge pages")[0] >= 2, "{text}");
    assert!(
        text.lines()
            .any(|line| line.ends_with("(anonymous memory)")),
        "{text}"
    );
}

#[test]
fn options_reach_the_program_that_another_executes() {
    if !machine::can_run_inside() {
        return;
    }
    let shell = Program::new("sh").args(["-c".to_owned(), "exec true".to_owned()]);
    let options = ["--max-overhead", "7", "--track", "readwrite", "-i", "0"];
    let text = summary(shell, &options);
    assert_eq!(text.matches("summary of process").count(), 2, "{text}");
    for part in ["(limit 7 %)", ", as short as", "read and never written"] {
        assert_eq!(text.matches(part).count(), 2, "{part} in:\n{text}");
    }
}
