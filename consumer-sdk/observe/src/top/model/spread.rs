//! Where the events of one refresh were: fine as long as they are few, coarser where they are many.

use crate::top::sample::{Block, Column};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most blocks of one mapping.
const MOST: usize = 128;
/// Most blocks in one column.
const MOST_IN_COLUMN: usize = 4096;
/// Bytes of the finest block, as a power of two: a page.
const PAGE_SHIFT: u8 = 12;

/// Events of one mapping by address, in blocks of one size: the smallest that does with few of them, however far apart
/// the pages are.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    shift: u8,
    /// Events by `address >> shift`.
    blocks: BTreeMap<u64, u32>,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            shift: PAGE_SHIFT,
            blocks: BTreeMap::new(),
        }
    }
}

impl Spread {
    /// Adds events of a page.
    pub(super) fn add(&mut self, addr: u64, events: u32) {
        let count = self.blocks.entry(addr >> self.shift).or_default();
        *count = count.saturating_add(events);
        self.coarsen(MOST);
    }

    /// Doubles the blocks until there are no more than `most`.
    fn coarsen(&mut self, most: usize) {
        while self.blocks.len() > most && self.shift < 63 {
            self.shift += 1;
            let mut joined = BTreeMap::new();
            for (block, events) in std::mem::take(&mut self.blocks) {
                let count: &mut u32 = joined.entry(block >> 1).or_default();
                *count = count.saturating_add(events);
            }
            self.blocks = joined;
        }
    }

    fn blocks(&self, mapping: u32) -> impl Iterator<Item = Block> + '_ {
        let shift = self.shift;
        self.blocks.iter().map(move |(&block, &events)| Block {
            start: block << shift,
            events,
            mapping,
            shift,
        })
    }
}

/// The column of a refresh that lasted `span`, of what is known by mapping.
pub(super) fn column(mut spreads: Vec<(u32, Spread)>, span: Duration) -> Column {
    let mut most = MOST;
    let count = |spreads: &[(u32, Spread)]| -> usize {
        spreads.iter().map(|(_, spread)| spread.blocks.len()).sum()
    };
    while count(&spreads) > MOST_IN_COLUMN && most > 1 {
        most /= 2;
        spreads
            .iter_mut()
            .for_each(|(_, spread)| spread.coarsen(most));
    }
    let blocks = spreads.iter();
    let mut blocks: Vec<Block> = blocks
        .flat_map(|(mapping, spread)| spread.blocks(*mapping))
        .collect();
    let mut left_out = 0;
    if blocks.len() > MOST_IN_COLUMN {
        blocks.sort_unstable_by_key(|block| std::cmp::Reverse(block.events));
        left_out = blocks
            .drain(MOST_IN_COLUMN..)
            .map(|b| u64::from(b.events))
            .sum();
    }
    blocks.sort_unstable_by_key(|block| (block.start, block.mapping));
    blocks.shrink_to_fit();
    Column {
        span,
        blocks,
        left_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pages_keep_their_addresses_and_many_become_blocks() {
        let mut few = Spread::default();
        // However far apart they are.
        few.add(0x1000, 2);
        few.add(0x7fff_ffff_f000, 1);
        few.add(0x1000, 3);
        let blocks: Vec<Block> = few.blocks(7).collect();
        assert_eq!((blocks[0].start, blocks[0].events), (0x1000, 5));
        assert_eq!((blocks[1].start, blocks[1].shift), (0x7fff_ffff_f000, 12));

        let mut many = Spread::default();
        (0..100_000).for_each(|page| many.add(page << 12, 1));
        let blocks: Vec<Block> = many.blocks(7).collect();
        assert!(blocks.len() <= MOST && blocks.len() >= MOST / 2 - 1);
        let sum: u32 = blocks.iter().map(|block| block.events).sum();
        assert_eq!(sum, 100_000);
        assert!(blocks.windows(2).all(|two| two[0].end() <= two[1].start));
    }

    #[test]
    fn a_column_has_room_for_any_number_of_mappings_and_counts_what_it_leaves_out() {
        let spread = |mapping: u64, pages: u64| {
            let mut spread = Spread::default();
            let address = |page| (mapping * 1000 + page) << 12;
            (0..pages).for_each(|page| spread.add(address(page), 1));
            (mapping as u32, spread)
        };
        let some = (0..400).map(|mapping| spread(mapping, 100)).collect();
        let column_of_some = column(some, Duration::ZERO);
        assert!(column_of_some.blocks.len() <= MOST_IN_COLUMN);
        let sum: u32 = column_of_some.blocks.iter().map(|b| b.events).sum();
        assert_eq!((sum, column_of_some.left_out), (40_000, 0));

        let many = (0..5000).map(|mapping| spread(mapping, 2)).collect();
        let column = column(many, Duration::ZERO);
        let sum: u64 = column.blocks.iter().map(|b| u64::from(b.events)).sum();
        assert_eq!(column.blocks.len(), MOST_IN_COLUMN);
        assert_eq!(sum + column.left_out, 10_000);
    }

    #[test]
    fn addresses_at_both_ends_are_no_problem() {
        let mut spread = Spread::default();
        (0..200).for_each(|page| spread.add(u64::MAX - (page << 55), 1));
        assert!(
            spread
                .blocks(0)
                .all(|block| block.end() > block.start || block.shift == 63)
        );
    }
}
