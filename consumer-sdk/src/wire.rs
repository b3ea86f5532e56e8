//! The layout of a segment: fixed-size, pointer-free, little-endian records.
//!
//! `ABI.md` describes the same byte by byte. Whatever changes here changes there, and changes
//! [`MAJOR`] when an existing reader would misread it, [`MINOR`] when it would merely miss something.

use crate::words::{Kind, Method, ProcessId};
use core::mem::{offset_of, size_of};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

#[cfg(not(target_endian = "little"))]
compile_error!("the segment is little-endian and its words are read in place");

/// First eight bytes of every segment.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"vmmload\0");
/// Layout version; a reader refuses every other one.
pub(crate) const MAJOR: u32 = 1;
/// Additions that older readers may ignore.
pub(crate) const MINOR: u32 = 1;
/// Bytes of a page, of a counter page, and the alignment of every part of the segment.
pub const PAGE_SIZE: usize = 4096;
/// Counters in one counter page: one for each 4 KiB page of a 2 MiB region.
///
/// The model checker looks at every order of every load of a cell: two are enough for it.
pub(crate) const PAGES_PER_REGION: usize = if cfg!(all(test, loom)) { 2 } else { 512 };
/// Bytes of the command line kept in the header.
pub(crate) const COMMAND_BYTES: usize = 256;
/// Number of [`Counter`](crate::Counter) slots in the header.
pub(crate) const COUNTERS: usize = 16;
/// Most counter pages a segment can have.
pub(crate) const MAX_HEAT_PAGES: u32 = 65_536;
/// Largest event ring, in records.
pub(crate) const MAX_RING_RECORDS: u32 = 1 << 24;
/// Largest ring of epochs, in records.
pub(crate) const MAX_EPOCH_RECORDS: u32 = 1 << 20;
/// Largest ring of process links, in records.
pub(crate) const MAX_LINK_RECORDS: u32 = 1 << 20;
/// Largest ring of marks, in records.
pub(crate) const MAX_MARK_RECORDS: u32 = 1 << 20;
/// Largest mapping table, in entries.
pub(crate) const MAX_MAP_ENTRIES: u32 = 1 << 20;
/// Largest string area, in bytes.
pub(crate) const MAX_STRING_BYTES: u32 = 1 << 28;

/// Bytes in one machine word of the segment.
pub(crate) const WORD: usize = size_of::<u64>();
/// Words of an event behind its sequence.
pub(crate) const EVENT_WORDS: usize = size_of::<EventRecord>() / WORD - 1;
/// Words of an epoch behind its sequence.
pub(crate) const EPOCH_WORDS: usize = size_of::<EpochSlot>() / WORD - 1;
/// Words of a process link behind its sequence.
pub(crate) const LINK_WORDS: usize = size_of::<LinkSlot>() / WORD - 1;
/// Words of a mark behind its sequence.
pub(crate) const MARK_WORDS: usize = size_of::<MarkSlot>() / WORD - 1;
/// Words in one entry of the heat table's list of regions.
pub(crate) const REGION_WORDS: usize = 2;
/// In a heat word, in place of an epoch: the page is not watched at present, so take it for written.
pub const UNWATCHED: u32 = u32::MAX;
/// Words in one mapping record.
pub(crate) const MAP_WORDS: usize = size_of::<MapRecord>() / WORD;
/// `version` while the writer is still filling the header in.
pub(crate) const NOT_READY: u64 = 0;

/// Set in a mapping table's state word when the table is shorter than the truth.
pub(crate) const MAPS_OVERFLOW: u64 = 1 << 63;

/// The first 896 bytes of the segment's first page, in cache lines of 64 bytes.
///
/// Everything up to `_reserved_1` is written once, before `version`. What follows changes while the
/// process runs; each changing field is one aligned 8-byte word, so that no reader sees half of it.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Header {
    // Line 0: identity.
    pub(crate) magic: u64,
    /// `major << 32 | minor`, stored last; zero means not ready.
    pub(crate) version: u64,
    pub(crate) file_len: u64,
    pub(crate) page_size: u32,
    pub(crate) header_len: u32,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    /// Start of the writer in clock ticks since boot: field 22 of /proc/PID/stat. Zero: unknown.
    pub(crate) writer_start: u64,
    pub(crate) interval_ns: u64,
    pub(crate) track: u32,
    pub(crate) command_len: u32,
    // Line 1: where the parts are. Offsets in bytes from the start of the segment.
    pub(crate) ring_offset: u64,
    pub(crate) ring_records: u32,
    pub(crate) event_size: u32,
    pub(crate) regions_offset: u64,
    pub(crate) cells_offset: u64,
    pub(crate) heat_pages: u32,
    pub(crate) pages_per_region: u32,
    pub(crate) maps_offset: u64,
    pub(crate) map_entries: u32,
    pub(crate) map_size: u32,
    pub(crate) strings_offset: u64,
    // Line 2.
    pub(crate) string_bytes: u64,
    pub(crate) start_monotonic_ns: u64,
    pub(crate) start_realtime_ns: u64,
    /// The wrapped process that forked this one; zero: none.
    pub(crate) parent_pid: u64,
    /// Its `writer_start`.
    pub(crate) parent_start: u64,
    pub(crate) epochs_offset: u64,
    pub(crate) epoch_records: u32,
    pub(crate) epoch_size: u32,
    /// Per cent of the program's time that tracking may take.
    pub(crate) max_overhead: u32,
    /// Entries of each vCPU's dirty ring.
    pub(crate) buffer: u32,
    // Lines 3 to 6: argv, NUL-separated.
    pub(crate) command: [u8; COMMAND_BYTES],
    // Line 7: where it belongs.
    /// The first process of the `vmmload run` that this one descends from.
    pub(crate) session_pid: u64,
    /// Its `writer_start`.
    pub(crate) session_start: u64,
    pub(crate) links_offset: u64,
    pub(crate) link_records: u32,
    pub(crate) link_size: u32,
    /// Zero in segments of version 1.0, which have no marks; so are the two that follow.
    pub(crate) marks_offset: u64,
    pub(crate) mark_records: u32,
    pub(crate) mark_size: u32,
    pub(crate) _reserved_1: [u64; 2],
    // Line 8: the one word that every publish stores, alone in its line.
    pub(crate) ring_head: u64,
    pub(crate) _reserved_2: [u64; 7],
    // Line 9: counts.
    pub(crate) ring_backed: u64,
    pub(crate) ring_dropped: u64,
    pub(crate) heat_used: u64,
    pub(crate) heat_dropped: u64,
    pub(crate) pages: u64,
    pub(crate) totals: [u64; 3],
    // Line 10: state.
    pub(crate) epoch: u64,
    pub(crate) epoch_ns: u64,
    pub(crate) end: u64,
    pub(crate) maps_version: u64,
    pub(crate) maps_state: [u64; 2],
    pub(crate) strings_used: u64,
    pub(crate) names_dropped: u64,
    // Lines 11 and 12: the launcher's own counters.
    pub(crate) counters: [u64; COUNTERS],
    // Line 13: the rings that change with an epoch at most.
    pub(crate) epochs_head: u64,
    pub(crate) epochs_backed: u64,
    pub(crate) links_head: u64,
    pub(crate) links_backed: u64,
    /// The last epoch that has ended.
    pub(crate) epoch_done: u64,
    /// Changes with everything worth waking up for; readers sleep on its low half (futex(2)).
    pub(crate) news: u64,
    pub(crate) marks_head: u64,
    pub(crate) marks_backed: u64,
}

impl Header {
    pub(crate) fn session(&self) -> ProcessId {
        ProcessId {
            pid: u32::try_from(self.session_pid).unwrap_or(0),
            start: self.session_start,
        }
    }

    pub(crate) fn parent(&self) -> Option<ProcessId> {
        let pid = u32::try_from(self.parent_pid)
            .ok()
            .filter(|&pid| pid != 0)?;
        let start = self.parent_start;
        Some(ProcessId { pid, start })
    }
}

const _: () = assert!(size_of::<Header>() == 896);
const _: () = assert!(offset_of!(Header, ring_offset) == 64);
const _: () = assert!(offset_of!(Header, command) == 192);
const _: () = assert!(offset_of!(Header, session_pid) == 448);
const _: () = assert!(offset_of!(Header, ring_head) == 512);
const _: () = assert!(offset_of!(Header, ring_backed) == 576);
const _: () = assert!(offset_of!(Header, epoch) == 640);
const _: () = assert!(offset_of!(Header, counters) == 704);
const _: () = assert!(offset_of!(Header, epochs_head) == 832);
const _: () = assert!(size_of::<Header>() <= PAGE_SIZE);

/// One slot of the event ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct EventRecord {
    /// Position in the ring plus one; zero: never written; all ones: being written.
    pub(crate) sequence: u64,
    /// Page address; bits 0-1 are the [`Kind`], bits 2-4 the [`Method`].
    pub(crate) tagged_addr: u64,
    pub(crate) time_ns: u64,
    pub(crate) epoch: u32,
    pub(crate) count: u32,
    /// Identity of the mapping that was there; zero: none known.
    pub(crate) mapping: u32,
    /// Bytes written in the page, where that is known.
    pub(crate) bytes: u32,
}

const _: () = assert!(size_of::<EventRecord>() == 40);

/// One entry of the mapping table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct MapRecord {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) offset: u64,
    pub(crate) prot: u32,
    /// Byte offset into the string area; zero: no name.
    pub(crate) name: u32,
    /// Identity; what is left of a mapping that was cut keeps it.
    pub(crate) id: u32,
    /// A [`MappingClass`](crate::MappingClass).
    pub(crate) class: u32,
    /// For the stack of a thread: which one.
    pub(crate) thread: u32,
    /// Epoch in which it came.
    pub(crate) born: u32,
    /// Epoch in which it went; zero: it is there.
    pub(crate) retired: u32,
    pub(crate) _reserved: u32,
}

const _: () = assert!(size_of::<MapRecord>() == 56);

/// One slot of the ring of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct EpochSlot {
    /// As in [`EventRecord`].
    pub(crate) sequence: u64,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) cost_ns: u64,
    pub(crate) epoch: u32,
    pub(crate) ticks: u32,
    pub(crate) written: u32,
    pub(crate) read: u32,
    pub(crate) kernel: u32,
    pub(crate) touched: u32,
    pub(crate) left_alone: u32,
    pub(crate) _reserved: u32,
}

const _: () = assert!(size_of::<EpochSlot>() == 64);

/// One slot of the ring of process links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct LinkSlot {
    /// As in [`EventRecord`].
    pub(crate) sequence: u64,
    /// Zero: unknown.
    pub(crate) pid: u64,
    /// Its `writer_start`; zero: unknown.
    pub(crate) start: u64,
    pub(crate) time_ns: u64,
}

const _: () = assert!(size_of::<LinkSlot>() == 32);

/// One slot of the ring of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct MarkSlot {
    /// As in [`EventRecord`].
    pub(crate) sequence: u64,
    pub(crate) time_ns: u64,
    /// Byte offset into the string area; zero: there was no room for its name.
    pub(crate) name: u32,
    pub(crate) epoch: u32,
    pub(crate) thread: u32,
    pub(crate) _reserved: u32,
}

const _: () = assert!(size_of::<MarkSlot>() == 32);

/// One observation: `count` accesses to one page, seen in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Event {
    /// Address of the 4 KiB page.
    pub addr: u64,
    /// Start of the epoch it was published in, `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// Number of that epoch.
    pub epoch: u32,
    /// How many events this record stands for.
    pub count: u32,
    /// [`Mapping::id`](crate::Mapping::id) of what was mapped there at that time; 0 where nothing is known to
    /// have been.
    pub mapping: u32,
    /// Bytes that the kernel wrote in the page, for [`Kind::Kernel`]; 0 for the others, since processors
    /// do not tell.
    pub bytes: u32,
    /// Who touched it.
    pub kind: Kind,
    /// What observed it.
    pub method: Method,
}

const _: () = assert!(size_of::<Event>() == 40);

impl Default for Event {
    /// A write event of nothing, to make buffers for [`Consumer::read`](crate::Consumer::read) from.
    fn default() -> Self {
        Self {
            addr: 0,
            time_ns: 0,
            epoch: 0,
            count: 0,
            mapping: 0,
            bytes: 0,
            kind: Kind::Write,
            method: Method::DirtyRing,
        }
    }
}

/// A wrapped process that another one has forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Child {
    /// Which; a pid or start of 0 is one that the parent could not tell.
    pub process: ProcessId,
    /// When, `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
}

impl Child {
    pub(crate) fn to_words(self) -> [u64; LINK_WORDS] {
        let Self {
            process: ProcessId { pid, start },
            time_ns,
        } = self;
        [pid.into(), start, time_ns]
    }

    pub(crate) fn from_words([pid, start, time_ns]: [u64; LINK_WORDS]) -> Self {
        let pid = u32::try_from(pid).unwrap_or(0);
        let process = ProcessId { pid, start };
        Self { process, time_ns }
    }
}

/// One finished epoch, and what tracking did in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// Its number.
    pub number: u32,
    /// When it began, `CLOCK_MONOTONIC` nanoseconds.
    pub start_ns: u64,
    /// When it ended. Its events were published by then.
    pub end_ns: u64,
    /// How much of the program's time tracking took, by estimate, nanoseconds.
    pub cost_ns: u64,
    /// Intervals that it lasted: more than one where tracking would have cost too much.
    pub ticks: u32,
    /// Pages with a write event in it.
    pub written: u32,
    /// Pages with a read event in it.
    pub read: u32,
    /// Pages with a kernel event in it.
    pub kernel: u32,
    /// Distinct pages with any event in it: the working set.
    pub touched: u32,
    /// Pages that were not watched for stores in it, because they had been written in many epochs in a
    /// row.
    pub left_alone: u32,
}

const PAGE_MASK: u64 = !(PAGE_SIZE as u64 - 1);

impl Event {
    /// The record's words behind its sequence number.
    #[inline]
    pub(crate) fn to_words(self) -> [u64; EVENT_WORDS] {
        [
            (self.addr & PAGE_MASK) | self.kind as u64 | (self.method as u64) << 2,
            self.time_ns,
            pair(self.epoch, self.count),
            pair(self.mapping, self.bytes),
        ]
    }

    /// `None` for a kind or method that this version does not know.
    #[inline]
    pub(crate) fn from_words(words: [u64; EVENT_WORDS]) -> Option<Self> {
        let (epoch, count) = halves(words[2]);
        let (mapping, bytes) = halves(words[3]);
        Some(Self {
            addr: words[0] & PAGE_MASK,
            kind: Kind::from_bits(words[0] & 3)?,
            method: Method::from_bits(words[0] >> 2 & 7)?,
            time_ns: words[1],
            epoch,
            count,
            bytes,
            mapping,
        })
    }
}

impl Epoch {
    pub(crate) fn to_words(self) -> [u64; EPOCH_WORDS] {
        [
            self.start_ns,
            self.end_ns,
            self.cost_ns,
            pair(self.number, self.ticks),
            pair(self.written, self.read),
            pair(self.kernel, self.touched),
            pair(self.left_alone, 0),
        ]
    }

    pub(crate) fn from_words(words: [u64; EPOCH_WORDS]) -> Self {
        let (number, ticks) = halves(words[3]);
        let (written, read) = halves(words[4]);
        let (kernel, touched) = halves(words[5]);
        Self {
            number,
            start_ns: words[0],
            end_ns: words[1],
            cost_ns: words[2],
            ticks,
            written,
            read,
            kernel,
            touched,
            left_alone: words[6] as u32,
        }
    }
}

pub(crate) fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

pub(crate) fn halves(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

/// Index of the word that holds the header field at byte `offset`.
pub(crate) const fn word_at(offset: usize) -> usize {
    assert!(offset.is_multiple_of(WORD));
    offset / WORD
}

/// Index of the word of a header field: `field!(ring_head)`.
macro_rules! field {
    ($name:ident) => {
        const { $crate::wire::word_at(core::mem::offset_of!($crate::wire::Header, $name)) }
    };
}
pub(crate) use field;
