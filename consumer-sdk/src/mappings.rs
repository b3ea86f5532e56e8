//! The mapping table: what the program has at which address, rewritten when it changes.
//!
//! There are two tables. Version `v` is in table `v % 2`, so the writer fills one while readers copy the
//! other, and a writer that is killed half-way leaves the last complete one valid. Names are appended
//! to the string area and never change.
//!
//! ```text
//! writer of version v                      reader
//! (1) release fence                        (a) version = v     acquire
//! (2) entries of table v % 2 = ...         (b) entries of table v % 2
//! (3) version = v   release                (c) acquire fence
//!                                          (d) version is still v
//! ```
//!
//! (3) pairs with (a). (1) pairs with (c): who saw a word of version `v + 2` in this table sees version
//! `v + 1` or later at (d), and so starts again.

use crate::sync::{AtomicU64, Ordering, fence, load_acquire};
use crate::wire::{Event, MAP_WORDS, MAPS_OVERFLOW, MapRecord, PAGE_SIZE, WORD};
use core::ops::Range;
use std::collections::HashMap;
use zerocopy::transmute;

/// Copies attempted before a reader gives up; a writer would have to change the table twice during
/// each of them. One is enough for the model checker, for which more only multiply the work.
const MAX_ATTEMPTS: usize = if cfg!(all(test, loom)) { 1 } else { 64 };
/// Words of a record that are moved. Those that are left out make no difference to the order of the others, but
/// a great one to the model checker.
const MOVED_WORDS: usize = if cfg!(all(test, loom)) { 3 } else { MAP_WORDS };
/// Bytes of names in one copy of a table. Each entry has a copy of its own, so that a small segment could ask for any
/// amount of a reader's memory; entries beyond this have no names.
pub(crate) const MOST_NAMES: usize = 64 << 20;
/// Bytes backed by memory at a time.
const BACKING_STEP: usize = 4 * PAGE_SIZE;

/// The mapping may be read.
pub const PROT_READ: u32 = 1;
/// The mapping may be written.
pub const PROT_WRITE: u32 = 2;
/// The mapping may be executed.
pub const PROT_EXEC: u32 = 4;
/// Stores are visible to other processes that map the same object.
pub const PROT_SHARED: u32 = 8;

/// What lies behind a mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
#[non_exhaustive]
pub enum MappingClass {
    /// Private memory without a file.
    #[default]
    Anonymous = 0,
    /// A file; the name is its path.
    File = 1,
    /// What brk(2) moves the end of.
    Heap = 2,
    /// The stack of the first thread.
    Stack = 3,
    /// The stack of another thread.
    ThreadStack = 4,
    /// Memory without a file in the file system that several processes can map.
    Shared = 5,
    /// A device.
    Device = 6,
    /// Pages of the kernel's own, such as `[vdso]`.
    Kernel = 7,
}

impl MappingClass {
    const ALL: [Self; 8] = [
        Self::Anonymous,
        Self::File,
        Self::Heap,
        Self::Stack,
        Self::ThreadStack,
        Self::Shared,
        Self::Device,
        Self::Kernel,
    ];

    /// The word that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::File => "file",
            Self::Heap => "heap",
            Self::Stack => "stack",
            Self::ThreadStack => "thread-stack",
            Self::Shared => "shared",
            Self::Device => "device",
            Self::Kernel => "kernel",
        }
    }

    /// What this version does not know is anonymous.
    fn from_number(number: u32) -> Self {
        let class = Self::ALL.get(number as usize);
        class.copied().unwrap_or_default()
    }
}

/// One mapping as the writer is given it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingEntry<'a> {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Offset in the mapped file, bytes.
    pub offset: u64,
    /// [`PROT_READ`] and its like, or-ed.
    pub prot: u32,
    /// What the program calls it, file path, `[heap]` and the like, or empty.
    pub name: &'a str,
    /// Identity, never used again for another mapping of the process. What is left of a mapping that was
    /// cut, grew or changed its rights keeps it.
    pub id: u32,
    /// What lies behind it.
    pub class: MappingClass,
    /// The thread whose stack it is, for [`MappingClass::ThreadStack`]; else 0.
    pub thread: u32,
    /// Epoch in which it came.
    pub born: u32,
    /// Epoch in which it went; 0: it is there.
    pub retired: u32,
}

/// One mapping as a reader gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Offset in the mapped file, bytes.
    pub offset: u64,
    /// [`PROT_READ`] and its like, or-ed.
    pub prot: u32,
    /// What the program calls it, file path, `[heap]` and the like, or empty.
    pub name: String,
    /// Identity, never used again for another mapping of the process. What is left of a mapping that was
    /// cut, grew or changed its rights keeps it.
    pub id: u32,
    /// What lies behind it.
    pub class: MappingClass,
    /// The thread whose stack it is, for [`MappingClass::ThreadStack`]; else 0.
    pub thread: u32,
    /// Epoch in which it came.
    pub born: u32,
    /// Epoch in which it went; 0: it is there.
    pub retired: u32,
}

impl Mapping {
    /// Permissions as /proc/PID/maps shows them, such as `rw-p`.
    pub fn permissions(&self) -> String {
        let flag = |bit, set, clear| if self.prot & bit != 0 { set } else { clear };
        let flags = [
            flag(PROT_READ, 'r', '-'),
            flag(PROT_WRITE, 'w', '-'),
            flag(PROT_EXEC, 'x', '-'),
            flag(PROT_SHARED, 's', 'p'),
        ];
        flags.iter().collect()
    }
}

/// A copy of the mapping table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    /// The mappings, ordered by start address.
    pub entries: Vec<Mapping>,
    /// Mappings that had events and are gone, the latest last, as far as there is room for them.
    pub retired: Vec<Mapping>,
    /// The table was too small: mappings behind the last one are missing.
    pub truncated: bool,
    /// Counts the changes; equal versions of one segment mean equal tables.
    pub version: u64,
}

impl Mappings {
    /// The mapping that contains an address.
    pub fn find(&self, addr: u64) -> Option<&Mapping> {
        let after = self.entries.partition_point(|entry| entry.start <= addr);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        (addr < entry.end).then_some(entry)
    }

    /// The mapping that an event hit, whether it is still there or not. `None` where it is not known, or was
    /// forgotten.
    pub fn of(&self, event: &Event) -> Option<&Mapping> {
        let hit = |entry: &&Mapping| {
            entry.id == event.mapping && (entry.start..entry.end).contains(&event.addr)
        };
        let there = self.find(event.addr).filter(hit);
        there.or_else(|| self.retired.iter().rev().find(hit))
    }
}

/// The words of the mapping tables and the string area in memory.
#[derive(Clone, Copy)]
pub(crate) struct MapMemory<'a> {
    pub(crate) version: &'a AtomicU64,
    /// For each table the number of its entries, with [`MAPS_OVERFLOW`].
    pub(crate) states: [&'a AtomicU64; 2],
    pub(crate) tables: [&'a [AtomicU64]; 2],
    /// Bytes of the string area in use.
    pub(crate) strings_used: &'a AtomicU64,
    pub(crate) names_dropped: &'a AtomicU64,
    /// Each string is one word with its length in bytes, then its bytes, padded to whole words.
    pub(crate) strings: &'a [AtomicU64],
}

/// The parts that need memory before they can be written: byte ranges inside the part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Bytes of table 0 or 1.
    Table(usize, Range<usize>),
    /// Bytes of the string area.
    Strings(Range<usize>),
}

/// The writer's private half of the mapping table.
#[derive(Debug)]
pub(crate) struct MapWriter {
    version: u64,
    table_backed: [usize; 2],
    strings_backed: usize,
    /// Words in use; the first is left out, because name zero means none.
    string_words: usize,
    names: HashMap<Box<str>, u32>,
    names_dropped: u64,
}

impl MapWriter {
    pub(crate) fn new() -> Self {
        Self {
            version: 0,
            table_backed: [0; 2],
            strings_backed: 0,
            string_words: 1,
            names: HashMap::new(),
            names_dropped: 0,
        }
    }

    /// Replaces the table by `entries`, which are ordered by address.
    pub(crate) fn publish<'e>(
        &mut self,
        memory: MapMemory<'_>,
        entries: impl Iterator<Item = MappingEntry<'e>>,
        mut back: impl FnMut(Backing) -> bool,
    ) {
        let version = self.version + 1;
        let table = (version % 2) as usize;
        // (1), pairs with the reader's fence (c).
        fence(Ordering::Release);
        let mut count = 0;
        let mut overflow = 0;
        for entry in entries {
            if !self.back_entry(memory, table, count, &mut back) {
                overflow = MAPS_OVERFLOW;
                break;
            }
            let name = self.intern(memory, entry.name, memory.strings.len(), &mut back);
            let words: [u64; MAP_WORDS] = transmute!(MapRecord {
                start: entry.start,
                end: entry.end,
                offset: entry.offset,
                prot: entry.prot,
                name,
                id: entry.id,
                class: entry.class as u32,
                thread: entry.thread,
                born: entry.born,
                retired: entry.retired,
                _reserved: 0,
            });
            let slots = memory.tables[table][count * MAP_WORDS..].iter();
            for (slot, word) in slots.zip(words).take(MOVED_WORDS) {
                slot.store(word, Ordering::Relaxed); // (2)
            }
            count += 1;
        }
        memory.states[table].store(count as u64 | overflow, Ordering::Relaxed);
        self.version = version;
        // (3), pairs with the reader's load (a); strings appended above are visible with it.
        memory.version.store(version, Ordering::Release);
    }

    /// Whether entry `index` of a table exists and has memory behind it, asking for some if need be.
    fn back_entry(
        &mut self,
        memory: MapMemory<'_>,
        table: usize,
        index: usize,
        back: &mut impl FnMut(Backing) -> bool,
    ) -> bool {
        let end = (index + 1) * MAP_WORDS * WORD;
        let bytes = memory.tables[table].len() * WORD;
        let backed = &mut self.table_backed[table];
        if end > bytes {
            return false;
        }
        if end > *backed {
            let next = (*backed + BACKING_STEP).min(bytes);
            if !back(Backing::Table(table, *backed..next)) {
                return false;
            }
            *backed = next;
        }
        true
    }

    /// The offset of a name in the string area, or zero when it is empty or there is no room within the area's
    /// first `most` words.
    pub(crate) fn intern(
        &mut self,
        memory: MapMemory<'_>,
        name: &str,
        most: usize,
        back: &mut impl FnMut(Backing) -> bool,
    ) -> u32 {
        if name.is_empty() {
            return 0;
        }
        if let Some(&offset) = self.names.get(name) {
            return offset;
        }
        let Some(offset) = self.append(memory, name, most, back) else {
            self.names_dropped += 1;
            memory
                .names_dropped
                .store(self.names_dropped, Ordering::Relaxed);
            return 0;
        };
        self.names.insert(name.into(), offset);
        offset
    }

    fn append(
        &mut self,
        memory: MapMemory<'_>,
        name: &str,
        most: usize,
        back: &mut impl FnMut(Backing) -> bool,
    ) -> Option<u32> {
        let start = self.string_words;
        let end = start + 1 + name.len().div_ceil(WORD);
        let slots = memory.strings.get(..most)?.get(start..end)?;
        while end * WORD > self.strings_backed {
            let bytes = memory.strings.len() * WORD;
            let next = (self.strings_backed + BACKING_STEP).min(bytes);
            if !back(Backing::Strings(self.strings_backed..next)) {
                return None;
            }
            self.strings_backed = next;
        }
        slots[0].store(name.len() as u64, Ordering::Relaxed);
        for (slot, chunk) in slots[1..].iter().zip(name.as_bytes().chunks(WORD)) {
            let mut bytes = [0; WORD];
            bytes[..chunk.len()].copy_from_slice(chunk);
            slot.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        self.string_words = end;
        // Pairs with the reader's load of `strings_used`.
        memory
            .strings_used
            .store((end * WORD) as u64, Ordering::Release);
        u32::try_from(start * WORD).ok()
    }
}

/// Copies the current table, or `None` when the writer changed it during every attempt.
pub(crate) fn read(memory: MapMemory<'_>) -> Option<Mappings> {
    (0..MAX_ATTEMPTS).find_map(|_| {
        // (a), pairs with the writer's store (3).
        let version = load_acquire(memory.version);
        let table = (version % 2) as usize;
        let state = memory.states[table].load(Ordering::Relaxed);
        let records = copy_records(memory.tables[table], state & !MAPS_OVERFLOW);
        // (c), pairs with the writer's fence (1).
        fence(Ordering::Acquire);
        if memory.version.load(Ordering::Relaxed) != version {
            return None;
        }
        let mut room = MOST_NAMES;
        let mut entries: Vec<_> = records
            .into_iter()
            .map(|record| named(memory, record, &mut room))
            .collect();
        let retired = entries.extract_if(.., |entry| entry.retired > 0).collect();
        entries.sort_by_key(|entry| entry.start);
        Some(Mappings {
            entries,
            retired,
            truncated: state & MAPS_OVERFLOW != 0,
            version,
        })
    })
}

fn copy_records(table: &[AtomicU64], count: u64) -> Vec<MapRecord> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let (slots, _) = table.as_chunks::<MAP_WORDS>();
    let load = |slot: &[AtomicU64; MAP_WORDS]| {
        let words: [u64; MAP_WORDS] = core::array::from_fn(|i| match i < MOVED_WORDS {
            true => slot[i].load(Ordering::Relaxed), // (b)
            false => 0,
        });
        transmute!(words)
    };
    slots.iter().take(count).map(load).collect()
}

fn named(memory: MapMemory<'_>, record: MapRecord, room: &mut usize) -> Mapping {
    let class = MappingClass::from_number(record.class);
    Mapping {
        start: record.start,
        end: record.end,
        offset: record.offset,
        prot: record.prot,
        name: match class {
            // Unless the program has named it.
            MappingClass::ThreadStack if record.name == 0 => format!("[stack:{}]", record.thread),
            _ => read_name(memory, record.name, room).unwrap_or_default(),
        },
        id: record.id,
        class,
        thread: record.thread,
        born: record.born,
        retired: record.retired,
    }
}

/// The string at a byte offset, with what is not UTF-8 replaced; `None` for offsets that hold none, and when
/// there is no room for it.
pub(crate) fn read_name(memory: MapMemory<'_>, offset: u32, room: &mut usize) -> Option<String> {
    /// Longer than any path that the kernel accepts.
    const MAX_NAME: u64 = 1 << 16;
    // Pairs with the writer's store in `append`.
    let used = load_acquire(memory.strings_used);
    if offset == 0 || u64::from(offset) >= used || !(offset as usize).is_multiple_of(WORD) {
        return None;
    }
    let start = offset as usize / WORD;
    let len = memory.strings.get(start)?.load(Ordering::Relaxed);
    if len > MAX_NAME || u64::from(offset) + WORD as u64 + len > used {
        return None;
    }
    let len = len as usize;
    *room = room.checked_sub(len)?;
    let words = memory
        .strings
        .get(start + 1..start + 1 + len.div_ceil(WORD))?;
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
        .take(len)
        .collect();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
