//! A ring of records: one writer, any number of readers, lossy, without locks.
//!
//! The writer never waits and never looks at a reader. Each slot carries the position of the record in
//! it, so a reader can tell a record it came for from one that has overwritten it, and a half-written
//! one from both. Positions only grow; position `p` lives in slot `p % capacity`.
//!
//! ```text
//! writer                                   reader
//! (1) slot.sequence = WRITING              (a) head            acquire
//! (2) release fence                        (b) slot.sequence   acquire
//! (3) slot.words    = ...                  (c) slot.words
//! (4) slot.sequence = p + 1   release      (d) acquire fence
//! (5) head          = p + 1   release      (e) slot.sequence again
//! ```
//!
//! (5) pairs with (a): a position below the head has been dealt with, written or dropped. (4) pairs with
//! (b): who sees the sequence sees the words, even a reader that never looks at the head. (2) pairs with
//! (d): who saw any word of a later record sees (1) or something later at (e), and so discards what it
//! read.

use crate::sync::{AtomicU64, Ordering, fence, load_acquire};
use core::ops::Range;

/// Sequence of a slot that is being overwritten.
const WRITING: u64 = u64::MAX;

/// How often a reader that looks for a record tries again after it was overtaken.
const MAX_OVERTAKEN: usize = 64;

/// The words of one ring in memory, of records with `N` words behind their sequence.
#[derive(Clone, Copy)]
pub(crate) struct RingMemory<'a, const N: usize> {
    /// Next position to be published.
    pub(crate) head: &'a AtomicU64,
    /// Slots below this one have memory behind them. A reader must not touch the others: on a full
    /// /dev/shm that would kill it.
    pub(crate) backed: &'a AtomicU64,
    /// `capacity` slots of `N + 1` words.
    pub(crate) slots: &'a [AtomicU64],
    /// A power of two.
    pub(crate) capacity: usize,
}

impl<'a, const N: usize> RingMemory<'a, N> {
    fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    /// The slot of a position.
    fn index(&self, position: u64) -> usize {
        // A mask, since a division would take longer than the rest of a record.
        (position & (self.capacity() - 1)) as usize
    }

    /// The sequence of a slot, and its other words.
    fn slot(&self, index: usize) -> Option<(&'a AtomicU64, &'a [AtomicU64; N])> {
        let (sequence, words) = self.slots.get(index * (N + 1)..)?.split_first()?;
        Some((sequence, words.first_chunk()?))
    }
}

/// The writer's private half of the ring.
#[derive(Debug)]
pub(crate) struct RingWriter {
    head: u64,
    backed: usize,
    /// Records backed by memory at a time.
    step: usize,
}

/// What became of a published record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    Written,
    /// No memory for its slot. Its position is used up, so that readers count it as lost.
    Dropped,
}

impl RingWriter {
    /// The writer of an empty ring, which asks for memory for `step` records at a time.
    pub(crate) fn new(step: usize) -> Self {
        let (head, backed) = (0, 0);
        Self { head, backed, step }
    }

    /// Publishes one record in a bounded number of instructions.
    ///
    /// `back` is asked for memory behind a range of slots when the head first reaches it, and answers
    /// whether there is any. After a refusal it is asked again one lap later, not at each record.
    #[inline]
    pub(crate) fn publish<const N: usize>(
        &mut self,
        ring: RingMemory<'_, N>,
        record: [u64; N],
        back: impl FnOnce(Range<usize>) -> bool,
    ) -> Published {
        let index = ring.index(self.head);
        if index >= self.backed && !self.extend(ring, index, back) {
            return self.advance(ring, Published::Dropped);
        }
        let Some((sequence, words)) = ring.slot(index) else {
            return self.advance(ring, Published::Dropped);
        };
        sequence.store(WRITING, Ordering::Relaxed);
        // (2), pairs with the reader's fence (d): the words below are not seen before WRITING is.
        fence(Ordering::Release);
        for (word, value) in words.iter().zip(record) {
            word.store(value, Ordering::Relaxed);
        }
        // (4), pairs with the reader's load (b).
        sequence.store(self.head + 1, Ordering::Release);
        self.advance(ring, Published::Written)
    }

    #[inline]
    fn advance<const N: usize>(
        &mut self,
        ring: RingMemory<'_, N>,
        outcome: Published,
    ) -> Published {
        self.head += 1;
        // (5), pairs with the reader's load (a).
        ring.head.store(self.head, Ordering::Release);
        outcome
    }

    #[cold]
    fn extend<const N: usize>(
        &mut self,
        ring: RingMemory<'_, N>,
        index: usize,
        back: impl FnOnce(Range<usize>) -> bool,
    ) -> bool {
        let end = (self.backed + self.step).min(ring.capacity);
        if index != self.backed || !back(self.backed..end) {
            return false;
        }
        self.backed = end;
        // Pairs with the reader's load of `backed`; the slots behind it read as zero until written.
        ring.backed.store(end as u64, Ordering::Release);
        true
    }
}

/// One reader's place in the ring.
#[derive(Clone, Debug)]
pub(crate) struct RingReader {
    cursor: u64,
}

/// What a reader found at its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<const N: usize> {
    Record([u64; N]),
    Lost(u64),
}

/// What one look at one slot showed.
enum Slot<const N: usize> {
    Record([u64; N]),
    /// Nothing that this reader can use was ever there.
    Dropped,
    /// A later record is there, or on its way.
    Overwritten,
}

impl RingReader {
    /// A reader that begins with the oldest record still in the ring. What came before it counts
    /// neither as delivered nor as lost.
    pub(crate) fn oldest<const N: usize>(ring: RingMemory<'_, N>) -> Self {
        // Pairs with the writer's store (5).
        let head = load_acquire(ring.head);
        Self {
            cursor: head.saturating_sub(ring.capacity()),
        }
    }

    /// A reader that begins with the next record to be published.
    pub(crate) fn newest<const N: usize>(ring: RingMemory<'_, N>) -> Self {
        // Pairs with the writer's store (5).
        Self {
            cursor: load_acquire(ring.head),
        }
    }

    /// Position of the record that comes next.
    pub(crate) fn position(&self) -> u64 {
        self.cursor
    }

    /// The next record, or how many were lost, or `None` when the reader has seen everything.
    ///
    /// A record for which `is_known` is false counts as lost.
    pub(crate) fn next<const N: usize>(
        &mut self,
        ring: RingMemory<'_, N>,
        is_known: impl Fn(&[u64; N]) -> bool,
    ) -> Option<Found<N>> {
        // (a), pairs with the writer's store (5).
        let head = load_acquire(ring.head);
        let mut dropped = 0;
        // Dropped records come in runs; one call reports a run, and looks at one lap at most.
        while self.cursor < head && dropped < ring.capacity() {
            match self.look(ring, head) {
                Slot::Dropped => dropped += 1,
                Slot::Record(record) if !is_known(&record) => dropped += 1,
                Slot::Record(_) | Slot::Overwritten if dropped > 0 => break,
                Slot::Record(record) => {
                    self.cursor += 1;
                    return Some(Found::Record(record));
                }
                Slot::Overwritten => return Some(Found::Lost(self.catch_up(ring))),
            }
            self.cursor += 1;
        }
        (dropped > 0).then_some(Found::Lost(dropped))
    }

    /// Fills `records` from the front with what `decode` makes of the next ones, and returns how many there are,
    /// and how many were lost before, between or behind them.
    ///
    /// One for which `decode` gives nothing counts as lost. Whatever the writer does, this ends.
    pub(crate) fn read<const N: usize, T>(
        &mut self,
        ring: RingMemory<'_, N>,
        records: &mut [T],
        decode: impl Fn([u64; N]) -> Option<T>,
    ) -> (usize, u64) {
        let (mut read, mut lost) = (0, 0);
        let mut looks = records.len() as u64 + ring.capacity();
        // (a), pairs with the writer's store (5).
        let mut head = load_acquire(ring.head);
        while self.cursor < head && looks > 0 {
            let Some(free) = records.get_mut(read) else {
                break;
            };
            looks -= 1;
            match self.look(ring, head) {
                Slot::Overwritten => {
                    lost += self.catch_up(ring);
                    // (a), as above.
                    head = load_acquire(ring.head);
                    continue;
                }
                Slot::Dropped => lost += 1,
                Slot::Record(words) => match decode(words) {
                    Some(record) => {
                        *free = record;
                        read += 1;
                    }
                    None => lost += 1,
                },
            }
            self.cursor += 1;
        }
        (read, lost)
    }

    /// The next record, passing over what was lost. `None` when there is none, and when the writer overtakes
    /// this reader again and again: whatever it does, this ends.
    pub(crate) fn next_record<const N: usize>(
        &mut self,
        ring: RingMemory<'_, N>,
    ) -> Option<[u64; N]> {
        for _ in 0..MAX_OVERTAKEN {
            if let Found::Record(record) = self.next(ring, |_| true)? {
                return Some(record);
            }
        }
        None
    }

    /// The records that are in the ring now, oldest first, without those that are lost meanwhile.
    pub(crate) fn all<const N: usize>(ring: RingMemory<'_, N>) -> impl Iterator<Item = [u64; N]> {
        // One look: what is published later is left for later, so that this ends, whatever the writer does.
        let Self { cursor: end } = Self::newest(ring);
        let cursor = end.saturating_sub(ring.capacity());
        let mut reader = Self { cursor };
        std::iter::from_fn(move || {
            while reader.cursor < end {
                if let Found::Record(record) = reader.next(ring, |_| true)? {
                    return Some(record);
                }
            }
            None
        })
    }

    /// Moves to the middle of the ring, where the writer is half a lap from overtaking again, and
    /// returns how many records that skips: at least one.
    fn catch_up<const N: usize>(&mut self, ring: RingMemory<'_, N>) -> u64 {
        // (a), pairs with the writer's store (5).
        let head = load_acquire(ring.head);
        let middle = head.saturating_sub(ring.capacity() / 2);
        let target = middle.max(self.cursor.saturating_add(1));
        let lost = target - self.cursor;
        self.cursor = target;
        lost
    }

    #[inline]
    fn look<const N: usize>(&self, ring: RingMemory<'_, N>, head: u64) -> Slot<N> {
        if head - self.cursor > ring.capacity() {
            return Slot::Overwritten;
        }
        let index = ring.index(self.cursor);
        // Pairs with the writer's store in `extend`. It may have grown since the record was dropped;
        // the sequence below then tells.
        if index as u64 >= load_acquire(ring.backed) {
            return Slot::Dropped;
        }
        let Some((sequence, words)) = ring.slot(index) else {
            return Slot::Dropped;
        };
        // (b), pairs with the writer's store (4).
        let before = load_acquire(sequence);
        if before != self.cursor + 1 {
            // An older sequence below the head: the writer had no memory and passed over the slot.
            let older = before <= self.cursor;
            return if older {
                Slot::Dropped
            } else {
                Slot::Overwritten
            };
        }
        let record = core::array::from_fn(|i| words[i].load(Ordering::Relaxed));
        // (d), pairs with the writer's fence (2).
        fence(Ordering::Acquire);
        if sequence.load(Ordering::Relaxed) != before {
            return Slot::Overwritten;
        }
        Slot::Record(record)
    }
}
