//! The table of processes: one row for each program.

use super::model::Facts;
use crate::failure::Failure;
use crate::recording::reader::{ProgramId, Recording};
use crate::recording::rows::Batch;
use crate::recording::schema::Table;

/// What is known of a program.
///
/// # Errors
/// A file that cannot be read or is damaged.
pub(super) fn read(recording: &Recording, id: ProgramId) -> Result<Facts, Failure> {
    const COLUMNS: [&str; 28] = [
        "parent_pid",
        "command",
        "start_ns",
        "attached_ns",
        "last_ns",
        "interval_ns",
        "max_overhead",
        "track",
        "end",
        "status",
        "epochs",
        "rows",
        "events",
        "lost",
        "total_write",
        "total_read",
        "total_kernel",
        "total_pages",
        "ring_dropped",
        "heat_dropped",
        "resident_pages",
        "most_mapped_pages",
        "syscalls_relayed",
        "syscalls_emulated",
        "calls_without_exit",
        "vm_exits",
        "threads_started",
        "unknown_calls",
    ];
    let mut last = None;
    recording
        .rows(Table::Processes, id)?
        .visit(&COLUMNS, |batch| {
            if batch.len() > 0 {
                last = Some(from_row(batch, batch.len() - 1, id)?);
            }
            Ok(())
        })?;
    let mut facts = match last {
        Some(facts) => facts,
        None => from_other_tables(recording, id)?,
    };
    facts.rows_there = recording.rows(Table::Events, id)?.count();
    Ok(facts)
}

fn from_row(batch: &Batch, row: usize, id: ProgramId) -> Result<Facts, Failure> {
    let count = |name| Ok::<u64, Failure>(batch.counts(name)?[row] as u64);
    let time = |name| Ok::<i64, Failure>(batch.i64(name)?[row]);
    let text = |name| Ok::<String, Failure>(batch.text(name)?.value(row).to_owned());
    let statuses = batch.optional_i32("status")?;
    Ok(Facts {
        pid: id.pid,
        program: id.program,
        parent_pid: batch.u32("parent_pid")?[row],
        command: text("command")?,
        track: text("track")?,
        end: text("end")?,
        status: statuses.iter().nth(row).flatten(),
        start_ns: time("start_ns")?,
        attached_ns: time("attached_ns")?,
        last_ns: time("last_ns")?,
        interval_ns: time("interval_ns")?,
        max_overhead: batch.u32("max_overhead")?[row],
        epochs: count("epochs")?,
        rows: count("rows")?,
        rows_there: 0,
        events: count("events")?,
        lost: count("lost")?,
        ring_dropped: count("ring_dropped")?,
        heat_dropped: count("heat_dropped")?,
        totals: [
            count("total_write")?,
            count("total_read")?,
            count("total_kernel")?,
        ],
        total_pages: count("total_pages")?,
        most_mapped_pages: count("most_mapped_pages")?,
        resident_pages: u64::try_from(time("resident_pages")?).ok(),
        calls: count("syscalls_relayed")?.saturating_add(count("syscalls_emulated")?),
        calls_without_exit: count("calls_without_exit")?,
        vm_exits: count("vm_exits")?,
        threads_started: count("threads_started")?,
        unknown_calls: count("unknown_calls")?,
    })
}

/// What can be told of a program whose row is not there: its recorder writes it last.
fn from_other_tables(recording: &Recording, id: ProgramId) -> Result<Facts, Failure> {
    let mut facts = Facts {
        pid: id.pid,
        program: id.program,
        end: "unknown".into(),
        track: "unknown".into(),
        ..Facts::default()
    };
    let mut times: Option<(i64, i64)> = None;
    let epochs = recording.rows(Table::Epochs, id)?;
    facts.epochs = epochs.count();
    epochs.visit(&["start_ns", "end_ns", "lost"], |batch| {
        let (starts, ends) = (batch.i64("start_ns")?, batch.i64("end_ns")?);
        for (&start, &end) in starts.iter().zip(ends) {
            let (first, last) = times.unwrap_or((start, end));
            times = Some((first.min(start), last.max(end)));
        }
        let lost = batch.counts("lost")?.iter().map(|&lost| lost as u64);
        facts.lost = lost.fold(facts.lost, u64::saturating_add);
        Ok(())
    })?;
    let events = recording.rows(Table::Events, id)?;
    facts.rows = events.count();
    events.visit(&["count", "time_ns"], |batch| {
        for &count in batch.counts("count")? {
            facts.events = facts.events.saturating_add(count as u64);
        }
        for &time in batch.i64("time_ns")? {
            let (first, last) = times.unwrap_or((time, time));
            times = Some((first.min(time), last.max(time)));
        }
        Ok(())
    })?;
    let (first, last) = times.unwrap_or_default();
    (facts.start_ns, facts.attached_ns, facts.last_ns) = (first, first, last);
    Ok(facts)
}
