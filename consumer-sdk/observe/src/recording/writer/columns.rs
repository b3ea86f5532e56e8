//! Rows as columns, in the order of the schema.

use crate::recording::schema::Table;
use crate::recording::writer::facts::{Counts, Origin};
use crate::recording::writer::resolution::Row;
use crate::recording::writer::{EpochRow, Key, MappingRow};
use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
    UInt32Array,
};
use arrow::error::ArrowError;
use std::sync::Arc;
use vmmload_consumer::{Counter, End, Kind, Mark, Status};

/// What stands in front of every row, and tells the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) recording: &'a str,
    pub(crate) key: Key,
    pub(crate) origin: &'a Origin,
}

/// What the table of processes says besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    pub(crate) status: Status,
    pub(crate) epochs: u64,
    pub(crate) rows: u64,
    pub(crate) events: u64,
    /// How far, `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) last_ns: u64,
}

/// A column of each row, one behind the other.
struct Columns<'a> {
    frame: Frame<'a>,
    rows: usize,
    columns: Vec<ArrayRef>,
}

/// A count or time as the signed number that every engine has.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl<'a> Columns<'a> {
    fn new(frame: Frame<'a>, rows: usize) -> Self {
        let columns = Vec::new();
        let columns = Self {
            frame,
            rows,
            columns,
        };
        let Key { pid, program } = frame.key;
        columns
            .text((0..rows).map(|_| frame.recording))
            .small((0..rows).map(|_| pid))
            .small((0..rows).map(|_| program))
    }

    fn small(mut self, values: impl Iterator<Item = u32>) -> Self {
        self.columns
            .push(Arc::new(UInt32Array::from_iter_values(values)));
        self
    }

    fn whole(self, values: impl Iterator<Item = u64>) -> Self {
        self.signed(values.map(whole))
    }

    fn signed(mut self, values: impl Iterator<Item = i64>) -> Self {
        self.columns
            .push(Arc::new(Int64Array::from_iter_values(values)));
        self
    }

    /// An address: with its highest bit set, a negative number.
    fn address(self, values: impl Iterator<Item = u64>) -> Self {
        self.signed(values.map(u64::cast_signed))
    }

    /// Times on `CLOCK_MONOTONIC`, as times of day.
    fn time(mut self, values: impl Iterator<Item = u64>) -> Self {
        let walls = values.map(|time_ns| self.frame.origin.wall_ns(time_ns));
        let walls = TimestampNanosecondArray::from_iter_values(walls);
        self.columns.push(Arc::new(walls.with_timezone("UTC")));
        self
    }

    fn text<T: AsRef<str>>(mut self, values: impl Iterator<Item = T>) -> Self {
        self.columns
            .push(Arc::new(StringArray::from_iter_values(values)));
        self
    }

    fn optional(mut self, value: Option<i32>) -> Self {
        self.columns.push(Arc::new(Int32Array::from(vec![value])));
        self
    }

    fn batch(self, table: Table) -> Result<RecordBatch, ArrowError> {
        debug_assert!(self.columns.iter().all(|column| column.len() == self.rows));
        RecordBatch::try_new(table.schema(), self.columns)
    }
}

/// Rows of the table of events.
///
/// # Errors
/// None that depends on the rows, as for those below.
pub(crate) fn events(frame: Frame<'_>, rows: &[Row]) -> Result<RecordBatch, ArrowError> {
    let all = || rows.iter();
    Columns::new(frame, rows.len())
        .time(all().map(|row| row.time_ns))
        .whole(all().map(|row| row.time_ns))
        .small(all().map(|row| row.epoch))
        .address(all().map(|row| row.addr))
        .text(all().map(|row| row.kind.name()))
        .text(all().map(|row| row.method.name()))
        .whole(all().map(|row| row.count))
        .whole(all().map(|row| row.pages.into()))
        .whole(all().map(|row| row.bytes))
        .small(all().map(|row| row.mapping))
        .batch(Table::Events)
}

/// Rows of the table of epochs.
pub(crate) fn epochs(frame: Frame<'_>, rows: &[EpochRow]) -> Result<RecordBatch, ArrowError> {
    let all = || rows.iter().map(|row| row.epoch);
    Columns::new(frame, rows.len())
        .time(all().map(|epoch| epoch.start_ns))
        .small(all().map(|epoch| epoch.number))
        .whole(all().map(|epoch| epoch.start_ns))
        .whole(all().map(|epoch| epoch.end_ns))
        .whole(all().map(|epoch| epoch.cost_ns))
        .small(all().map(|epoch| epoch.ticks))
        .small(all().map(|epoch| epoch.written))
        .small(all().map(|epoch| epoch.read))
        .small(all().map(|epoch| epoch.kernel))
        .small(all().map(|epoch| epoch.touched))
        .small(all().map(|epoch| epoch.left_alone))
        .whole(rows.iter().map(|row| row.lost))
        .batch(Table::Epochs)
}

/// Rows of the table of mappings.
pub(crate) fn mappings(frame: Frame<'_>, rows: &[MappingRow]) -> Result<RecordBatch, ArrowError> {
    let all = || rows.iter().map(|row| &row.mapping);
    Columns::new(frame, rows.len())
        .time(rows.iter().map(|row| row.seen_ns))
        .small(all().map(|mapping| mapping.id))
        .address(all().map(|mapping| mapping.start))
        .address(all().map(|mapping| mapping.end))
        .whole(all().map(|mapping| mapping.offset))
        .text(all().map(|mapping| mapping.permissions()))
        .text(all().map(|mapping| &mapping.name))
        .text(all().map(|mapping| mapping.class.name()))
        .small(all().map(|mapping| mapping.thread))
        .small(all().map(|mapping| mapping.born))
        .small(all().map(|mapping| mapping.retired))
        .batch(Table::Mappings)
}

/// Rows of the table of marks.
pub(crate) fn marks(frame: Frame<'_>, rows: &[Mark]) -> Result<RecordBatch, ArrowError> {
    let all = || rows.iter();
    Columns::new(frame, rows.len())
        .time(all().map(|mark| mark.time_ns))
        .whole(all().map(|mark| mark.time_ns))
        .text(all().map(|mark| &mark.name))
        .small(all().map(|mark| mark.epoch))
        .small(all().map(|mark| mark.thread))
        .batch(Table::Marks)
}

/// The row of the table of processes.
pub(crate) fn process(
    frame: Frame<'_>,
    counts: &Counts,
    recorded: Recorded,
) -> Result<RecordBatch, ArrowError> {
    use std::iter::once;
    let origin = frame.origin;
    let info = &counts.info;
    let counter = |which: Counter| once(info.counter(which));
    let (parent, parent_start) = origin
        .parent
        .map_or((0, 0), |parent| (parent.pid, parent.start));
    let track = origin.track.map_or("unknown", |track| track.name());
    let (end, status) = end_of(recorded.status);
    Columns::new(frame, 1)
        .whole(once(origin.id.start))
        .small(once(parent))
        .whole(once(parent_start))
        .small(once(origin.session.pid))
        .small(once(origin.uid))
        .text(once(&origin.command))
        .time(once(origin.start_ns))
        .whole(once(origin.start_ns))
        .whole(once(origin.attached_ns))
        .whole(once(recorded.last_ns))
        .whole(once(
            u64::try_from(origin.interval.as_nanos()).unwrap_or(u64::MAX),
        ))
        .small(once(origin.max_overhead))
        .small(once(origin.buffer))
        .text(once(track))
        .text(once(end))
        .optional(status)
        .whole(once(recorded.epochs))
        .whole(once(recorded.rows))
        .whole(once(recorded.events))
        .whole(once(counts.lost))
        .whole(once(counts.marks_lost))
        .whole(once(info.total(Kind::Write)))
        .whole(once(info.total(Kind::Read)))
        .whole(once(info.total(Kind::Kernel)))
        .whole(once(info.pages))
        .whole(once(origin.ring_records))
        .whole(once(info.ring_dropped))
        .whole(once(info.heat_dropped))
        .whole(once(info.names_dropped))
        // The table of pages is the program's own, and a reader sees none of it.
        .signed(once(-1))
        .whole(once(counts.mapped_pages))
        .whole(once(counts.most_mapped_pages))
        .whole(counter(Counter::SyscallsRelayed))
        .whole(counter(Counter::SyscallsEmulated))
        .whole(counter(Counter::CallsWithoutExit))
        .whole(counter(Counter::VmExits))
        .whole(counter(Counter::PageFaultExits))
        .whole(counter(Counter::RingFullExits))
        .whole(counter(Counter::Signals))
        .whole(counter(Counter::ThreadsStarted))
        .whole(counter(Counter::Vcpus))
        .whole(counter(Counter::StretchedTicks))
        .whole(counter(Counter::KernelBytes))
        .whole(counter(Counter::UnknownCalls))
        .whole(once(origin.before))
        .batch(Table::Processes)
}

/// How it ended, as the table has it, with the exit status or signal.
fn end_of(status: Status) -> (&'static str, Option<i32>) {
    match status {
        Status::Running => ("running", None),
        Status::Ended(End::Exited(code)) => ("exited", Some(code.into())),
        Status::Ended(End::Signaled(signal)) => ("signaled", Some(signal.into())),
        Status::Ended(End::Replaced) => ("replaced", None),
        Status::Ended(End::Native) => ("native", None),
        Status::Died => ("died", None),
        Status::Truncated => ("truncated", None),
    }
}
