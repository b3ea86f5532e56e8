//! The report for terminals.

mod process;
#[cfg(test)]
mod tests;

use crate::analysis::model::{Analysis, Facts};
use crate::numbers::{bytes, grouped, short};
use crate::plain::{clean, line, paragraph, table};
use crate::recording::manifest::{End, Manifest};
use std::time::Duration;

/// Most processes in the table.
const MOST_PROCESSES: usize = 40;

/// The whole report.
pub(super) fn report(analysis: &Analysis) -> String {
    let mut text = head(&analysis.manifest, &analysis.processes);
    if !analysis.notes.is_empty() {
        text += "\nBefore you believe the numbers\n";
        for note in &analysis.notes {
            text += &paragraph("  - ", "    ", note);
        }
    }
    text += &processes(&analysis.processes);
    for process in &analysis.close {
        text += &process::section(process);
    }
    let others = analysis.processes.len() - analysis.close.len();
    if others > 0 && !analysis.close.is_empty() {
        text += "\n";
        let rest = format!(
            "Not looked at closely: {} more. --processes N shows more of them, --pid PID one of them.",
            counted_programs(others)
        );
        text += &paragraph("", "", &rest);
    }
    if analysis.close.iter().any(|process| process.pages > 0) {
        text += HOW_TO_READ;
    }
    text
}

fn counted_programs(number: usize) -> String {
    match number {
        1 => "1 process".into(),
        _ => format!("{} processes", grouped(number as u64)),
    }
}

/// What was recorded, when and where.
fn head(manifest: &Manifest, processes: &[Facts]) -> String {
    let machine = &manifest.machine;
    let ended = manifest.ended.as_deref();
    let mut text = format!("vmmload: recording of {}\n", clean(&manifest.what));
    text += &line(
        "recorded",
        &match ended {
            Some(ended) => format!("{} to {ended}{}", manifest.began, length(processes)),
            None => format!("from {}{}", manifest.began, length(processes)),
        },
    );
    text += &line("ended", &end(manifest));
    text += &line(
        "machine",
        &format!(
            "{}: {}, {} processors, {}; kernel {}",
            machine.host,
            machine.processor,
            machine.processors,
            bytes(machine.memory),
            machine.kernel
        ),
    );
    let row = match manifest.resolution {
        None => "a page, a kind and an epoch".to_owned(),
        Some(row) => format!(
            "{} within {}, by kind",
            bytes(row.bytes),
            humantime::format_duration(Duration::from_nanos(row.time_ns))
        ),
    };
    let rows: u64 = processes.iter().map(|facts| facts.rows_there).sum();
    let events: u64 = processes.iter().map(|facts| facts.events).sum();
    text += &line(
        "events",
        &format!(
            "{} in {} rows; each row is {row}",
            grouped(events),
            grouped(rows)
        ),
    );
    text += &line("written by", &format!("vmmload {}", manifest.vmmload));
    text
}

/// From the first start to the last end.
fn length(processes: &[Facts]) -> String {
    let first = processes.iter().map(|facts| facts.attached_ns).min();
    let last = processes.iter().map(|facts| facts.last_ns).max();
    first.zip(last).map_or(String::new(), |(first, last)| {
        let seconds = last.saturating_sub(first).max(0) as f64 / 1e9;
        format!(" ({seconds:.3} s)")
    })
}

fn end(manifest: &Manifest) -> String {
    let status = match manifest.status {
        Some(status) => format!("; exit status {status}"),
        None => String::new(),
    };
    let how = match manifest.end {
        End::Unfinished => "not yet, or without a word: see below",
        End::Complete => "when all processes had ended",
        End::Stopped => "early, as it was asked to",
        End::Failed => "early, by a failure",
    };
    format!("{how}{status}")
}

/// How a program ended, in a word or two.
fn ended(facts: &Facts) -> String {
    match (facts.end.as_str(), facts.status) {
        ("exited", Some(status)) => format!("exit {status}"),
        ("signaled", Some(signal)) => format!("signal {signal}"),
        ("replaced" | "native", _) => "exec".into(),
        (end, _) => end.into(),
    }
}

fn processes(processes: &[Facts]) -> String {
    const HEADINGS: [&str; 7] = ["PID", "END", "TIME", "EVENTS", "EV/S", "LOST", "COMMAND"];
    let row = |facts: &Facts| {
        let seconds = facts.last_ns.saturating_sub(facts.attached_ns).max(0) as f64 / 1e9;
        let rate = facts.events as f64 / seconds.max(1e-3);
        [
            facts.pid.to_string(),
            clean(&ended(facts)),
            format!("{seconds:.1} s"),
            grouped(facts.events),
            short(rate),
            grouped(facts.lost),
            crate::plain::cut(command(facts), 30),
        ]
    };
    let shown = processes.iter().take(MOST_PROCESSES);
    let mut text = String::from("\n") + &table(HEADINGS, &shown.map(row).collect::<Vec<_>>());
    if let Some(rest) = processes
        .get(MOST_PROCESSES..)
        .filter(|rest| !rest.is_empty())
    {
        let events: u64 = rest.iter().map(|facts| facts.events).sum();
        text += &format!(
            "  and {} more with {} events\n",
            grouped(rest.len() as u64),
            grouped(events)
        );
    }
    match processes.is_empty() {
        true => String::new(),
        false => text,
    }
}

/// What a program is called.
fn command(facts: &Facts) -> &str {
    match facts.command.as_str() {
        "" => "(not known)",
        command => command,
    }
}

const HOW_TO_READ: &str = "
How to read this
  An event says that a page of 4 KiB was touched in an epoch, not how often: one
  store and a million stores to it in one epoch are one event. A page that is
  touched in every epoch is hot, whatever was done with it there. Long epochs
  make pages alike: shorter ones (-i 10ms) tell them apart.
  Write events are stores of the program. Read events (--track readwrite only)
  are loads and executed instructions in epochs without a store. Kernel events
  are what system calls wrote for the program.
  Where epochs were stretched to keep tracking within its limit, they count like
  any other. Pages that were written in eight epochs in a row may then be left
  alone: they are watched in one epoch of 32 only, and have fewer events.
  Mapped but untouched memory may be needed nevertheless: by the next phase of
  the program, or for loads that were not watched.
";
