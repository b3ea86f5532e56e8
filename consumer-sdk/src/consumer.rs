//! The reading side of a segment: attach, check, follow.

use crate::attach::{AttachError, check_header, check_owner, check_pid, load_header, open_trusted};
use crate::heat::{self, Heat, HeatMemory, HugePage};
use crate::heat_map::HeatMap;
use crate::info::Info;
use crate::layout::{BadField, Layout};
use crate::mappings::{self, Mappings};
use crate::marks::mark_memory;
use crate::memory::path_of;
use crate::news;
use crate::reader_memory::ReaderMemory;
use crate::ring::{Found, RingReader};
use crate::segment_name;
use crate::sync::{AtomicU64, Ordering, load_acquire};
use crate::sys;
use crate::wire::{Child, Epoch, Event, Header, PAGE_SIZE, PAGES_PER_REGION, REGION_WORDS, field};
use crate::words::{End, ProcessId, Track};
use crate::writer::{epoch_memory, heat_memory, link_memory, map_memory, ring_memory};
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    /// Somebody has cut the segment's file short under this consumer. What is missing reads as zeroes.
    Truncated,
}

/// One reader of one segment, with a cursor of its own.
///
/// It never slows, blocks or disturbs the process it watches, and goes on working after the process has
/// ended and the segment's name is gone.
#[derive(Debug)]
pub struct Consumer {
    pub(crate) memory: Arc<ReaderMemory>,
    pub(crate) layout: Layout,
    /// As it was at attach; only the part that never changes is used.
    header: Header,
    /// The user whom the file belongs to.
    owner: u32,
    ring: RingReader,
    epochs: RingReader,
    links: RingReader,
    pub(crate) marks: RingReader,
    /// Marks passed over.
    pub(crate) marks_lost: u64,
    pub(crate) reads: Reads,
    /// What the word `news` was when [`Consumer::wait`] last returned.
    told: AtomicU64,
    path: PathBuf,
}

/// Another reader of the same segment, which shares its memory and goes on from the same place.
impl Clone for Consumer {
    fn clone(&self) -> Self {
        Self {
            memory: Arc::clone(&self.memory),
            layout: self.layout,
            header: self.header.clone(),
            owner: self.owner,
            ring: self.ring.clone(),
            epochs: self.epochs.clone(),
            links: self.links.clone(),
            marks: self.marks.clone(),
            marks_lost: self.marks_lost,
            // Like one that was just attached.
            reads: Reads::default(),
            told: AtomicU64::new(0),
            path: self.path.clone(),
        }
    }
}

/// What a consumer has ever been read from: the rest may fill up unread, and is nothing to wake up for again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    events: bool,
    epochs: bool,
    children: bool,
    pub(crate) marks: bool,
}

/// What [`Consumer::read`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Events in the front of the buffer.
    pub read: usize,
    /// Records lost, as [`Item::Lost`] has them, before, between or behind those.
    pub lost: u64,
}

/// Why [`Consumer::wait`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There is more to read of what this consumer reads (records, finished epochs, children or marks), or an epoch has
    /// ended or a child or mark has come since it was woken before.
    News,
    /// There is nothing new.
    TimedOut,
    /// The process has ended or died, and this consumer has read all of what it reads: there will be no more.
    Over,
}

/// The heat table as it is in the segment: without a copy, and changing while the process runs.
#[derive(Clone, Copy, Debug)]
pub struct HeatWords<'a> {
    /// For each region of 2 MiB and kind, in the order in which they were first touched:
    /// `address >> 21 << 2 | kind`, and the last epoch in which any of its pages changed.
    pub regions: &'a [[AtomicU64; REGION_WORDS]],
    /// For each of them, one word for each of its 512 pages: the number of events in the low half, the
    /// [epoch](Heat::epoch) in the high half.
    pub cells: &'a [[AtomicU64; PAGES_PER_REGION]],
}

impl Consumer {
    /// Attaches to the segment of a process, beginning with the oldest record still there.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn attach(pid: u32) -> Result<Self, AttachError> {
        let path = path_of(&segment_name(pid));
        let (file, facts) = open_trusted(&path)?;
        check_owner(&path, &facts, pid)?;
        Self::map(&path, &file, &facts, Some(pid))
    }

    /// Attaches to a segment by its file.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn open(path: &Path) -> Result<Self, AttachError> {
        let (file, facts) = open_trusted(path)?;
        Self::map(path, &file, &facts, None)
    }

    /// Reads the segment of process `pid`, if that is known.
    fn map(
        path: &Path,
        file: &File,
        facts: &Metadata,
        pid: Option<u32>,
    ) -> Result<Self, AttachError> {
        let map =
            |bytes| ReaderMemory::map(file, bytes).map_err(|why| AttachError::unmapped(path, why));
        // The header alone first: it decides whether the rest is what it seems.
        let header = check_header(map(PAGE_SIZE)?.words(), path)?;
        check_pid(path, &header, pid)?;
        let layout =
            Layout::from_header(&header, facts.len()).map_err(|BadField { field, value }| {
                AttachError::Layout {
                    path: path.into(),
                    field,
                    value,
                }
            })?;
        let memory = Arc::new(map(layout.len)?);
        let ring = RingReader::oldest(ring_memory(memory.words(), &layout));
        let epochs = RingReader::oldest(epoch_memory(memory.words(), &layout));
        let links = RingReader::oldest(link_memory(memory.words(), &layout));
        let marks = RingReader::oldest(mark_memory(memory.words(), &layout));
        Ok(Self {
            memory,
            layout,
            header,
            owner: facts.uid(),
            ring,
            epochs,
            links,
            marks,
            marks_lost: 0,
            reads: Reads::default(),
            told: AtomicU64::new(0),
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

    /// Moves the cursors behind the newest record, epoch, child and mark: only what comes from now on will
    /// be delivered.
    pub fn skip_to_now(&mut self) {
        let words = self.memory.words();
        self.ring = RingReader::newest(ring_memory(words, &self.layout));
        self.epochs = RingReader::newest(epoch_memory(words, &self.layout));
        self.links = RingReader::newest(link_memory(words, &self.layout));
        self.marks = RingReader::newest(mark_memory(words, &self.layout));
    }

    /// Moves the cursors back to the oldest record, epoch, child and mark that are still there.
    pub fn rewind(&mut self) {
        let words = self.memory.words();
        self.ring = RingReader::oldest(ring_memory(words, &self.layout));
        self.epochs = RingReader::oldest(epoch_memory(words, &self.layout));
        self.links = RingReader::oldest(link_memory(words, &self.layout));
        self.marks = RingReader::oldest(mark_memory(words, &self.layout));
    }

    /// Position of the record that comes next: grows by one for each delivered or lost one.
    pub fn position(&self) -> u64 {
        self.ring.position()
    }

    /// Records that the ring holds: who is further behind has lost some.
    pub fn ring_records(&self) -> u64 {
        self.layout.ring_records as u64
    }

    /// The next record, or how many were lost; `None` when there is nothing new yet.
    #[expect(
        clippy::should_implement_trait,
        reason = "None means not yet, and an iterator would end"
    )]
    pub fn next(&mut self) -> Option<Item> {
        self.reads.events = true;
        let ring = ring_memory(self.memory.words(), &self.layout);
        let is_known = |words: &_| Event::from_words(*words).is_some();
        match self.ring.next(ring, is_known)? {
            Found::Record(words) => Event::from_words(words).map(Item::Event),
            Found::Lost(records) => Some(Item::Lost(records)),
        }
    }

    /// The next records, many at a time: fills `events` from the front, with as many as there are.
    ///
    /// What was read and what was lost always add up to what [`Self::position`] has grown by.
    pub fn read(&mut self, events: &mut [Event]) -> Batch {
        self.reads.events = true;
        let ring = ring_memory(self.memory.words(), &self.layout);
        let (read, lost) = self.ring.read(ring, events, Event::from_words);
        Batch { read, lost }
    }

    /// The records that are there now, one after the other. What is published meanwhile is left for later, so
    /// that a fast process does not keep its reader.
    pub fn drain(&mut self) -> impl Iterator<Item = Item> + '_ {
        let end = load_acquire(self.word(field!(ring_head)));
        // As many as there can be: a lap, and what was lost before it.
        let most = self.layout.ring_records + 1;
        let items =
            std::iter::from_fn(move || (self.position() < end).then(|| self.next()).flatten());
        items.take(most)
    }

    /// Sleeps until there is something new, for `timeout` at most; with `None`, until there is or the process
    /// is gone. Records are announced at the end of their epoch.
    ///
    /// A consumer of which only some is read (the epochs, say, or nothing but [`Self::heat_map`] now and then)
    /// sleeps from epoch to epoch, whatever else it could read. Where several threads wait with the same one, news are
    /// told to at least one of them.
    ///
    /// The process is not slowed by those who sleep. A process that was killed is noticed within an epoch,
    /// or a second where epochs are longer.
    pub fn wait(&self, timeout: Option<Duration>) -> Woken {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let word = self.word(field!(news));
        let sleep = |seen| {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return false;
            }
            let slice = self.longest_sleep();
            sys::futex_wait(word, seen, left.map_or(slice, |left| left.min(slice)));
            true
        };
        news::until(word, |seen| self.look(seen), sleep).unwrap_or(Woken::TimedOut)
    }

    /// The word that changes with everything worth waking up for, and what it is now.
    pub(crate) fn news(&self) -> (&AtomicU64, u32) {
        let word = self.word(field!(news));
        (word, news::seen(word))
    }

    /// Whether there is something new, or never will be, given what [`Self::news`] was.
    fn look(&self, seen: u32) -> Option<Woken> {
        let fresh = self.is_fresh(seen);
        if self.has_unread() {
            return Some(Woken::News);
        }
        if self.status() == Status::Running {
            return fresh.then_some(Woken::News);
        }
        // What a process publishes right before its end. Who reads nothing but totals is told of it, too.
        let totals_only = self.reads == Reads::default();
        let is_news = self.has_unread() || totals_only && (fresh || self.is_fresh(self.news().1));
        Some(if is_news { Woken::News } else { Woken::Over })
    }

    /// Whether there is something to read of what is read, or something was told since the last question; given what
    /// [`Self::news`] was.
    pub(crate) fn has_news(&self, seen: u32) -> bool {
        self.is_fresh(seen) | self.has_unread()
    }

    fn is_fresh(&self, seen: u32) -> bool {
        // Orders nothing: whoever finds the same word in `told` has been told of the same.
        self.told.swap(seen.into(), Ordering::Relaxed) != u64::from(seen)
    }

    fn has_unread(&self) -> bool {
        let behind = |reader: &RingReader, head| reader.position() < load_acquire(self.word(head));
        self.reads.events && behind(&self.ring, field!(ring_head))
            || self.reads.epochs && behind(&self.epochs, field!(epochs_head))
            || self.reads.children && behind(&self.links, field!(links_head))
            || self.reads.marks && behind(&self.marks, field!(marks_head))
    }

    /// How long one may sleep without looking whether the process lives.
    pub(crate) fn longest_sleep(&self) -> Duration {
        const LEAST: Duration = Duration::from_millis(10);
        Duration::from_nanos(self.header.interval_ns).clamp(LEAST, Duration::from_secs(1))
    }

    /// The first process of the `vmmload run` that this one descends from.
    pub fn session(&self) -> ProcessId {
        self.header.session()
    }

    /// The user whom the segment belongs to, as the kernel says it.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// This process, whatever becomes of its id.
    pub fn id(&self) -> ProcessId {
        ProcessId {
            pid: self.header.pid,
            start: self.header.writer_start,
        }
    }

    /// The wrapped processes that this one has forked, oldest first: those that are still in their ring.
    pub fn children(&self) -> Vec<Child> {
        let ring = link_memory(self.memory.words(), &self.layout);
        RingReader::all(ring).map(Child::from_words).collect()
    }

    /// The next process that this one has forked; `None` when there is no other yet.
    pub fn next_child(&mut self) -> Option<Child> {
        self.reads.children = true;
        let ring = link_memory(self.memory.words(), &self.layout);
        self.links.next_record(ring).map(Child::from_words)
    }

    /// The next ones, as far as they are there now.
    pub(crate) fn new_children(&mut self) -> impl Iterator<Item = Child> + '_ {
        let most = self.layout.link_records;
        std::iter::from_fn(|| self.next_child()).take(most)
    }

    /// The finished epochs that are still in their ring, oldest first: the last 4,096, where the launcher
    /// chose the size. Gaps in their numbers are epochs that found no memory.
    pub fn epochs(&self) -> Vec<Epoch> {
        let ring = epoch_memory(self.memory.words(), &self.layout);
        RingReader::all(ring).map(Epoch::from_words).collect()
    }

    /// The next finished epoch; `None` when no other has ended yet. All its records were published before, so
    /// who then reads on with [`Self::next`] will not meet a record of it that was not there already.
    ///
    /// Epochs that this consumer comes too late for, and those that found no memory, are gaps in the
    /// numbers.
    pub fn next_epoch(&mut self) -> Option<Epoch> {
        self.reads.epochs = true;
        let ring = epoch_memory(self.memory.words(), &self.layout);
        self.epochs.next_record(ring).map(Epoch::from_words)
    }

    /// How the regions of 2 MiB that were touched since the process started are used, by address: what
    /// huge pages there would hold.
    pub fn huge_pages(&self) -> Vec<HugePage> {
        heat::huge_pages(self.heat_memory())
    }

    /// Every page's total since the process started, in no particular order.
    pub fn heat(&self) -> impl Iterator<Item = Heat> + '_ {
        heat::cells(self.heat_memory())
    }

    /// A copy of every page's total, to look things up in and to compare with a later one.
    pub fn heat_map(&self) -> HeatMap {
        HeatMap::of_table(self.heat_memory())
    }

    /// The heat table itself.
    pub fn heat_words(&self) -> HeatWords<'_> {
        let heat = self.heat_memory();
        let used = heat.used();
        HeatWords {
            regions: &heat.regions.as_chunks().0[..used],
            cells: &heat.cells.as_chunks().0[..used],
        }
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
        let end = self.end();
        // Known only when something was missing that was read, as `end` may have been.
        if self.memory.is_damaged() {
            return Status::Truncated;
        }
        if let Some(end) = end {
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
        End::from_word(load_acquire(self.word(field!(end))))
    }

    /// The segment's facts and counts as they are now.
    pub fn info(&self) -> Info {
        // Pairs with the store in `SegmentWriter::begin_epoch`.
        let epoch = load_acquire(self.word(field!(epoch))) as u32;
        let now = load_header(self.memory.words()).unwrap_or_else(|| self.header.clone());
        Info::new(&self.header, &now, epoch)
    }

    pub(crate) fn track(&self) -> Option<Track> {
        Track::from_bits(self.header.track)
    }

    pub(crate) fn heat_memory(&self) -> HeatMemory<'_> {
        heat_memory(self.memory.words(), &self.layout)
    }

    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        &self.memory.words()[index]
    }

    pub(crate) fn load(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Relaxed)
    }
}
