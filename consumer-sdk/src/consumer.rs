//! The reading side of a segment: attach, check, follow.

use crate::attach::{AttachError, check_header, load_header, open_trusted};
use crate::heat::{self, Heat, HugePage};
use crate::info::Info;
use crate::layout::{BadField, Layout};
use crate::mappings::{self, Mappings};
use crate::memory::{ReaderMemory, path_of};
use crate::ring::{Found, RingReader};
use crate::segment_name;
use crate::sync::{Ordering, load_acquire};
use crate::sys;
use crate::wire::{Epoch, Event, Header, PAGE_SIZE, field};
use crate::words::End;
use crate::writer::{epoch_memory, heat_memory, map_memory, ring_memory};
use std::path::{Path, PathBuf};

/// What [`Consumer::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Event(Event),
    /// Exactly so many records will never be delivered to this consumer: they were overwritten before
    /// it came to them, had no memory to be written to, or are of a kind it does not know.
    Lost(u64),
}

/// What has become of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Running,
    /// It ended, and everything it did was published.
    Ended(End),
    /// It is gone without having said so, as after SIGKILL. The last epoch may be missing.
    Died,
}

/// One reader of one segment, with a cursor of its own.
///
/// It never slows, blocks or disturbs the process it watches, and goes on working after the process has
/// ended and the segment's name is gone.
#[derive(Debug)]
pub struct Consumer {
    memory: ReaderMemory,
    layout: Layout,
    /// As it was at attach; only the part that never changes is used.
    header: Header,
    ring: RingReader,
    epochs: RingReader,
    path: PathBuf,
}

impl Consumer {
    /// Attaches to the segment of a process, beginning with the oldest record still there.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn attach(pid: u32) -> Result<Self, AttachError> {
        Self::open(&path_of(&segment_name(pid)))
    }

    /// Attaches to a segment by its file.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn open(path: &Path) -> Result<Self, AttachError> {
        let (file, len) = open_trusted(path)?;
        let map = |bytes| {
            ReaderMemory::map(&file, bytes).map_err(|source| AttachError::Open {
                path: path.into(),
                source,
            })
        };
        // The header alone first: it decides whether the rest is what it seems.
        let header = check_header(map(PAGE_SIZE)?.words(), path)?;
        let layout = Layout::from_header(&header, len).map_err(|BadField { field, value }| {
            AttachError::Layout {
                path: path.into(),
                field,
                value,
            }
        })?;
        let memory = map(layout.len)?;
        let ring = RingReader::oldest(ring_memory(memory.words(), &layout));
        let epochs = RingReader::oldest(epoch_memory(memory.words(), &layout));
        Ok(Self {
            memory,
            layout,
            header,
            ring,
            epochs,
            path: path.into(),
        })
    }

    /// The process's pid.
    pub fn pid(&self) -> u32 {
        self.header.pid
    }

    /// The segment's file, which may have been removed since.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the cursors behind the newest record and the newest epoch: only what comes from now on will
    /// be delivered.
    pub fn skip_to_now(&mut self) {
        let words = self.memory.words();
        self.ring = RingReader::newest(ring_memory(words, &self.layout));
        self.epochs = RingReader::newest(epoch_memory(words, &self.layout));
    }

    /// Moves the cursors back to the oldest record and the oldest epoch that are still there.
    pub fn rewind(&mut self) {
        let words = self.memory.words();
        self.ring = RingReader::oldest(ring_memory(words, &self.layout));
        self.epochs = RingReader::oldest(epoch_memory(words, &self.layout));
    }

    /// Position of the record that comes next: grows by one for each delivered or lost one.
    pub fn position(&self) -> u64 {
        self.ring.position()
    }

    /// The next record, or how many were lost; `None` when there is nothing new yet.
    #[expect(
        clippy::should_implement_trait,
        reason = "None means not yet, and an iterator would end"
    )]
    pub fn next(&mut self) -> Option<Item> {
        let ring = ring_memory(self.memory.words(), &self.layout);
        let is_known = |words: &_| Event::from_words(*words).is_some();
        match self.ring.next(ring, is_known)? {
            Found::Record(words) => Event::from_words(words).map(Item::Event),
            Found::Lost(records) => Some(Item::Lost(records)),
        }
    }

    /// The finished epochs that are still in their ring, oldest first: the last 4,096, where the launcher
    /// chose the size. Gaps in their numbers are epochs that found no memory.
    pub fn epochs(&self) -> Vec<Epoch> {
        let ring = epoch_memory(self.memory.words(), &self.layout);
        let mut reader = RingReader::oldest(ring);
        let mut epochs = Vec::new();
        while let Some(found) = reader.next(ring, |_| true) {
            if let Found::Record(words) = found {
                epochs.push(Epoch::from_words(words));
            }
        }
        epochs
    }

    /// The next finished epoch; `None` when no other has ended yet. All its records were published before, so
    /// who then reads on with [`Self::next`] will not meet a record of it that was not there already.
    ///
    /// Epochs that this consumer comes too late for, and those that found no memory, are gaps in the
    /// numbers.
    pub fn next_epoch(&mut self) -> Option<Epoch> {
        let ring = epoch_memory(self.memory.words(), &self.layout);
        loop {
            if let Found::Record(words) = self.epochs.next(ring, |_| true)? {
                return Some(Epoch::from_words(words));
            }
        }
    }

    /// How the regions of 2 MiB that were touched since the process started are used, by address: what
    /// huge pages there would hold.
    pub fn huge_pages(&self) -> Vec<HugePage> {
        heat::huge_pages(heat_memory(self.memory.words(), &self.layout))
    }

    /// Every page's total since the process started, in no particular order.
    pub fn heat(&self) -> impl Iterator<Item = Heat> + '_ {
        heat::cells(heat_memory(self.memory.words(), &self.layout))
    }

    /// The `n` pages with the most events since the process started, hottest first.
    pub fn hottest(&self, n: usize) -> Vec<Heat> {
        let mut cells: Vec<Heat> = self.heat().collect();
        cells.sort_unstable_by_key(|cell| (core::cmp::Reverse(cell.count), cell.addr, cell.kind));
        cells.truncate(n);
        cells
    }

    /// The process's mappings, ordered by address. `None` in the rare case that they changed during
    /// each of many attempts to copy them: use an earlier copy, or ask again.
    pub fn mappings(&self) -> Option<Mappings> {
        mappings::read(map_memory(self.memory.words(), &self.layout))
    }

    /// Changes when [`Self::mappings`] does.
    pub fn mappings_version(&self) -> u64 {
        self.load(field!(maps_version))
    }

    /// Whether the process runs. Records may still be waiting after it has ended.
    pub fn status(&self) -> Status {
        if let Some(end) = self.end() {
            return Status::Ended(end);
        }
        if sys::is_alive(self.header.pid, self.header.writer_start) {
            return Status::Running;
        }
        // It may have ended properly between the two looks.
        self.end().map_or(Status::Died, Status::Ended)
    }

    fn end(&self) -> Option<End> {
        // Pairs with the store in `SegmentWriter::finish`.
        End::from_word(load_acquire(&self.memory.words()[field!(end)]))
    }

    /// The segment's facts and counts as they are now.
    pub fn info(&self) -> Info {
        // Pairs with the store in `SegmentWriter::begin_epoch`.
        let epoch = load_acquire(&self.memory.words()[field!(epoch)]) as u32;
        let now = load_header(self.memory.words()).unwrap_or_else(|| self.header.clone());
        Info::new(&self.header, &now, epoch)
    }

    fn load(&self, index: usize) -> u64 {
        self.memory.words()[index].load(Ordering::Relaxed)
    }
}
