//! Writes a recording: rows are piled up in memory, and become files that are complete whenever they have their name.
//!
//! ```text
//! reading thread  --Message-->  queue (bounded)  -->  writing thread: piles -> columns -> parts -> files
//! ```
//!
//! The reading thread never waits for a disk: when the queue is full it tells its caller, and the rings of the processes
//! that it reads go on without it, which counts what is lost.

pub(crate) mod columns;
pub(crate) mod directory;
pub(crate) mod facts;
pub(crate) mod part;
pub(crate) mod pile;
pub(crate) mod process;
pub(crate) mod queue;
pub(crate) mod resolution;
pub(crate) mod store;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod thread;

use crate::recording::writer::facts::{Counts, Origin};
use vmmload_consumer::{Epoch, Event, Mapping, Mark, Status};

/// One program of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) pid: u32,
    /// How many programs of this pid were recorded before.
    pub(crate) program: u32,
}

/// A finished epoch, with the records lost since the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EpochRow {
    pub(crate) epoch: Epoch,
    pub(crate) lost: u64,
}

/// A mapping, and when it was seen so, `CLOCK_MONOTONIC` nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MappingRow {
    pub(crate) seen_ns: u64,
    pub(crate) mapping: Mapping,
}

/// What the reading thread tells the writing one.
#[derive(Debug)]
pub(crate) enum Message {
    /// A program that is recorded from now on.
    Came(Key, Box<Origin>, Box<Counts>),
    /// Its records.
    Events(Key, Vec<Event>),
    /// What else was found in one look at it.
    Looked(Key, Box<Look>),
    /// There is no more of it.
    Went(Key, Status),
}

/// What one look at a process has found, besides its records.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) epochs: Vec<EpochRow>,
    pub(crate) mappings: Vec<MappingRow>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) counts: Counts,
}

impl Message {
    /// Bytes of memory that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Came(_, origin, _) => {
                size_of::<Origin>() + size_of::<Counts>() + origin.command.len()
            }
            Self::Events(_, events) => size_of_val(&events[..]),
            Self::Looked(_, look) => {
                let mappings = look.mappings.iter().map(bytes_of_mapping);
                let marks = look.marks.iter().map(bytes_of_mark);
                size_of::<Look>()
                    + size_of_val(&look.epochs[..])
                    + mappings.sum::<usize>()
                    + marks.sum::<usize>()
            }
            Self::Went(..) => size_of::<Self>(),
        }
    }
}

/// Bytes of memory that a row of the table of mappings takes, with its name.
pub(crate) fn bytes_of_mapping(row: &MappingRow) -> usize {
    size_of::<MappingRow>() + row.mapping.name.len()
}

/// Bytes of memory that a mark takes, with its name.
pub(crate) fn bytes_of_mark(mark: &Mark) -> usize {
    size_of::<Mark>() + mark.name.len()
}
