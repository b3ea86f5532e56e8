//! The writing side of a segment, used by the launcher only.

use crate::create::{CreateError, SegmentConfig};
use crate::heat::{self, HeatIndex, HeatMemory, HeatWriter};
use crate::layout::Layout;
use crate::mappings::{self, MapMemory, MapWriter, MappingEntry};
use crate::marks::MarkWriter;
use crate::memory::{WriterMemory, path_of};
use crate::news;
use crate::reclaim::create_memory;
use crate::ring::{Published, RingMemory, RingWriter};
use crate::sync::{AtomicU64, Ordering};
use crate::wire::{
    COMMAND_BYTES, Child, EPOCH_WORDS, EVENT_WORDS, Epoch, EpochSlot, Event, EventRecord, Header,
    LINK_WORDS, LinkSlot, MAGIC, MAJOR, MINOR, MapRecord, MarkSlot, NOT_READY, PAGE_SIZE,
    PAGES_PER_REGION, UNWATCHED, WORD, field,
};
use crate::words::{Counter, End, Kind, Method, ProcessId};
use crate::{segment_name, sys};
use core::ops::Range;
use zerocopy::{FromZeros, IntoBytes};

/// The one writer of a segment. Dropping it removes the segment's name.
#[derive(Debug)]
pub struct SegmentWriter {
    pub(crate) memory: WriterMemory,
    pub(crate) layout: Layout,
    ring: RingWriter,
    epochs: RingWriter,
    links: RingWriter,
    pub(crate) marks: MarkWriter,
    heat: HeatWriter,
    pub(crate) maps: MapWriter,
    pub(crate) epoch: u32,
    time_ns: u64,
    counts: Counts,
}

/// What was seen of one page: an [`Event`] but for the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// See [`Event::addr`].
    pub addr: u64,
    /// See [`Event::kind`].
    pub kind: Kind,
    /// See [`Event::method`].
    pub method: Method,
    /// See [`Event::count`].
    pub count: u32,
    /// See [`Event::bytes`].
    pub bytes: u32,
    /// See [`Event::mapping`].
    pub mapping: u32,
}

impl Sighting {
    /// One event, in a mapping that is not known.
    pub fn new(addr: u64, kind: Kind, method: Method) -> Self {
        Self {
            addr,
            kind,
            method,
            count: 1,
            bytes: 0,
            mapping: 0,
        }
    }
}

/// Records backed by memory at a time: 320 KiB, large enough to make the system call rare and small
/// enough that a short program costs little.
pub(crate) const RING_STEP: usize = 8192;
/// The same for epochs: one page of memory.
const EPOCH_STEP: usize = PAGE_SIZE / size_of::<EpochSlot>();

/// The same for process links.
const LINK_STEP: usize = PAGE_SIZE / size_of::<LinkSlot>();

/// The writer's own copy of the counts in the header.
#[derive(Debug, Default)]
struct Counts {
    totals: [u64; 3],
    pages: u64,
    ring_dropped: u64,
    heat_dropped: u64,
}

impl SegmentWriter {
    /// Creates the segment /dev/shm/vmmload-PID. One that a dead process left under that name is
    /// replaced. No descriptor stays open.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn create(config: &SegmentConfig) -> Result<Self, CreateError> {
        Self::create_named(config, &segment_name(config.pid))
    }

    /// Creates the segment under another name, without slashes, where no reader looks for it by pid.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub fn create_named(config: &SegmentConfig, name: &str) -> Result<Self, CreateError> {
        let layout = Layout::new(&config.sizes()).map_err(|bad| CreateError::Config {
            field: bad.field,
            value: bad.value,
        })?;
        let memory = create_memory(name, layout.len, config)?;
        memory
            .populate(0..PAGE_SIZE)
            .map_err(|source| CreateError::Populate {
                path: path_of(name),
                source,
            })?;
        write_header(memory.words(), &header(config, &layout));
        Ok(Self {
            memory,
            layout,
            ring: RingWriter::new(RING_STEP),
            epochs: RingWriter::new(EPOCH_STEP),
            links: RingWriter::new(LINK_STEP),
            marks: MarkWriter::new(),
            heat: HeatWriter::new(layout.heat_pages),
            maps: MapWriter::new(),
            epoch: 0,
            time_ns: sys::monotonic_ns(),
            counts: Counts::default(),
        })
    }

    /// Starts an epoch: later records carry this number and time (`CLOCK_MONOTONIC`, nanoseconds).
    pub fn begin_epoch(&mut self, epoch: u32, time_ns: u64) {
        self.epoch = epoch;
        self.time_ns = time_ns;
        self.heat.begin_epoch();
        self.set(field!(epoch_ns), time_ns);
        // Pairs with the load in `Consumer::info`: who sees the number sees its time or a later one.
        self.word(field!(epoch))
            .store(u64::from(epoch), Ordering::Release);
    }

    /// Publishes what became of an epoch, and wakes the readers that sleep.
    pub fn end_epoch(&mut self, epoch: Epoch) {
        let Self {
            memory,
            layout,
            epochs,
            ..
        } = self;
        let ring = epoch_memory(memory.words(), layout);
        // Without memory its position is used up, so that readers know that it is missing.
        epochs.publish(ring, epoch.to_words(), |slots| {
            memory
                .populate(part_of::<EpochSlot>(layout.epochs, slots))
                .is_ok()
        });
        // Pairs with the load in `Consumer::pages_written_since`: who sees the number sees all the epoch's events.
        self.word(field!(epoch_done))
            .store(epoch.number.into(), Ordering::Release);
        self.tell();
    }

    /// Publishes that this process has forked another one, and wakes the readers that sleep.
    pub fn child(&mut self, child: Child) {
        let Self {
            memory,
            layout,
            links,
            ..
        } = self;
        let ring = link_memory(memory.words(), layout);
        links.publish(ring, child.to_words(), |slots| {
            memory
                .populate(part_of::<LinkSlot>(layout.links, slots))
                .is_ok()
        });
        self.tell();
    }

    /// Wakes the readers that sleep. One system call, whether there are any or not: readers cannot write here,
    /// so nobody knows.
    pub(crate) fn tell(&mut self) {
        self.marks.told();
        news::tell(self.word(field!(news)), sys::futex_wake);
    }

    /// Finds or allocates the counter page for an address and kind. `None` when the table is full, or
    /// there is no memory; [`Self::record`] then counts what the table misses.
    #[inline]
    pub fn region(&mut self, addr: u64, kind: Kind) -> Option<HeatIndex> {
        let Self {
            memory,
            layout,
            heat,
            ..
        } = self;
        heat.region(heat_memory(memory.words(), layout), addr, kind, |part| {
            let bytes = match part {
                heat::Backing::Regions(page) => page_at(layout.regions, page),
                heat::Backing::Cells(page) => page_at(layout.cells, page),
            };
            memory.populate(bytes).is_ok()
        })
    }

    /// The counter page for an address and kind, if there is one.
    #[inline]
    pub fn known_region(&self, addr: u64, kind: Kind) -> Option<HeatIndex> {
        self.heat.known_region(addr, kind)
    }

    /// Counts and publishes what was seen of one page in the current epoch. `index` is what
    /// [`Self::region`] gave for the same address and kind.
    ///
    /// Allocates nothing, takes no lock, and makes no system call, except on the ring's first lap where
    /// the memory behind it is asked for 320 KiB at a time.
    #[inline]
    pub fn record(&mut self, index: Option<HeatIndex>, seen: Sighting) {
        let Sighting {
            addr, kind, count, ..
        } = seen;
        let Self {
            memory,
            layout,
            ring,
            heat,
            counts,
            epoch,
            ..
        } = self;
        let words = memory.words();
        match index {
            Some(index) if heat.add(heat_memory(words, layout), index, addr, count, *epoch) => {
                counts.pages += 1;
                words[field!(pages)].store(counts.pages, Ordering::Relaxed);
            }
            Some(_) => {}
            None => {
                counts.heat_dropped += u64::from(count);
                words[field!(heat_dropped)].store(counts.heat_dropped, Ordering::Relaxed);
            }
        }
        let total = &mut counts.totals[kind as usize];
        *total += u64::from(count);
        words[field!(totals) + kind as usize].store(*total, Ordering::Relaxed);

        let event = Event {
            addr,
            kind,
            method: seen.method,
            time_ns: self.time_ns,
            epoch: self.epoch,
            count,
            bytes: seen.bytes,
            mapping: seen.mapping,
        };
        let published = ring.publish(ring_memory(words, layout), event.to_words(), |slots| {
            memory
                .populate(part_of::<EventRecord>(layout.ring, slots))
                .is_ok()
        });
        if published == Published::Dropped {
            counts.ring_dropped += 1;
            words[field!(ring_dropped)].store(counts.ring_dropped, Ordering::Relaxed);
        }
    }

    /// The contents of `pages` were given back to the system, or are about to be: those of them that had events
    /// count as written in the current epoch for [`Consumer::pages_written_since`](crate::Consumer::pages_written_since).
    pub fn discard(&self, pages: &Range<u64>) {
        let heat = heat_memory(self.memory.words(), &self.layout);
        self.heat.discard(heat, pages, self.epoch);
    }

    /// Stores to the page at `addr`, which has had write events, go unseen from now on: it counts as written in
    /// each epoch.
    pub fn leave_alone(&self, addr: u64) {
        let heat = heat_memory(self.memory.words(), &self.layout);
        self.heat.set_epoch(heat, addr, UNWATCHED);
    }

    /// Stores to the page at `addr` are seen again from now on. It counts as written in the current epoch, too.
    pub fn watch_again(&self, addr: u64) {
        let heat = heat_memory(self.memory.words(), &self.layout);
        self.heat.set_epoch(heat, addr, self.epoch);
    }

    /// Replaces the mapping table; `entries` are ordered by address. What does not fit is left out, and
    /// the table says so.
    pub fn publish_mappings<'a>(&mut self, entries: impl Iterator<Item = MappingEntry<'a>>) {
        let Self {
            memory,
            layout,
            maps,
            ..
        } = self;
        let map = map_memory(memory.words(), layout);
        maps.publish(map, entries, |part| back(memory, layout, part));
    }

    /// Distinct pages with an event so far, of those that the heat table has room for.
    pub fn pages(&self) -> u64 {
        self.counts.pages
    }

    /// Whether there was no memory for something that should have been published: /dev/shm is full.
    pub fn is_starved(&self) -> bool {
        self.memory.is_starved()
    }

    /// Sets one of the launcher's own counters.
    pub fn set_counter(&self, counter: Counter, value: u64) {
        self.set(field!(counters) + counter as usize, value);
    }

    /// Tells the readers that the process has ended; everything recorded before is visible to them.
    pub fn finish(&mut self, end: End) {
        // Pairs with the load in `Consumer::status`.
        self.word(field!(end))
            .store(end.to_word(), Ordering::Release);
        self.tell();
    }

    /// Removes the segment's name; attached readers keep the segment. For a launcher that ends without
    /// dropping its values.
    pub fn unlink(&self) {
        self.memory.unlink();
    }

    /// Addresses of the segment in this process.
    pub fn memory_range(&self) -> Range<u64> {
        self.memory.range()
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.memory.words()[index]
    }

    fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Relaxed);
    }
}

/// Puts memory behind a part of the mapping tables or of the string area; whether there is any.
pub(crate) fn back(memory: &WriterMemory, layout: &Layout, part: mappings::Backing) -> bool {
    let (base, bytes) = match part {
        mappings::Backing::Table(table, bytes) => (layout.map_table(table), bytes),
        mappings::Backing::Strings(bytes) => (layout.strings, bytes),
    };
    let range = base + bytes.start..base + bytes.end;
    memory.populate(range).is_ok()
}

/// Bytes of some slots of a ring at `base`.
pub(crate) fn part_of<T>(base: usize, slots: Range<usize>) -> Range<usize> {
    base + slots.start * size_of::<T>()..base + slots.end * size_of::<T>()
}

fn page_at(base: usize, page: usize) -> Range<usize> {
    base + page * PAGE_SIZE..base + (page + 1) * PAGE_SIZE
}

fn header(config: &SegmentConfig, layout: &Layout) -> Header {
    let writer_start = config.start.unwrap_or_else(|| started(config.pid));
    let session = config.session.unwrap_or(ProcessId {
        pid: config.pid,
        start: writer_start,
    });
    let has_marks = config.mark_records > 0;
    let mut header = Header {
        magic: MAGIC,
        version: NOT_READY,
        file_len: layout.len as u64,
        page_size: PAGE_SIZE as u32,
        header_len: size_of::<Header>() as u32,
        pid: config.pid,
        uid: sys::effective_uid(),
        writer_start,
        interval_ns: config.interval_ns,
        track: config.track as u32,
        command_len: config.command.len().min(COMMAND_BYTES) as u32,
        ring_offset: layout.ring as u64,
        ring_records: config.ring_records,
        event_size: size_of::<EventRecord>() as u32,
        epochs_offset: layout.epochs as u64,
        epoch_records: config.epoch_records,
        epoch_size: size_of::<EpochSlot>() as u32,
        max_overhead: config.max_overhead,
        buffer: config.buffer,
        links_offset: layout.links as u64,
        link_records: config.link_records,
        link_size: size_of::<LinkSlot>() as u32,
        session_pid: session.pid.into(),
        session_start: session.start,
        regions_offset: layout.regions as u64,
        cells_offset: layout.cells as u64,
        heat_pages: config.heat_pages,
        pages_per_region: PAGES_PER_REGION as u32,
        maps_offset: layout.maps as u64,
        map_entries: config.map_entries,
        map_size: size_of::<MapRecord>() as u32,
        marks_offset: if has_marks { layout.marks as u64 } else { 0 },
        mark_records: config.mark_records,
        mark_size: if has_marks {
            size_of::<MarkSlot>() as u32
        } else {
            0
        },
        strings_offset: layout.strings as u64,
        string_bytes: layout.string_bytes as u64,
        start_monotonic_ns: sys::monotonic_ns(),
        start_realtime_ns: sys::realtime_ns(),
        parent_pid: config.parent.map_or(0, |parent| parent.pid.into()),
        parent_start: config.parent.map_or(0, |parent| parent.start),
        ..Header::new_zeroed()
    };
    for (byte, &given) in header.command.iter_mut().zip(&config.command) {
        *byte = given;
    }
    header
}

fn started(pid: u32) -> u64 {
    sys::process_stat(pid).map_or(0, |stat| stat.start)
}

fn write_header(words: &[AtomicU64], header: &Header) {
    let (values, _) = header.as_bytes().as_chunks::<WORD>();
    for (word, value) in words.iter().zip(values) {
        word.store(u64::from_le_bytes(*value), Ordering::Relaxed);
    }
    // Pairs with the load in `Consumer::open`: who sees a version sees the whole header.
    words[field!(version)].store(version_word(), Ordering::Release);
}

/// The header's word of the current version.
pub(crate) fn version_word() -> u64 {
    u64::from(MAJOR) << 32 | u64::from(MINOR)
}

/// The event ring's part of a segment.
pub(crate) fn ring_memory<'a>(
    words: &'a [AtomicU64],
    layout: &Layout,
) -> RingMemory<'a, EVENT_WORDS> {
    RingMemory {
        head: &words[field!(ring_head)],
        backed: &words[field!(ring_backed)],
        slots: &words[layout.ring_words()],
        capacity: layout.ring_records,
    }
}

/// The ring of epochs' part of a segment.
pub(crate) fn epoch_memory<'a>(
    words: &'a [AtomicU64],
    layout: &Layout,
) -> RingMemory<'a, EPOCH_WORDS> {
    RingMemory {
        head: &words[field!(epochs_head)],
        backed: &words[field!(epochs_backed)],
        slots: &words[layout.epoch_words()],
        capacity: layout.epoch_records,
    }
}

/// The ring of process links' part of a segment.
pub(crate) fn link_memory<'a>(
    words: &'a [AtomicU64],
    layout: &Layout,
) -> RingMemory<'a, LINK_WORDS> {
    RingMemory {
        head: &words[field!(links_head)],
        backed: &words[field!(links_backed)],
        slots: &words[layout.link_words()],
        capacity: layout.link_records,
    }
}

/// The heat table's part of a segment.
pub(crate) fn heat_memory<'a>(words: &'a [AtomicU64], layout: &Layout) -> HeatMemory<'a> {
    HeatMemory {
        used: &words[field!(heat_used)],
        regions: &words[layout.region_words()],
        cells: &words[layout.cell_words()],
    }
}

/// The mapping tables' part of a segment.
pub(crate) fn map_memory<'a>(words: &'a [AtomicU64], layout: &Layout) -> MapMemory<'a> {
    MapMemory {
        version: &words[field!(maps_version)],
        states: [&words[field!(maps_state)], &words[field!(maps_state) + 1]],
        tables: [&words[layout.map_words(0)], &words[layout.map_words(1)]],
        strings_used: &words[field!(strings_used)],
        names_dropped: &words[field!(names_dropped)],
        strings: &words[layout.string_words()],
    }
}
