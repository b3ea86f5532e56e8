//! What has to be known before the numbers are believed.

use super::model::Facts;
use crate::numbers::{bytes, grouped};
use crate::recording::manifest::{End, Manifest, RowOf};
use crate::recording::reader::{Recording, Writer};
use std::time::Duration;

/// Sentences on how the recording ended early, what it has not, and what of its rows are one.
pub(super) fn of(recording: &Recording, processes: &[Facts]) -> Vec<String> {
    let manifest = recording.manifest();
    let all = [
        early_end(recording, processes),
        missing_files(manifest, processes),
        unknown_processes(recording, processes),
        nothing(processes),
        lost(processes),
        ring_dropped(processes),
        heat_dropped(processes),
        missed(manifest),
        unknown_calls(processes),
        manifest.resolution.map(resolution),
    ];
    all.into_iter().flatten().collect()
}

fn early_end(recording: &Recording, processes: &[Facts]) -> Option<String> {
    let manifest = recording.manifest();
    let reason = manifest.reason.as_deref().unwrap_or_default();
    let reason = match reason.trim_end_matches('.') {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    match (recording.writer(), manifest.end) {
        (Writer::Alive, _) => Some(
            "It is still being written: this is what there was when it was read. Numbers of processes that still run \
             are those of the recorder's last look."
                .into(),
        ),
        (Writer::Gone, _) => Some(format!(
            "The recorder ended without saying so, as if it was killed or the machine was switched off. What it had \
             written is complete up to {}; what came later is missing.",
            last(processes)
        )),
        (_, End::Stopped) => Some(format!(
            "Recording was stopped{reason}. What programs did later is not in it."
        )),
        (_, End::Failed) => Some(format!(
            "Recording could not go on{reason}. What came later is missing."
        )),
        (_, End::Complete | End::Unfinished) => None,
    }
}

/// How far there is anything.
fn last(processes: &[Facts]) -> String {
    let start = processes.iter().map(|facts| facts.start_ns).min();
    let end = processes.iter().map(|facts| facts.last_ns).max();
    match start.zip(end) {
        Some((start, end)) => {
            let seconds = end.saturating_sub(start) as f64 / 1e9;
            format!("{seconds:.3} s after it began")
        }
        None => "its beginning".into(),
    }
}

/// Files that somebody has removed.
fn missing_files(manifest: &Manifest, processes: &[Facts]) -> Option<String> {
    let there: u64 = processes.iter().map(|facts| facts.rows_there).sum();
    let is_less = manifest.end != End::Unfinished && there != manifest.rows;
    is_less.then(|| {
        format!(
            "Its table of events has {} rows, and {} are in its files: files are missing, or are others than \
             were recorded. Numbers below are of what is there.",
            grouped(manifest.rows),
            grouped(there)
        )
    })
}

fn unknown_processes(recording: &Recording, processes: &[Facts]) -> Option<String> {
    let unknown = processes.iter().filter(|facts| facts.end == "unknown");
    match (unknown.count(), recording.writer()) {
        (0, _) | (_, Writer::Alive) => None,
        (some, _) => Some(format!(
            "Of {} the row in the table of processes is missing: command, totals and counters are not known.",
            counted(some as u64, "process", "processes")
        )),
    }
}

fn nothing(processes: &[Facts]) -> Option<String> {
    if processes.is_empty() {
        return Some("No process was recorded.".into());
    }
    if processes.iter().all(|facts| facts.track == "none") {
        return Some(
            "Pages were not watched (--track none): there are mappings and counters only.".into(),
        );
    }
    let none = processes.iter().all(|facts| facts.events == 0);
    none.then(|| "No event was recorded: no page was seen touched.".into())
}

fn lost(processes: &[Facts]) -> Option<String> {
    let lost = sum(processes, |facts| facts.lost);
    (lost > 0).then(|| {
        format!(
            "{} were overwritten before the recorder came to them: pages and events of those moments are missing \
             below, and so are counts too low. A longer interval, or a processor that is free for the recorder, \
             helps.",
            counted(lost, "record", "records")
        )
    })
}

fn ring_dropped(processes: &[Facts]) -> Option<String> {
    let dropped = sum(processes, |facts| facts.ring_dropped);
    (dropped > 0).then(|| {
        format!(
            "{} found no memory in the ring and are missing below: /dev/shm was full. The totals since the start \
             have them.",
            counted(dropped, "record", "records")
        )
    })
}

fn heat_dropped(processes: &[Facts]) -> Option<String> {
    let dropped = sum(processes, |facts| facts.heat_dropped);
    (dropped > 0).then(|| {
        format!(
            "{} found no room in the heat table: the totals since the start lack them, and their pages may have \
             several records in an epoch.",
            counted(dropped, "event", "events")
        )
    })
}

fn missed(manifest: &Manifest) -> Option<String> {
    (manifest.missed > 0).then(|| {
        format!(
            "{} came and went too fast to be recorded: nothing is known of what they touched.",
            counted(manifest.missed, "process", "processes")
        )
    })
}

fn unknown_calls(processes: &[Facts]) -> Option<String> {
    let calls = sum(processes, |facts| facts.unknown_calls);
    (calls > 0).then(|| {
        format!(
            "Of {} it is not known what the kernel wrote for the program: kernel events may be too few.",
            counted(calls, "system call", "system calls")
        )
    })
}

fn resolution(row: RowOf) -> String {
    let time = humantime::format_duration(Duration::from_nanos(row.time_ns));
    if row.bytes <= 4096 {
        return format!(
            "Recorded with --resolution {time}: events of a page within that time are one row. Where they lie \
             within it is not known, and in how many epochs a page was touched is an estimate where the kernel \
             wrote it, too."
        );
    }
    let block = bytes(row.bytes);
    format!(
        "Recorded with --resolution {time},{block}: events of {block} within that time are one row. Pages of \
         such a block are not told apart: distinct pages are the most of any of its rows, which is a lower \
         bound, and how often a page was touched is the average of its block."
    )
}

fn sum(processes: &[Facts], of: impl Fn(&Facts) -> u64) -> u64 {
    processes.iter().map(of).fold(0, u64::saturating_add)
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        grouped(number),
        if number == 1 { one } else { many }
    )
}
