//! A copy of the heat table, to look things up in and to compare with another one.

use crate::heat::{self, Heat, HeatMemory, page_in_region};
use crate::mappings::Mapping;
use crate::sync::Ordering;
use crate::wire::{PAGE_SIZE, PAGES_PER_REGION, halves, pair};
use crate::words::Kind;
use std::collections::BTreeMap;

/// Every page's total at one moment, by address.
///
/// While the process runs the copy is not of one instant: each total by itself is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeatMap {
    /// By first address of the 2 MiB region, and kind: what [`Consumer::heat_words`](crate::Consumer::heat_words)
    /// has.
    regions: BTreeMap<(u64, Kind), Words>,
}

/// One word for each page of a region.
type Words = Box<[u64; PAGES_PER_REGION]>;

impl HeatMap {
    pub(crate) fn of_table(memory: HeatMemory<'_>) -> Self {
        let copy = |(base, kind, page): (u64, Kind, &[_; PAGES_PER_REGION])| {
            let words = page
                .each_ref()
                .map(|cell: &crate::sync::AtomicU64| cell.load(Ordering::Relaxed));
            ((base, kind), Box::new(words))
        };
        Self {
            regions: heat::regions(memory, None).map(copy).collect(),
        }
    }

    /// Every page with events, by address, then kind in each region of 2 MiB.
    pub fn iter(&self) -> impl Iterator<Item = Heat> + '_ {
        self.regions.iter().flat_map(cells)
    }

    /// The total of the page at an address.
    pub fn get(&self, addr: u64, kind: Kind) -> Option<Heat> {
        let words = self.regions.get(&(base_of(addr), kind))?;
        let offset = page_in_region(addr);
        heat::heat_of(base_of(addr), kind, offset, words[offset])
    }

    /// The pages with events in one mapping.
    pub fn of(&self, mapping: &Mapping) -> impl Iterator<Item = Heat> + '_ {
        // A damaged table may have its ends the wrong way round.
        let (start, end) = (mapping.start, mapping.end.max(mapping.start));
        let regions = self
            .regions
            .range((base_of(start), Kind::Write)..(end, Kind::Write));
        regions
            .flat_map(cells)
            .filter(move |heat| (start..end).contains(&heat.addr))
    }

    /// What came between `earlier` and this copy of the same segment: pages without an event in between are
    /// left out.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.clone();
        for (key, words) in &mut difference.regions {
            let Some(before) = earlier.regions.get(key) else {
                continue;
            };
            for (word, &before) in words.iter_mut().zip(before.iter()) {
                let (count, epoch) = halves(*word);
                *word = pair(count.saturating_sub(halves(before).0), epoch);
            }
        }
        let is_used =
            |words: &[u64; PAGES_PER_REGION]| words.iter().any(|&word| halves(word).0 > 0);
        difference.regions.retain(|_, words| is_used(words));
        difference
    }

    /// Events of all pages and kinds.
    pub fn total(&self) -> u64 {
        self.iter().map(|heat| heat.count).sum()
    }

    /// How many pages there are, each counted once for each of its kinds.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there was no event.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// The pages with events of one region and kind.
fn cells((&(base, kind), words): (&(u64, Kind), &Words)) -> impl Iterator<Item = Heat> {
    let cells = words.iter().enumerate();
    cells.filter_map(move |(offset, &cell)| heat::heat_of(base, kind, offset, cell))
}

fn base_of(addr: u64) -> u64 {
    addr & !(PAGES_PER_REGION as u64 * PAGE_SIZE as u64 - 1)
}
