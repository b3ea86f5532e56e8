//! What was seen of each page in the present epoch: the one place where events are made.
//!
//! A page has one event at most of each kind in an epoch, and after its mapping has gone, the next mapping
//! there begins anew.

use std::ops::Range;

use vmmload_consumer::{
    Child, Epoch, HeatIndex, Kind, MappingEntry, Method, SegmentWriter, Sighting,
};

use super::back_off::Streaks;
use super::census::{Census, untouched};
use crate::guest::layout::PAGE;
use crate::guest::page_tables::LEAF_SPAN;
use crate::process::mappings::Mappings;

/// The pages of one 2 MiB region that were already counted: an epoch, then a bit for each page. An
/// array of words, because memory for zeroed words stays untouched until it is used.
type Seen = [u64; 9];

/// The segment, and what it has of the present epoch.
pub(super) struct Book {
    /// The segment.
    pub writer: SegmentWriter,
    /// Events by mapping.
    pub census: Census,
    /// Which pages are written in one epoch after the other.
    pub streaks: Streaks,
    /// The present epoch; 0 before the first.
    pub epoch: u32,
    /// Indexed by the counter page of region and kind. Untouched until used.
    seen: Vec<Seen>,
    region: Region,
    place: Place,
    tally: Tally,
    /// Regions with events in this epoch, one entry at most for each kind.
    counted: Vec<u64>,
}

/// What the present epoch has so far.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    start_ns: u64,
    /// Pages that had events before it.
    known_pages: u64,
    /// Pages with an event, by kind.
    pages: [u32; 3],
    /// Pages with any event.
    touched: u32,
}

/// How an epoch ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// When.
    pub at_ns: u64,
    /// What tracking took of the program's time.
    pub cost_ns: u64,
    /// Over how many ticks it went.
    pub ticks: u32,
    /// Pages that were not watched for stores.
    pub left_alone: u32,
}

/// The counter pages of the region that was used last.
#[derive(Debug, Clone, Copy)]
struct Region {
    number: u64,
    heat: [Option<HeatIndex>; 3],
}

/// The mapping that was used last.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    generation: u64,
    start: u64,
    end: u64,
    id: u32,
}

impl Book {
    /// A book for the segment of `writer`, whose heat table has `heat_pages` counter pages.
    pub(super) fn new(writer: SegmentWriter, heat_pages: u32) -> Self {
        Self {
            writer,
            census: Census::new(heat_pages as usize),
            streaks: Streaks::new(heat_pages as usize),
            epoch: 0,
            seen: untouched(heat_pages as usize),
            region: Region {
                number: u64::MAX,
                heat: [None; 3],
            },
            place: Place::default(),
            tally: Tally::default(),
            counted: Vec::new(),
        }
    }

    /// Notes that the process has forked another one.
    pub(super) fn child(&mut self, child: Child) {
        self.writer.child(child);
    }

    /// Begins the next epoch.
    pub(super) fn begin_epoch(&mut self, now_ns: u64) {
        self.epoch += 1;
        self.tally = Tally {
            start_ns: now_ns,
            known_pages: self.writer.pages(),
            ..Tally::default()
        };
        self.counted.clear();
        self.writer.begin_epoch(self.epoch, now_ns);
    }

    /// Publishes what became of the present epoch.
    pub(super) fn end_epoch(&mut self, end: Ended) {
        let Tally {
            start_ns,
            known_pages: _,
            pages: [written, read, kernel],
            touched,
        } = self.tally;
        self.writer.end_epoch(Epoch {
            number: self.epoch,
            start_ns,
            end_ns: end.at_ns,
            cost_ns: end.cost_ns,
            ticks: end.ticks,
            written,
            read,
            kernel,
            touched,
            left_alone: end.left_alone,
        });
    }

    /// Pages with any event in the present epoch.
    pub(super) fn touched(&self) -> u32 {
        self.tally.touched
    }

    /// Pages with their first event ever in the present epoch: none of them was armed before.
    pub(super) fn fresh(&self) -> u64 {
        self.writer.pages() - self.tally.known_pages
    }

    /// One event of the page at `va`, unless it has had one of this kind in this epoch. `bytes`: how many were
    /// written, where that is known.
    pub(super) fn count(&mut self, table: &Mappings, va: u64, kind: Kind, bytes: u32) {
        let heat = self.enter(va, kind);
        if heat.is_some_and(|heat| !self.mark(heat, va)) {
            return;
        }
        if let (Kind::Write, Some(heat)) = (kind, heat) {
            self.streaks.note(heat, va, self.epoch);
        }
        self.tally.pages[kind as usize] += 1;
        let others = Kind::ALL.iter().filter(|&&other| other != kind);
        if others.copied().all(|other| !self.was_seen(va, other)) {
            self.tally.touched += 1;
        }
        let mapping = self.mapping_at(table, va);
        let regions = self.region.heat;
        self.census.add(mapping, va, kind, bytes, regions);
        let method = match kind {
            Kind::Write => Method::DirtyRing,
            Kind::Read => Method::AccessedBit,
            Kind::Kernel => Method::Relay,
        };
        let sighting = Sighting {
            bytes,
            mapping,
            ..Sighting::new(va, kind, method)
        };
        self.writer.record(heat, sighting);
    }

    /// Whether the page has had an event of this kind in this epoch.
    pub(super) fn was_seen(&mut self, va: u64, kind: Kind) -> bool {
        self.look_at(va);
        let Some(heat) = self.region.heat[kind as usize] else {
            return false;
        };
        let (word, bit) = place_of(va);
        let seen = &self.seen[heat.get()];
        seen[0] == u64::from(self.epoch) && seen[word] & bit != 0
    }

    /// Forgets that pages of one region have had events in this epoch: another mapping takes their place.
    fn forget(&mut self, pages: Range<u64>) {
        self.look_at(pages.start);
        for heat in self.region.heat.into_iter().flatten() {
            for va in pages.clone().step_by(PAGE as usize) {
                let (word, bit) = place_of(va);
                self.seen[heat.get()][word] &= !bit;
            }
        }
    }

    /// After what `range` had was counted: remembers its mappings, and forgets its pages.
    pub(super) fn retire(&mut self, table: &Mappings, range: &Range<u64>) {
        for (at, mapping) in table.overlapping(range) {
            let part = at.start.max(range.start)..at.end.min(range.end);
            self.census.retire(part, mapping, self.epoch);
        }
        self.census.add_up(table);
        self.writer.discard(range);
        // Not by the size of the range: a reservation of terabytes is given back in one call, too.
        for i in 0..self.counted.len() {
            let region = self.counted[i]..self.counted[i] + LEAF_SPAN;
            let pages = region.start.max(range.start)..region.end.min(range.end);
            if !pages.is_empty() {
                self.forget(pages);
            }
        }
    }

    /// Publishes the mappings that are there, and those that are gone.
    pub(super) fn publish_mappings<'a>(
        &'a mut self,
        there: impl Iterator<Item = MappingEntry<'a>>,
    ) {
        let Self { writer, census, .. } = self;
        writer.publish_mappings(there.chain(census.gone()));
    }

    /// Notes an event; whether it is the page's first in this epoch.
    fn mark(&mut self, heat: HeatIndex, va: u64) -> bool {
        let (word, bit) = place_of(va);
        let seen = &mut self.seen[heat.get()];
        if seen[0] != u64::from(self.epoch) {
            *seen = [u64::from(self.epoch), 0, 0, 0, 0, 0, 0, 0, 0];
            self.counted.push(va & !(LEAF_SPAN - 1));
        }
        let was = seen[word] & bit != 0;
        seen[word] |= bit;
        !was
    }

    /// The counter page for an address and kind, made where there is room.
    fn enter(&mut self, va: u64, kind: Kind) -> Option<HeatIndex> {
        self.look_at(va);
        let heat = &mut self.region.heat[kind as usize];
        if heat.is_none() {
            *heat = self.writer.region(va, kind);
        }
        *heat
    }

    fn look_at(&mut self, va: u64) {
        let number = va / LEAF_SPAN;
        if self.region.number != number {
            let heat = Kind::ALL.map(|kind| self.writer.known_region(va, kind));
            self.region = Region { number, heat };
        }
    }

    /// Identity of the mapping at `va`; 0 where there is none.
    fn mapping_at(&mut self, table: &Mappings, va: u64) -> u32 {
        let Place {
            generation,
            start,
            end,
            id,
        } = self.place;
        if generation == table.generation() && (start..end).contains(&va) {
            return id;
        }
        let Some((range, mapping)) = table.at(va) else {
            return 0;
        };
        self.place = Place {
            generation: table.generation(),
            start: range.start,
            end: range.end,
            id: mapping.identity.id,
        };
        self.census.name(mapping);
        mapping.identity.id
    }
}

/// Word and bit of a page in [`Seen`].
fn place_of(va: u64) -> (usize, u64) {
    let page = (va / PAGE % 512) as usize;
    (1 + page / 64, 1 << (page % 64))
}
