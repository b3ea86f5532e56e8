//! What is known of a program: what never changes, and what is counted.

use std::time::Duration;
use vmmload_consumer::{Consumer, Info, ProcessId, Track, monotonic_ns};

/// What never changes while a program is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) id: ProcessId,
    pub(crate) parent: Option<ProcessId>,
    pub(crate) session: ProcessId,
    pub(crate) uid: u32,
    /// Arguments, for people.
    pub(crate) command: String,
    /// When it was started, since 1970.
    pub(crate) started: Duration,
    /// The same, `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) start_ns: u64,
    /// When it was first looked at, `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) attached_ns: u64,
    pub(crate) interval: Duration,
    pub(crate) max_overhead: u32,
    pub(crate) buffer: u32,
    pub(crate) track: Option<Track>,
    pub(crate) ring_records: u64,
    /// Records that were overwritten before it was first looked at.
    pub(crate) before: u64,
}

impl Origin {
    /// Of a process that nothing was read from yet.
    pub(crate) fn of(consumer: &Consumer) -> Self {
        let attached_ns = monotonic_ns();
        let info = consumer.info();
        Self {
            id: consumer.id(),
            parent: info.parent,
            session: info.session,
            uid: info.uid,
            command: info.command_line(),
            started: info.started,
            start_ns: info.start_ns,
            attached_ns,
            interval: info.interval,
            max_overhead: info.max_overhead,
            buffer: info.buffer,
            track: info.track,
            ring_records: consumer.ring_records(),
            before: consumer.position(),
        }
    }

    /// A time on `CLOCK_MONOTONIC`, nanoseconds, as nanoseconds since 1970.
    pub(crate) fn wall_ns(&self, time_ns: u64) -> i64 {
        let started = i128::try_from(self.started.as_nanos()).unwrap_or(i128::MAX);
        let wall = started.saturating_add(i128::from(time_ns) - i128::from(self.start_ns));
        i64::try_from(wall).unwrap_or(i64::MAX)
    }
}

/// What is counted of a program, as of the last look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) info: Info,
    /// Records that were overwritten before they were read.
    pub(crate) lost: u64,
    pub(crate) marks_lost: u64,
    /// How far it was read, `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) last_ns: u64,
    pub(crate) mapped_pages: u64,
    pub(crate) most_mapped_pages: u64,
}
