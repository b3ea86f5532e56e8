//! A segment's facts and counts.

use crate::sys;
use crate::wire::{COMMAND_BYTES, Header};
use crate::words::{Counter, Kind, ProcessId, Track};
use std::time::Duration;

/// A segment's facts and counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The process.
    pub pid: u32,
    /// The wrapped process that forked it, if one did.
    pub parent: Option<ProcessId>,
    /// The first process of the `vmmload run` that it descends from: itself, if it is that one.
    pub session: ProcessId,
    /// The user it was started by.
    pub uid: u32,
    /// Its arguments, NUL-separated, at most 256 bytes.
    pub command: Vec<u8>,
    /// Time since it was started.
    pub age: Duration,
    /// When it was started, `CLOCK_MONOTONIC` nanoseconds; the times of records are on that clock.
    pub start_ns: u64,
    /// When it was started, since 1970.
    pub started: Duration,
    /// Length of an epoch.
    pub interval: Duration,
    /// Per cent of the program's time that tracking may take; epochs go on until it does not take more.
    pub max_overhead: u32,
    /// Entries of each vCPU's dirty ring.
    pub buffer: u32,
    /// Which accesses are watched; `None` for a value that this version does not know.
    pub track: Option<Track>,
    /// Current epoch.
    pub epoch: u32,
    /// Start of an epoch not older than that, `CLOCK_MONOTONIC` nanoseconds.
    pub epoch_ns: u64,
    /// Events of each kind, in the order of [`Kind::ALL`].
    pub totals: [u64; 3],
    /// Distinct pages with at least one event, of those that the heat table has room for.
    pub pages: u64,
    /// Records published, the lost and dropped ones included.
    pub published: u64,
    /// Records for which the ring had no memory.
    pub ring_dropped: u64,
    /// Events missing from the heat table, but not from `totals`.
    pub heat_dropped: u64,
    /// How often the name of a mapping or a mark did not fit.
    pub names_dropped: u64,
    /// Marks made by the program, the lost and dropped ones included.
    pub marks: u64,
    counters: [u64; crate::wire::COUNTERS],
}

impl Info {
    /// From the header as it was at attach, and as it is now, and the epoch that was loaded before.
    pub(crate) fn new(fixed: &Header, now: &Header, epoch: u32) -> Self {
        let command_len = (fixed.command_len as usize).min(COMMAND_BYTES);
        let age_ns = sys::monotonic_ns().saturating_sub(fixed.start_monotonic_ns);
        Self {
            pid: fixed.pid,
            parent: fixed.parent(),
            session: fixed.session(),
            uid: fixed.uid,
            command: fixed.command[..command_len].to_vec(),
            age: Duration::from_nanos(age_ns),
            start_ns: fixed.start_monotonic_ns,
            started: Duration::from_nanos(fixed.start_realtime_ns),
            interval: Duration::from_nanos(fixed.interval_ns),
            max_overhead: fixed.max_overhead,
            buffer: fixed.buffer,
            track: Track::from_bits(fixed.track),
            epoch,
            epoch_ns: now.epoch_ns,
            totals: now.totals,
            pages: now.pages,
            published: now.ring_head,
            ring_dropped: now.ring_dropped,
            heat_dropped: now.heat_dropped,
            names_dropped: now.names_dropped,
            marks: now.marks_head,
            counters: now.counters,
        }
    }

    /// Events of all kinds.
    pub fn events(&self) -> u64 {
        self.totals
            .iter()
            .fold(0, |sum, &total| sum.wrapping_add(total))
    }

    /// Events of one kind.
    pub fn total(&self, kind: Kind) -> u64 {
        self.totals[kind as usize]
    }

    /// One of the launcher's own counters.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// The command line for people: arguments separated by spaces, unprintable bytes replaced.
    pub fn command_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.command);
        let shown = |c: char| match c {
            '\0' => ' ',
            c if c.is_control() => '?',
            c => c,
        };
        text.trim_end_matches('\0').chars().map(shown).collect()
    }
}
