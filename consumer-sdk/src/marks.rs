//! Marks: what the program itself says it begins, and when.

use crate::consumer::Consumer;
use crate::layout::Layout;
use crate::mappings::{MOST_NAMES, read_name};
use crate::ring::{RingMemory, RingReader, RingWriter};
use crate::sync::AtomicU64;
use crate::wire::{MARK_WORDS, MarkSlot, PAGE_SIZE, field, halves, pair};
use crate::writer::{SegmentWriter, back, map_memory, part_of};

/// Slots backed by memory at a time: one page of it.
const MARK_STEP: usize = PAGE_SIZE / size_of::<MarkSlot>();

/// Something that the program has said: what it begins to do, as a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    /// What. Empty where there was no room for the name ([`Info::names_dropped`](crate::Info::names_dropped)).
    pub name: String,
    /// When, `CLOCK_MONOTONIC` nanoseconds. Marks are in the order of their times.
    pub time_ns: u64,
    /// The epoch that was running. What the thread stored before the mark is in epochs up to this one; what it stores
    /// after it can be in this one, too, unless the program ends the epoch right after the mark.
    pub epoch: u32,
    /// The thread that said it.
    pub thread: u32,
}

/// A mark as it is in its slot.
#[derive(Clone, Copy, Debug)]
struct Raw {
    time_ns: u64,
    name: u32,
    epoch: u32,
    thread: u32,
}

impl Raw {
    fn to_words(self) -> [u64; MARK_WORDS] {
        [
            self.time_ns,
            pair(self.name, self.epoch),
            pair(self.thread, 0),
        ]
    }

    fn from_words(words: [u64; MARK_WORDS]) -> Self {
        let (name, epoch) = halves(words[1]);
        Self {
            time_ns: words[0],
            name,
            epoch,
            thread: words[2] as u32,
        }
    }
}

/// The writer's private half of the ring of marks.
#[derive(Debug)]
pub(crate) struct MarkWriter {
    ring: RingWriter,
    /// Some were published since readers were last woken.
    news: bool,
}

impl MarkWriter {
    /// Of an empty ring.
    pub(crate) fn new() -> Self {
        let (ring, news) = (RingWriter::new(MARK_STEP), false);
        Self { ring, news }
    }

    /// Readers have been woken.
    pub(crate) fn told(&mut self) {
        self.news = false;
    }
}

impl SegmentWriter {
    /// Publishes a mark in the current epoch; `time_ns` is not before that of the last one. Readers that sleep are told
    /// later, by [`Self::announce_marks`] or at the end of the epoch at the latest: a program may make very many.
    ///
    /// A name is kept once, however often it comes. Names of marks get no more than the first half of the area for names, so that
    /// those of mappings have the other; a mark beyond that has none.
    pub fn mark(&mut self, name: &str, time_ns: u64, thread: u32) {
        let epoch = self.epoch;
        let Self {
            memory,
            layout,
            marks,
            maps,
            ..
        } = self;
        if layout.mark_records == 0 {
            return;
        }
        let map = map_memory(memory.words(), layout);
        let most = map.strings.len() / 2;
        let name = maps.intern(map, name, most, &mut |part| back(memory, layout, part));
        let mark = Raw {
            time_ns,
            name,
            epoch,
            thread,
        };
        let ring = mark_memory(memory.words(), layout);
        // Without memory its position is used up, so that readers know that it is missing.
        marks.ring.publish(ring, mark.to_words(), |slots| {
            let bytes = part_of::<MarkSlot>(layout.marks, slots);
            memory.populate(bytes).is_ok()
        });
        marks.news = true;
    }

    /// Wakes the readers that sleep, if there were marks since they last were.
    pub fn announce_marks(&mut self) {
        if self.marks.news {
            self.tell();
        }
    }
}

impl Consumer {
    /// The marks that are still in their ring, oldest first: the last 16,384, where the launcher chose the size.
    pub fn marks(&self) -> Vec<Mark> {
        let mut room = MOST_NAMES;
        let ring = mark_memory(self.memory.words(), &self.layout);
        RingReader::all(ring)
            .map(|words| self.mark(words, &mut room))
            .collect()
    }

    /// The next mark; `None` when there is no other yet. How many were lost before it, [`Self::marks_lost`] tells.
    pub fn next_mark(&mut self) -> Option<Mark> {
        self.reads.marks = true;
        let ring = mark_memory(self.memory.words(), &self.layout);
        let before = self.marks.position();
        let found = self.marks.next_record(ring);
        let passed = self.marks.position() - before;
        let lost = passed - u64::from(found.is_some());
        self.marks_lost = self.marks_lost.saturating_add(lost);
        found.map(|words| self.mark(words, &mut { MOST_NAMES }))
    }

    /// How many marks [`Self::next_mark`] has passed over so far, because they were overwritten before it came to
    /// them, or had no memory to be written to.
    pub fn marks_lost(&self) -> u64 {
        self.marks_lost
    }

    fn mark(&self, words: [u64; MARK_WORDS], room: &mut usize) -> Mark {
        let Raw {
            time_ns,
            name,
            epoch,
            thread,
        } = Raw::from_words(words);
        // The slot was read with acquire ordering: whoever sees it sees its name.
        let map = map_memory(self.memory.words(), &self.layout);
        Mark {
            name: read_name(map, name, room).unwrap_or_default(),
            time_ns,
            epoch,
            thread,
        }
    }
}

/// The ring of marks' part of a segment. Where there is none, there is nothing in it either.
pub(crate) fn mark_memory<'a>(
    words: &'a [AtomicU64],
    layout: &Layout,
) -> RingMemory<'a, MARK_WORDS> {
    RingMemory {
        head: &words[field!(marks_head)],
        backed: &words[field!(marks_backed)],
        slots: &words[layout.mark_words()],
        capacity: layout.mark_records.max(1),
    }
}
