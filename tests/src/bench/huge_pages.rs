//! Rows about huge pages: what becomes of a program's own, and of the time that they save it.

use std::fs;
use std::time::{Duration, Instant};

use vmmload_tests::Guest;

use super::options::Options;
use super::row::{Comparison, EVERY_100_MS, Row, Tracking, Unit};
use super::runner::Runner;
use super::worker::Worker;

const GROUP: &str = "thp";

/// The second half of each pair.
#[derive(Clone, Copy)]
enum Other {
    /// Natively, with small pages only: what the huge ones are worth.
    SmallPages,
    Inside(Tracking),
}

/// What one run tells.
struct Run {
    first_ns: f64,
    second_ns: f64,
    read_ns: f64,
    /// MiB of the buffer that the host kernel has in huge pages after the reads.
    huge_mib: f64,
}

/// Four rows for each second half: writing twice, reading, and huge pages.
pub(crate) fn measure(runner: &Runner, options: &Options, add: &mut dyn FnMut(Row)) {
    let mib = options.size(256, 64);
    for other in [
        Other::SmallPages,
        Other::Inside(Tracking::Off),
        Other::Inside(EVERY_100_MS),
    ] {
        let rows = empty_rows(mib, other);
        if rows.iter().any(|row| options.wants_row(GROUP, &row.name)) {
            let rows = measure_rows(rows, mib, other, runner, options);
            rows.into_iter()
                .filter(|row| options.wants_row(GROUP, &row.name))
                .for_each(&mut *add);
        }
    }
}

fn empty_rows(mib: u64, other: Other) -> [Row; 4] {
    let (ending, tracking) = match other {
        Other::SmallPages => (", natively in 4 KiB pages", None),
        Other::Inside(tracking) => ("", Some(tracking)),
    };
    let row = |what: &str, unit, comparison| Row {
        tracking,
        comparison,
        ..Row::new(GROUP, format!("{what}{ending}"), unit)
    };
    [
        row(
            &format!("first write of {mib} MiB"),
            Unit::Nanoseconds,
            Comparison::Slowdown,
        ),
        row("second write", Unit::Nanoseconds, Comparison::Slowdown),
        row("reads all over it", Unit::Nanoseconds, Comparison::Slowdown),
        row("in huge pages", Unit::Mebibytes, Comparison::Difference),
    ]
}

fn measure_rows(
    mut rows: [Row; 4],
    mib: u64,
    other: Other,
    runner: &Runner,
    options: &Options,
) -> [Row; 4] {
    let guest = Guest::new("costs/huge_pages").path().display().to_string();
    let reads = options.size(10_000_000, 2_000_000);
    let line = |pages: &str| {
        let numbers = [mib, reads].map(|number| number.to_string());
        let words = [guest.clone(), numbers[0].clone(), numbers[1].clone()];
        words.into_iter().chain([pages.into()]).collect::<Vec<_>>()
    };
    let second = match other {
        Other::SmallPages => line("small"),
        Other::Inside(tracking) => runner.inside(tracking, &line("huge")),
    };
    let share = options.share(Duration::from_secs(30));
    let started = Instant::now();
    for round in 0..options.rounds(1) {
        if round > 0 && started.elapsed() > share {
            break;
        }
        match pair(&line("huge"), &second) {
            Ok((native, other)) => record(&mut rows, &native, &other),
            Err(error) => {
                rows.iter_mut()
                    .for_each(|row| row.error = Some(error.clone()));
                break;
            }
        }
    }
    rows
}

/// Natively once beforehand: a machine that is a VM itself may have to get its memory from its host first.
fn pair(native: &[String], second: &[String]) -> Result<(Run, Run), String> {
    run(native)?;
    Ok((run(native)?, run(second)?))
}

fn record(rows: &mut [Row; 4], native: &Run, other: &Run) {
    let figures: [fn(&Run) -> f64; 4] = [
        |run| run.first_ns,
        |run| run.second_ns,
        |run| run.read_ns,
        |run| run.huge_mib,
    ];
    for (row, figure) in rows.iter_mut().zip(figures) {
        row.native.push(figure(native));
        row.inside.push(figure(other));
    }
}

fn run(line: &[String]) -> Result<Run, String> {
    let mut worker = Worker::start(line)?;
    let written = worker.until("ready")?;
    worker.go_on()?;
    let read = worker.until("done")?;
    let figure = |key: &str| {
        let value = written.get(key).or(read.get(key)).copied();
        value.ok_or(format!("it tells no {key}"))
    };
    let buffer = figure("buffer")? as u64..figure("buffer_end")? as u64;
    let run = Run {
        first_ns: figure("first_ns")?,
        second_ns: figure("second_ns")?,
        read_ns: figure("work_ns")?,
        huge_mib: huge_kib(worker.pid(), &buffer)? as f64 / 1024.0,
    };
    worker.end()?;
    Ok(run)
}

/// `AnonHugePages` of the mappings that the buffer lies in, as the host kernel has them.
fn huge_kib(pid: u32, buffer: &std::ops::Range<u64>) -> Result<u64, String> {
    let path = format!("/proc/{pid}/smaps");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let mut within = false;
    let mut kib = 0;
    for line in text.lines() {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if let Some((start, end)) = word.split_once('-') {
            let address = |text| u64::from_str_radix(text, 16).ok();
            let (start, end) = (address(start), address(end));
            within = start.is_some_and(|start| start < buffer.end)
                && end.is_some_and(|end| end > buffer.start);
        } else if within && word == "AnonHugePages:" {
            let number = rest.split_whitespace().next().unwrap_or_default();
            kib += number.parse::<u64>().map_err(|e| format!("{line}: {e}"))?;
        }
    }
    Ok(kib)
}
