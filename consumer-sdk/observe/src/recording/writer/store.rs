//! All programs that are being recorded, in bounded memory.

use crate::failure::Failure;
use crate::recording::writer::process::{Place, Process};
use crate::recording::writer::resolution::Aggregate;
use crate::recording::writer::{Key, Message, part};
use crate::typed::Resolution;
use std::collections::HashMap;
use vmmload_consumer::Status;

/// Memory that rows may take, bytes.
pub(crate) const MOST_MEMORY: usize = 128 << 20;

/// Most rows of one program that `--resolution` has grow at once, each about 100 bytes.
const MOST_GROWING: usize = 1 << 18;

/// What was recorded of all programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) processes: u64,
    /// Rows of the table of events.
    pub(crate) rows: u64,
    /// The counts in them.
    pub(crate) events: u64,
    /// Records.
    pub(crate) lost: u64,
    /// Size of all files.
    pub(crate) bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Store {
    place: Place,
    resolution: Option<Resolution>,
    programs: HashMap<Key, Process>,
    /// Memory of their rows.
    memory: usize,
    most_memory: usize,
    totals: Totals,
}

impl Store {
    /// Of nobody yet.
    pub(crate) fn new(place: Place, resolution: Option<Resolution>, most_memory: usize) -> Self {
        Self {
            place,
            resolution,
            programs: HashMap::new(),
            memory: 0,
            most_memory,
            totals: Totals::default(),
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals
    }

    /// Takes one message, and writes what there is no room for in memory.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn take(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Came(key, origin, counts) => {
                let aggregate = self
                    .resolution
                    .map(|resolution| Aggregate::new(resolution, MOST_GROWING));
                let is_first = self.totals.processes == 0;
                let process = Process::new(key, *origin, *counts, aggregate, is_first);
                self.programs.insert(key, process);
                self.totals.processes += 1;
                // Whatever becomes of the recorder, that it was there is known.
                self.with(key, |process, place| Ok(((0, 0), process.save(place)?)))
            }
            Message::Events(key, events) => self.with(key, |process, place| {
                let added = process.add_events(events);
                let grown = match process.piled_events() >= part::GROUP_ROWS {
                    true => process.release(place)?,
                    false => 0,
                };
                Ok((added, grown))
            }),
            Message::Looked(key, look) => {
                self.totals.lost += look.counts.lost;
                self.totals.lost -= self.programs.get(&key).map_or(0, Process::lost);
                self.with(key, |process, _| {
                    process.add_look(*look);
                    Ok(((0, 0), 0))
                })
            }
            Message::Went(key, status) => {
                let written = self.with(key, |process, place| {
                    let added = process.end(status);
                    Ok((added, process.release(place)?))
                });
                if written.is_ok() {
                    self.programs.remove(&key);
                }
                written
            }
        }?;
        self.make_room()
    }

    /// Does something with a program, which tells rows and events that it has added, and bytes that files have grown by.
    fn with(
        &mut self,
        key: Key,
        what: impl FnOnce(&mut Process, &Place) -> Result<((u64, u64), i64), Failure>,
    ) -> Result<(), Failure> {
        let Some(process) = self.programs.get_mut(&key) else {
            return Ok(());
        };
        let before = process.bytes();
        let ((rows, events), grown) = what(process, &self.place)?;
        self.memory = self.memory + process.bytes() - before;
        self.totals.rows += rows;
        self.totals.events += events;
        self.totals.bytes = self.totals.bytes.saturating_add_signed(grown);
        Ok(())
    }

    /// Writes and forgets the rows of those that have the most, until the rest fits.
    fn make_room(&mut self) -> Result<(), Failure> {
        while self.memory > self.most_memory {
            let most = self
                .programs
                .iter()
                .max_by_key(|(_, process)| process.bytes());
            let Some((&key, _)) = most else {
                break;
            };
            self.with(key, |process, place| {
                let added = process.complete_rows();
                Ok((added, process.release(place)?))
            })?;
        }
        Ok(())
    }

    /// Has files say all that is in memory, but for rows that still grow.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        let keys: Vec<Key> = self.programs.keys().copied().collect();
        for key in keys {
            self.with(key, |process, place| Ok(((0, 0), process.save(place)?)))?;
        }
        Ok(())
    }

    /// When a file could not be written: gives how many events no file has, and leaves them out of the totals.
    pub(crate) fn give_up(&mut self) -> u64 {
        let unwritten = self.programs.values().map(Process::unwritten);
        let (rows, events) = unwritten.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        self.totals.rows = self.totals.rows.saturating_sub(rows);
        self.totals.events = self.totals.events.saturating_sub(events);
        events
    }

    /// Has files say everything. How those ended that still run is not known.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let keys: Vec<Key> = self.programs.keys().copied().collect();
        for key in keys {
            self.take(Message::Went(key, Status::Running))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
