//! Rows about the ring by itself, without a program or a VM: publishing, reading, waking up, and what readers cost
//! the writer. Times are those on a processor, in the quickest of five parts of a run, but for the latencies: so
//! that a busy machine shows less.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Session, ring};

use super::options::Options;
use super::row::{Comparison, Row, Unit};

const GROUP: &str = "ring";

/// An event with its heat may take the writer this long.
const PUBLISH_NS: f64 = 15.0;
/// 50 million events a second.
const COMPILED_READER_NS: f64 = 20.0;
/// 20 million events a second.
const PYTHON_READER_NS: f64 = 50.0;
/// Sleeping readers may slow the writer by this factor: by nothing, as far as one can tell.
const IDLE_READERS: f64 = 1.02;

/// A program's figures by name.
type Figures = BTreeMap<String, f64>;

/// A row of one figure: its name, its key, and at most what it may be.
type Plain = (&'static str, &'static str, Option<f64>);

/// Runs every row that the options leave in.
pub(crate) fn measure(options: &Options, add: &mut dyn FnMut(Row)) {
    const PUBLISHED: &[Plain] = &[
        (
            "publish an event, with its heat",
            "record_ns",
            Some(PUBLISH_NS),
        ),
        ("publish an event, the ring alone", "ring_ns", None),
    ];
    let events = options.size(50_000_000, 10_000_000).to_string();
    plain_rows(PUBLISHED, options, add, || {
        told(&["publish", &events], |_| Ok(Figures::new()))
    });
    const READ: &[Plain] = &[
        (
            "read an event, Rust, one by one",
            "next_ns",
            Some(COMPILED_READER_NS),
        ),
        (
            "read an event, Rust, batches",
            "batch_ns",
            Some(COMPILED_READER_NS),
        ),
        (
            "read an event, C, batches",
            "c_ns",
            Some(COMPILED_READER_NS),
        ),
        (
            "read an event, Python, batches",
            "python_ns",
            Some(PYTHON_READER_NS),
        ),
        (
            "read an event, Python, batches that are kept",
            "python_copy_ns",
            None,
        ),
    ];
    let laps = options.size(500, 100).to_string();
    let scratch = Scratch::new();
    plain_rows(READ, options, add, || {
        told(&["read", &laps], |file| others(&scratch, file, &laps))
    });
    let samples = options.size(5000, 1000).to_string();
    for (how, rows) in LATENCIES {
        plain_rows(rows, options, add, || {
            told(&["latency", how, &samples], |_| Ok(Figures::new()))
        });
    }
    for (count, how) in [(1, "idle"), (4, "idle"), (1, "follow"), (4, "follow")] {
        slowdown(count, how, options, add);
    }
}

const LATENCIES: &[(&str, &[Plain])] = &[
    (
        "polling",
        &[
            ("from publishing to a polling reader", "median_ns", None),
            ("the same, 99th percentile", "p99_ns", None),
        ],
    ),
    (
        "sleeping",
        &[
            ("from publishing to a sleeping reader", "median_ns", None),
            ("the same, asleep, 99th percentile", "p99_ns", None),
        ],
    ),
];

/// Rows that one command has the figures of, run as often as pairs are.
fn plain_rows(
    plain: &[Plain],
    options: &Options,
    add: &mut dyn FnMut(Row),
    run: impl Fn() -> Result<Figures, String>,
) {
    let mut rows: Vec<(Row, &str)> = plain
        .iter()
        .filter(|(name, ..)| options.wants_row(GROUP, name))
        .map(|&(name, key, target)| {
            let mut row = Row::new(GROUP, name, Unit::Nanoseconds);
            (row.comparison, row.target_at_most) = (Comparison::None, target);
            (row, key)
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    for _ in 0..options.rounds(1) {
        let figures = run();
        for (row, key) in &mut rows {
            match figures.as_ref().map(|figures| figures.get(*key)) {
                Ok(Some(figure)) => row.mini_vm.push(*figure),
                Ok(None) => row.error = Some(format!("no {key}")),
                Err(error) => row.error = Some(error.clone()),
            }
        }
    }
    rows.into_iter().for_each(|(row, _)| add(row));
}

/// What `ring` tells, and with it what `others` find out about the file that it names.
fn told(
    arguments: &[&str],
    others: impl Fn(&Path) -> Result<Figures, String>,
) -> Result<Figures, String> {
    let mut command = Command::new(ring::program());
    command.args(arguments);
    let mut process = Session::start(command);
    let mut figures = Figures::new();
    while let Ok(line) = process.line_within(std::time::Duration::from_secs(60)) {
        match line.strip_prefix("file ") {
            Some(file) => {
                figures.extend(others(Path::new(file))?);
                break;
            }
            None => figures.extend(figure(&line)?),
        }
    }
    process.finish();
    Ok(figures)
}

fn figure(line: &str) -> Result<Option<(String, f64)>, String> {
    let (key, number) = line.split_once(' ').ok_or(format!("no figure: {line}"))?;
    let number = number.parse().map_err(|e| format!("{line}: {e}"))?;
    Ok(Some((key.to_owned(), number)))
}

/// The same ring, read in C and in Python.
fn others(scratch: &Scratch, file: &Path, laps: &str) -> Result<Figures, String> {
    let mut python = ring::python_reader(scratch, "laps");
    let mut c = Command::new(ring::c_reader(scratch, "laps"));
    let mut figures = Figures::new();
    for (command, prefix) in [(&mut c, "c"), (&mut python, "python")] {
        let output = command.arg(file).arg(laps).output();
        let output = output.map_err(|e| format!("{command:?}: {e}"))?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let found = figure(line)?.map(|(key, number)| {
                let key = key
                    .strip_prefix("batch")
                    .map_or(format!("_{key}"), str::to_owned);
                (format!("{prefix}{key}"), number)
            });
            figures.extend(found);
        }
    }
    Ok(figures)
}

/// A writer alone, and the same with readers.
fn slowdown(count: usize, how: &str, options: &Options, add: &mut dyn FnMut(Row)) {
    let what = if how == "idle" {
        "sleep"
    } else {
        "read all the time"
    };
    let name = format!("publish while {count} {what}");
    if !options.wants_row(GROUP, &name) {
        return;
    }
    let mut row = Row::new(GROUP, name, Unit::Nanoseconds);
    row.comparison = Comparison::Slowdown;
    row.target_at_most = (how == "idle").then_some(IDLE_READERS);
    row.note = Some("native: nobody reads; vmmload: those do".into());
    let events = options.size(50_000_000, 10_000_000);
    for _ in 0..options.rounds(2) {
        row.native.push(written(events, 0, how));
        row.inside.push(written(events, count, how));
    }
    add(row);
}

/// Nanoseconds of a writer for each event, with so many readers.
fn written(events: u64, readers: usize, how: &str) -> f64 {
    let name = format!("vmmload-figures-{}", std::process::id());
    let file: PathBuf = Path::new("/dev/shm").join(&name);
    let mut command = Command::new(ring::program());
    command.args(["write", &name, &events.to_string()]);
    let mut writer = Session::start(command);
    writer.line();
    let mut attached: Vec<Session> = (0..readers)
        .map(|_| {
            let mut command = Command::new(ring::program());
            command.arg(how).arg(&file);
            let mut reader = Session::start(command);
            reader.line();
            reader
        })
        .collect();
    writer.send("go\n");
    let line = writer.line();
    for reader in &mut attached {
        reader.finish();
    }
    writer.finish();
    let number = line
        .split(' ')
        .nth(1)
        .and_then(|number| number.parse().ok());
    number.unwrap_or(f64::NAN)
}
