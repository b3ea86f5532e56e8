//! What the mappings of a script are, and which events its pages must have.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::{Area, Operation, PAGES, Pace};

/// Between how many events a page must have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// One for each time that it was accessed and everything settled afterwards.
    pub(super) least: u64,
    /// One for each access, as an epoch may end between any two.
    pub(super) most: u64,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.least, self.most)
    }
}

/// What is mapped at a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Page {
    /// Counts the calls that made it, or moved it here.
    mapping: u32,
    /// Its number in that mapping.
    index: u64,
    /// As in [`Operation::Protect`].
    protection: u8,
}

/// What was done with a page.
#[derive(Debug, Clone, Default)]
struct History {
    writes: Bounds,
    reads: Bounds,
    /// Since everything settled last.
    written: bool,
    read: bool,
    /// The mapping that was accessed last: what another has in the same epoch is an event of its own.
    last: Option<u32>,
}

/// The state of the guest.
#[derive(Debug)]
pub(super) struct Model {
    pace: Pace,
    mappings: u32,
    arena: Vec<Option<Page>>,
    heap: Vec<Option<Page>>,
    histories: [Vec<History>; 2],
}

impl Model {
    /// As the guest starts: all of the arena is mapped and inaccessible, the heap is empty.
    pub(super) fn new(pace: Pace) -> Self {
        let mut model = Self {
            pace,
            mappings: 0,
            arena: vec![None; PAGES[0] as usize],
            heap: vec![None; PAGES[1] as usize],
            histories: PAGES.map(|pages| vec![History::default(); pages as usize]),
        };
        model.map(0..PAGES[0], 0);
        model
    }

    fn map(&mut self, range: Range<u64>, protection: u8) {
        self.mappings += 1;
        for page in range.clone() {
            self.arena[page as usize] = Some(Page {
                mapping: self.mappings,
                index: page - range.start,
                protection,
            });
        }
    }

    /// Everything done so far is counted. Tells whether that is possible.
    pub(super) fn settle(&mut self) -> bool {
        if self.pace == Pace::One {
            return false;
        }
        for history in self.histories.iter_mut().flatten() {
            history.settle();
        }
        true
    }

    /// The line that has the guest do it, and its answer; `None` for what a kernel would refuse half-way.
    pub(super) fn apply(&mut self, operation: &Operation) -> Option<(String, u64)> {
        let line = |letter: char, range: &Range<u64>, rest: u64| {
            let (from, pages) = (range.start, range.end - range.start);
            format!("{letter} {from} {pages} {rest}\n")
        };
        match operation {
            Operation::Map(range, kind) => {
                self.map(range.clone(), 2);
                Some((line('m', range, (*kind).into()), 1))
            }
            Operation::Unmap(range) => {
                self.pages(range).fill(None);
                Some((line('u', range, 0), 1))
            }
            Operation::Protect(range, protection) => {
                self.protect(range, *protection)?;
                Some((line('p', range, (*protection).into()), 1))
            }
            Operation::Move(range, to) => {
                self.relocate(range, *to)?;
                Some((line('v', range, *to), 1))
            }
            Operation::Discard(range) => {
                let whole = self.pages(range).iter().all(Option::is_some);
                Some((line('d', range, 0), whole.into()))
            }
            Operation::Break(pages) => {
                self.set_break(*pages);
                Some((format!("b {pages}\n"), 1))
            }
            Operation::Fork(range) => Some((line('f', range, 0), 1)),
            Operation::Write(area, range, stride) => Some(self.access('w', *area, range, *stride)),
            Operation::Read(area, range, stride) => Some(self.access('r', *area, range, *stride)),
            Operation::Settle => None,
        }
    }

    fn pages(&mut self, range: &Range<u64>) -> &mut [Option<Page>] {
        &mut self.arena[range.start as usize..range.end as usize]
    }

    fn protect(&mut self, range: &Range<u64>, protection: u8) -> Option<()> {
        let pages = self.pages(range);
        if pages.iter().any(Option::is_none) {
            return None;
        }
        for page in pages.iter_mut().flatten() {
            page.protection = protection;
        }
        Some(())
    }

    /// Of one mapping only, to where it does not overlap.
    fn relocate(&mut self, range: &Range<u64>, to: u64) -> Option<()> {
        let target = to..to + (range.end - range.start);
        let overlaps = range.start < target.end && target.start < range.end;
        if overlaps || target.end > PAGES[0] {
            return None;
        }
        let moved: Vec<Option<Page>> = self.pages(range).to_vec();
        let first = moved[0]?;
        for (number, page) in moved.iter().enumerate() {
            let index = first.index + number as u64;
            if *page != Some(Page { index, ..first }) {
                return None;
            }
        }
        self.pages(range).fill(None);
        self.mappings += 1;
        let mapping = self.mappings;
        for (page, from) in self.pages(&target).iter_mut().zip(moved) {
            *page = from.map(|from| Page { mapping, ..from });
        }
        Some(())
    }

    fn set_break(&mut self, pages: u64) {
        self.mappings += 1;
        let mapping = self.mappings;
        for (number, page) in self.heap.iter_mut().enumerate() {
            let index = number as u64;
            let fresh = Page {
                mapping,
                index,
                protection: 2,
            };
            *page = (index < pages).then(|| page.unwrap_or(fresh));
        }
    }

    fn access(&mut self, how: char, area: Area, range: &Range<u64>, stride: u64) -> (String, u64) {
        let needed = if how == 'w' { 2 } else { 1 };
        let state = match area {
            Area::Arena => &self.arena,
            Area::Heap => &self.heap,
        };
        let histories = &mut self.histories[area as usize];
        let mut done = 0;
        for page in range.clone().step_by(stride as usize) {
            let there = state[page as usize].filter(|page| page.protection >= needed);
            let Some(there) = there else { continue };
            histories[page as usize].note(how == 'w', there.mapping, self.pace);
            done += 1;
        }
        let (from, pages) = (range.start, range.end - range.start);
        let line = format!("{how} {} {from} {pages} {stride}\n", area as u8);
        (line, done)
    }

    /// The write events that the pages of an area must have.
    pub(super) fn writes(&mut self, area: Area) -> BTreeMap<u64, Bounds> {
        self.bounds(area, |history| history.writes)
    }

    /// The read events that the pages of an area must have.
    pub(super) fn reads(&mut self, area: Area) -> BTreeMap<u64, Bounds> {
        self.bounds(area, |history| history.reads)
    }

    fn bounds(&mut self, area: Area, of: impl Fn(&History) -> Bounds) -> BTreeMap<u64, Bounds> {
        let histories = self.histories[area as usize].iter_mut();
        let bounds = histories.map(|history| {
            // The end of the program settles everything.
            history.settle();
            of(history)
        });
        (0..).zip(bounds).collect()
    }
}

impl History {
    fn note(&mut self, write: bool, mapping: u32, pace: Pace) {
        if self.last.replace(mapping) != Some(mapping) {
            self.settle();
        }
        let (bounds, seen) = if write {
            (&mut self.writes, &mut self.written)
        } else {
            (&mut self.reads, &mut self.read)
        };
        bounds.most += u64::from(pace == Pace::Short || !*seen);
        *seen = true;
    }

    /// What was only read since the last time must have a read event: a write event is none.
    fn settle(&mut self) {
        self.writes.least += u64::from(self.written);
        self.reads.least += u64::from(self.read && !self.written);
        (self.written, self.read) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::{Area, Bounds, Model};
    use crate::script::{Operation, Pace};

    #[test]
    fn stores_settled_apart_are_events_apart() {
        let mut model = Model::new(Pace::Short);
        let write = Operation::Write(Area::Arena, 3..8, 2);
        assert_eq!(model.apply(&write), Some(("w 0 3 5 2\n".into(), 0)));
        model.apply(&Operation::Map(4..6, 0));
        assert_eq!(model.apply(&write).map(|(_, done)| done), Some(1));
        assert!(model.settle());
        model.apply(&write);
        model.apply(&write);
        let writes = model.writes(Area::Arena);
        assert_eq!(writes[&5], Bounds { least: 2, most: 3 });
        assert_eq!(writes[&4], Bounds::default());
    }

    #[test]
    fn stores_to_two_mappings_at_one_address_are_two_events_of_one_epoch() {
        let mut model = Model::new(Pace::One);
        for kind in 0..2 {
            model.apply(&Operation::Map(4..6, kind));
            model.apply(&Operation::Write(Area::Arena, 4..5, 1));
            model.apply(&Operation::Write(Area::Arena, 4..5, 1));
            model.apply(&Operation::Read(Area::Arena, 5..6, 1));
        }
        let twice = Bounds { least: 2, most: 2 };
        assert_eq!(model.writes(Area::Arena)[&4], twice);
        assert_eq!(model.reads(Area::Arena)[&5], twice);
    }

    #[test]
    fn only_whole_parts_of_one_mapping_move() {
        let mut model = Model::new(Pace::One);
        model.apply(&Operation::Map(0..4, 0));
        model.apply(&Operation::Map(4..8, 0));
        assert_eq!(model.apply(&Operation::Move(2..6, 20)), None);
        assert!(model.apply(&Operation::Move(4..6, 20)).is_some());
        assert_eq!(model.apply(&Operation::Move(4..6, 30)), None);
        let read = Operation::Read(Area::Arena, 0..30, 1);
        assert_eq!(model.apply(&read).map(|(_, done)| done), Some(8));
    }
}
