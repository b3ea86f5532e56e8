//! Reads all processes of a session, as they come and go, and tells the writing thread what they say.

use crate::record::mapped::Mapped;
use crate::recording::writer::facts::{Counts, Origin};
use crate::recording::writer::{EpochRow, Key, Look, Message};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use vmmload_consumer::{
    Change, Consumer, Event, Info, Mark, ProcessId, Session, Status, Woken, monotonic_ns,
};

/// Records read at a time.
const BATCH: usize = 16_384;

/// Marks and epochs told at a time, so that no message is large.
const MOST_TOLD: usize = 4096;

/// The writing thread takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// Where messages go; waits for room.
pub(crate) trait Sink {
    /// Hands over a message.
    ///
    /// # Errors
    /// See [`Closed`].
    fn push(&mut self, message: Message) -> Result<(), Closed>;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Follower {
    session: Session,
    /// Of each member of the session, in the same order.
    programs: Vec<Program>,
    /// Programs recorded so far, of each pid.
    numbers: HashMap<u32, u32>,
    buffer: Vec<Event>,
}

/// One program of one process, as far as it was read.
#[derive(Debug)]
struct Program {
    id: ProcessId,
    key: Key,
    /// What became of it, once the session has said so: then it is read for the last time.
    went: Option<Status>,
    is_told: bool,
    mapped: Mapped,
    lost: u64,
    /// Lost records that no epoch tells of yet.
    untold: u64,
    /// The epoch of the last record.
    epoch: u32,
    last_ns: u64,
    /// As told last.
    counts: Option<Counts>,
}

impl Follower {
    /// Of the processes that are there now.
    pub(crate) fn new(session: Session) -> Self {
        let mut follower = Self {
            session,
            programs: Vec::new(),
            numbers: HashMap::new(),
            buffer: vec![Event::default(); BATCH],
        };
        let ids: Vec<_> = follower.session.members().map(Consumer::id).collect();
        ids.into_iter().for_each(|id| follower.add(id));
        follower
    }

    /// Sleeps until there is something to look at.
    pub(crate) fn wait(&mut self, limit: Duration) -> Woken {
        self.session.wait(Some(limit))
    }

    /// Processes that came and went unread.
    pub(crate) fn missed(&self) -> u64 {
        self.session.missed()
    }

    /// Programs that were still running at the last look.
    pub(crate) fn running(&self) -> usize {
        let programs = self.programs.iter();
        programs.filter(|program| program.went.is_none()).count()
    }

    /// Looks who came and went, and reads what there is now.
    ///
    /// # Errors
    /// See [`Closed`].
    pub(crate) fn look(&mut self, sink: &mut impl Sink) -> Result<(), Closed> {
        // Ends are looked for in there, before anything is read: what was published before an end is read with it.
        let changes = self.session.refresh();
        // The session has let go of the same.
        self.programs.retain(|program| program.went.is_none());
        for change in changes {
            match change {
                Change::Came(id) => self.add(id),
                Change::Went(id, status) => self.note_end(id, status),
            }
        }
        for (consumer, program) in self.session.members_mut().zip(&mut self.programs) {
            debug_assert_eq!(consumer.id(), program.id);
            program.read(consumer, &mut self.buffer, sink)?;
        }
        Ok(())
    }

    fn add(&mut self, id: ProcessId) {
        let number = self.numbers.entry(id.pid).or_default();
        let key = Key {
            pid: id.pid,
            program: *number,
        };
        *number += 1;
        self.programs.push(Program {
            id,
            key,
            went: None,
            is_told: false,
            mapped: Mapped::default(),
            lost: 0,
            untold: 0,
            epoch: 0,
            last_ns: 0,
            counts: None,
        });
    }

    /// Of two programs of one process, the one that came first has ended.
    fn note_end(&mut self, id: ProcessId, status: Status) {
        let runs = |program: &&mut Program| program.id == id && program.went.is_none();
        if let Some(program) = self.programs.iter_mut().find(runs) {
            program.went = Some(status);
        }
    }
}

impl Program {
    fn read(
        &mut self,
        consumer: &mut Consumer,
        buffer: &mut [Event],
        sink: &mut impl Sink,
    ) -> Result<(), Closed> {
        if !self.is_told {
            self.tell_origin(consumer, sink)?;
        }
        // In this order: the records of an epoch that has ended are all there.
        let mut epochs: VecDeque<EpochRow> = std::iter::from_fn(|| consumer.next_epoch())
            .map(|epoch| EpochRow { epoch, lost: 0 })
            .collect();
        let info = consumer.info();
        self.read_events(consumer, info.published, buffer, &mut epochs, sink)?;
        if let Some(last) = epochs.back() {
            self.last_ns = self.last_ns.max(last.epoch.end_ns);
        }
        self.tell_rest(consumer, info, epochs.into(), sink)?;
        match self.went {
            Some(status) => sink.push(Message::Went(self.key, status)),
            None => Ok(()),
        }
    }

    fn tell_origin(&mut self, consumer: &Consumer, sink: &mut impl Sink) -> Result<(), Closed> {
        let origin = Origin::of(consumer);
        self.last_ns = origin.attached_ns;
        self.is_told = true;
        let counts = self.counts(consumer, consumer.info());
        sink.push(Message::Came(self.key, origin.into(), counts.into()))
    }

    /// Reads the records that are there now, and notes losses with the epochs that they belong to.
    fn read_events(
        &mut self,
        consumer: &mut Consumer,
        end: u64,
        buffer: &mut [Event],
        epochs: &mut VecDeque<EpochRow>,
        sink: &mut impl Sink,
    ) -> Result<(), Closed> {
        self.tell_loss(epochs);
        while consumer.position() < end {
            let batch = consumer.read(buffer);
            if batch.read == 0 && batch.lost == 0 {
                break;
            }
            self.lost += batch.lost;
            self.untold += batch.lost;
            self.tell_loss(epochs);
            let events = &buffer[..batch.read];
            if let Some(last) = events.last() {
                self.epoch = last.epoch;
                self.last_ns = self.last_ns.max(last.time_ns);
                sink.push(Message::Events(self.key, events.to_vec()))?;
            }
        }
        Ok(())
    }

    /// What was lost behind the last record that was read is of its epoch, or of a later one.
    fn tell_loss(&mut self, epochs: &mut VecDeque<EpochRow>) {
        let is_there = |row: &&mut EpochRow| row.epoch.number >= self.epoch;
        if self.untold > 0
            && let Some(row) = epochs.iter_mut().find(is_there)
        {
            row.lost += std::mem::take(&mut self.untold);
        }
    }

    /// Tells what was found besides records.
    fn tell_rest(
        &mut self,
        consumer: &mut Consumer,
        info: Info,
        mut epochs: Vec<EpochRow>,
        sink: &mut impl Sink,
    ) -> Result<(), Closed> {
        let mut marks = take_marks(consumer, &info);
        if let Some(last) = marks.last() {
            self.last_ns = self.last_ns.max(last.time_ns);
        }
        let mut mappings = self.mapped.news(consumer, monotonic_ns());
        loop {
            let look = Look {
                epochs: front(&mut epochs),
                mappings: front(&mut mappings),
                marks: front(&mut marks),
                counts: self.counts(consumer, info.clone()),
            };
            let is_rest = epochs.is_empty() && mappings.is_empty() && marks.is_empty();
            let has_rows =
                !(look.epochs.is_empty() && look.mappings.is_empty() && look.marks.is_empty());
            if has_rows || self.is_news(&look.counts) {
                self.counts = Some(look.counts.clone());
                sink.push(Message::Looked(self.key, look.into()))?;
            }
            if is_rest {
                return Ok(());
            }
        }
    }

    fn counts(&self, consumer: &Consumer, info: Info) -> Counts {
        let (mapped_pages, most_mapped_pages) = self.mapped.pages();
        Counts {
            info,
            lost: self.lost,
            marks_lost: consumer.marks_lost(),
            last_ns: self.last_ns,
            mapped_pages,
            most_mapped_pages,
        }
    }

    /// Whether there is anything in it but the time that has passed.
    fn is_news(&self, counts: &Counts) -> bool {
        self.counts.as_ref().is_none_or(|told| {
            let mut same = told.clone();
            same.info.age = counts.info.age;
            same != *counts
        })
    }
}

/// Takes the first ones away.
fn front<T>(rows: &mut Vec<T>) -> Vec<T> {
    let rest = rows.split_off(rows.len().min(MOST_TOLD));
    std::mem::replace(rows, rest)
}

/// The marks that are there now, and not what comes meanwhile.
fn take_marks(consumer: &mut Consumer, info: &Info) -> Vec<Mark> {
    /// More than any ring has room for.
    const MOST: u64 = 1 << 21;
    let mut marks = Vec::new();
    for _ in 0..info.marks.min(MOST) {
        match consumer.next_mark() {
            Some(mark) => marks.push(mark),
            None => break,
        }
    }
    marks
}

#[cfg(test)]
mod tests;
