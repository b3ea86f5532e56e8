//! The summary's lines on pages: which were touched how, and which were only there.

use super::line;
use crate::cli::numbers::{grouped, pages, percent};
use crate::host::residency::Residency;
use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::ops::Range;
use vmmload_consumer::{Heat, HugePage, Kind, PAGE_SIZE};

const WORDS: usize = HugePage::PAGES as usize / 64;

/// A bit for each page of 2 MiB, and each kind of event.
type Touched = [[u64; WORDS]; Kind::ALL.len()];

/// The pages that had events, by region of 2 MiB.
#[derive(Default)]
pub(super) struct Pages(BTreeMap<u64, Touched>);

impl Pages {
    pub(super) fn of(cells: impl Iterator<Item = Heat>) -> Self {
        let mut regions: BTreeMap<u64, Touched> = BTreeMap::new();
        for Heat { addr, kind, .. } in cells {
            let region = regions.entry(addr / HugePage::BYTES).or_default();
            let page = page_of(addr);
            region[kind as usize][page / 64] |= 1 << (page % 64);
        }
        Self(regions)
    }

    /// `reads`: whether loads were watched.
    pub(super) fn write(&self, reads: bool, out: &mut Formatter<'_>) -> fmt::Result {
        let [write, read, kernel] = Kind::ALL.map(|kind| kind as usize);
        let touched = pages(self.count(|page| page[write] | page[read] | page[kernel]));
        let written = grouped(self.count(|page| page[write]));
        let only_read = match reads {
            true => {
                let pages = self.count(|page| page[read] & !page[write]);
                format!("{} read and never written, ", grouped(pages))
            }
            false => String::new(),
        };
        let by_kernel = grouped(self.count(|page| page[kernel]));
        let kernel_alone = grouped(self.count(|page| page[kernel] & !page[write] & !page[read]));
        let text = format!(
            "{touched} touched: {written} written, {only_read}{by_kernel} written by the kernel \
             ({kernel_alone} by it alone)"
        );
        line(out, "pages", text)
    }

    /// How many pages have their bit set in what `select` makes of 64 pages' bits of each kind.
    fn count(&self, select: impl Fn([u64; Kind::ALL.len()]) -> u64) -> u64 {
        let words = self
            .0
            .values()
            .flat_map(|region| (0..WORDS).map(|word| region.map(|kind| kind[word])));
        words.map(|word| u64::from(select(word).count_ones())).sum()
    }

    /// `untouched`: what a page without an event is.
    pub(super) fn write_residency(
        &self,
        resident: &Residency,
        untouched: &str,
        out: &mut Formatter<'_>,
    ) -> fmt::Result {
        let in_run = |run: &Range<u64>| (run.end - run.start) / PAGE_SIZE as u64;
        let present: u64 = resident.present.iter().map(in_run).sum();
        if present == 0 {
            return line(out, "resident", "not known: the kernel does not show it");
        }
        let cold: u64 = resident.present.iter().map(|run| self.cold_in(run)).sum();
        let share = percent(cold, present);
        let swapped = match resident.swapped {
            0 => String::new(),
            swapped => format!("; {} swapped out", pages(swapped)),
        };
        let by_cache = match resident.by_cache {
            true => "; files count as far as they are cached: /proc/self/pagemap cannot be read",
            false => "",
        };
        let (present, cold) = (pages(present), grouped(cold));
        let text = format!(
            "{present} at the end, {cold} of them {untouched} ({share}){swapped}{by_cache}"
        );
        line(out, "resident", text)
    }

    /// Pages of a run that had no event.
    fn cold_in(&self, run: &Range<u64>) -> u64 {
        let addresses = run.clone().step_by(PAGE_SIZE);
        addresses.filter(|&addr| !self.is_touched(addr)).count() as u64
    }

    fn is_touched(&self, addr: u64) -> bool {
        let page = page_of(addr);
        self.0.get(&(addr / HugePage::BYTES)).is_some_and(|region| {
            region
                .iter()
                .any(|kind| kind[page / 64] >> (page % 64) & 1 != 0)
        })
    }
}

fn page_of(addr: u64) -> usize {
    (addr % HugePage::BYTES) as usize / PAGE_SIZE
}
