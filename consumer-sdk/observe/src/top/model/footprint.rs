//! Which pages a process has touched since its start, as a bit for each.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;
use vmmload_consumer::Consumer;

/// Pages in a region of 2 MiB.
const PAGES: u64 = 512;
/// Bytes of a page, as a power of two.
const PAGE_SHIFT: u32 = 12;

/// Distinct pages with an event of any kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// A bit for each page, by number of the region.
    regions: BTreeMap<u64, [u64; 8]>,
}

impl Footprint {
    /// As of now.
    pub(super) fn of(consumer: &Consumer) -> Self {
        let mut footprint = Self::default();
        let heat = consumer.heat_words();
        for ([region, _], cells) in heat.regions.iter().zip(heat.cells) {
            let number = region.load(Ordering::Relaxed) >> 2;
            let bits = footprint.regions.entry(number).or_default();
            for (page, cell) in cells.iter().enumerate() {
                // The low half is the number of events.
                let has_events = cell.load(Ordering::Relaxed) as u32 != 0;
                bits[page / 64] |= u64::from(has_events) << (page % 64);
            }
        }
        footprint
    }

    /// Adds the page at an address.
    #[cfg(test)]
    pub(crate) fn add(&mut self, addr: u64) {
        let page = addr >> PAGE_SHIFT;
        let bits = self.regions.entry(page / PAGES).or_default();
        bits[(page % PAGES / 64) as usize] |= 1 << (page % 64);
    }

    /// How many of the pages in a range of addresses were touched.
    pub(crate) fn pages_in(&self, range: &Range<u64>) -> u64 {
        let first = range.start >> PAGE_SHIFT;
        // The page that the last byte is in, if there is one.
        let end = match range.end {
            0 => 0,
            end => ((end - 1) >> PAGE_SHIFT) + 1,
        };
        if first >= end {
            return 0;
        }
        let regions = self.regions.range(first / PAGES..=(end - 1) / PAGES);
        regions
            .map(|(number, bits)| {
                let base = number * PAGES;
                let from = first.saturating_sub(base).min(PAGES);
                let to = end.saturating_sub(base).min(PAGES);
                count(bits, from..to)
            })
            .sum()
    }
}

/// Bits that are set among those of a range.
fn count(bits: &[u64; 8], range: Range<u64>) -> u64 {
    let mask = |word: u64| {
        let below = |bit: u64| match bit.saturating_sub(word * 64) {
            64.. => u64::MAX,
            bit => (1 << bit) - 1,
        };
        below(range.end) & !below(range.start)
    };
    let words = bits.iter().zip(0..);
    words
        .map(|(bits, word)| u64::from((bits & mask(word)).count_ones()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_in_any_range() {
        let mut footprint = Footprint::default();
        let pages = [0u64, 1, 63, 64, 511, 512, 1000, 5000];
        pages.iter().for_each(|page| footprint.add(page << 12));
        for from in [0u64, 1, 2, 64, 511, 513, 1001, 5000] {
            for to in [0u64, 1, 64, 65, 512, 513, 4999, 5001] {
                let expected = pages.iter().filter(|page| (from..to).contains(page));
                assert_eq!(
                    footprint.pages_in(&(from << 12..to << 12)),
                    expected.count() as u64,
                    "{from}..{to}"
                );
            }
        }
        assert_eq!(footprint.pages_in(&(0..u64::MAX)), 8);
    }
}
