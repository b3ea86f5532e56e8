//! Leaves pages alone for a while that are written in one epoch after the other, where arming them all would cost
//! more of the program's time than the user allows.
//!
//! Such a page gets a guest-physical address whose slot is not under dirty logging: the first store there is
//! a fault, all others are free. When the season is over all of them go back to where stores are logged, at
//! once, since the translations in use have to be dropped for that.

use vmmload_consumer::{HeatIndex, Kind};

use super::book::Book;
use super::census::untouched;
use crate::guest::layout::PAGE;
use crate::machine::Machine;
use crate::probes::rearm::Rearm;
use crate::process::mappings::Mappings;

/// Epochs in a row with a store, after which a page is left alone.
const HOT: u32 = 8;

/// Epochs after which all that were left alone are watched again.
const SEASON: u32 = 32;

/// For each page of a region, the epoch of its last store above, and the length of its row below.
type Rows = [u32; 512];

/// Bits of the length of a row.
const LENGTH_BITS: u32 = 4;

/// Which pages are stored to in one epoch after the other.
pub(super) struct Streaks {
    /// Indexed by the counter page of region and kind. Untouched until used.
    rows: Vec<Rows>,
    /// Pages that have become hot in the present epoch.
    pub hot: Vec<u64>,
}

impl Streaks {
    /// Room for `regions` counter pages.
    pub(super) fn new(regions: usize) -> Self {
        Self {
            rows: untouched(regions),
            hot: Vec::new(),
        }
    }

    /// Notes a store to the page at `va` in this epoch.
    pub(super) fn note(&mut self, heat: HeatIndex, va: u64, epoch: u32) {
        let row = &mut self.rows[heat.get()][(va / PAGE % 512) as usize];
        let (last, length) = (*row >> LENGTH_BITS, *row & ((1 << LENGTH_BITS) - 1));
        let epoch = epoch & (u32::MAX >> LENGTH_BITS);
        let length = match epoch.wrapping_sub(last) {
            0 => length,
            1 => (length + 1).min(HOT),
            _ => 1,
        };
        *row = epoch << LENGTH_BITS | length;
        if length == HOT {
            self.hot.push(va);
        }
    }
}

/// The pages that are left alone.
#[derive(Default)]
pub(super) struct BackOff {
    pages: Vec<u64>,
    /// Epoch in which the season began.
    since: u32,
}

impl BackOff {
    /// How many they are.
    pub(super) fn len(&self) -> u32 {
        self.pages.len() as u32
    }

    /// After an epoch whose pages were armed again: leaves those alone that are hot, if arming costs too much;
    /// watches all again when it is time for that.
    pub(super) fn adapt(
        &mut self,
        machine: &Machine,
        table: &Mappings,
        book: &mut Book,
        costs_too_much: bool,
    ) {
        if self.pages.is_empty() {
            self.since = book.epoch;
        }
        let mut hot = std::mem::take(&mut book.streaks.hot);
        if costs_too_much {
            hot.retain(|&va| machine.leave_alone(va));
            hot.iter().for_each(|&va| book.writer.leave_alone(va));
            self.pages.append(&mut hot);
        }
        hot.clear();
        book.streaks.hot = hot;
        if book.epoch - self.since >= SEASON {
            self.watch_again(machine, table, book);
        }
    }

    /// Puts all pages back to where stores are logged; those that were stored to have an event in the present epoch.
    pub(super) fn watch_again(&mut self, machine: &Machine, table: &Mappings, book: &mut Book) {
        if self.pages.is_empty() {
            return;
        }
        self.count_all(machine, table, book);
        for va in self.pages.drain(..) {
            machine.watch_again(va);
        }
        // Fails only for want of memory: their stores are then not seen until something else drops them.
        let _ = machine.rearm_reads(Rearm::Drop);
    }

    /// Those that were stored to meanwhile have an event. To the readers, none of them counts as unwatched any
    /// more.
    pub(super) fn count_all(&self, machine: &Machine, table: &Mappings, book: &mut Book) {
        for &va in &self.pages {
            if machine.tables.take_dirty(va) {
                book.count(table, va, Kind::Write, 0);
            }
            book.writer.watch_again(va);
        }
    }
}

#[cfg(test)]
mod tests {
    use vmmload_consumer::{SegmentConfig, SegmentWriter};

    use super::*;

    fn streaks(epochs: &[u32]) -> usize {
        let mut writer = SegmentWriter::create_named(
            &SegmentConfig::new(std::process::id()),
            &format!("vmmload-streaks-{:?}", std::thread::current().id()),
        )
        .unwrap();
        let heat = writer.region(0x1000, Kind::Write).unwrap();
        let mut streaks = Streaks::new(heat.get() + 1);
        for &epoch in epochs {
            streaks.note(heat, 0x1000, epoch);
        }
        streaks.hot.len()
    }

    #[test]
    fn pages_are_hot_after_many_epochs_in_a_row() {
        assert_eq!(streaks(&[1, 2, 3, 4, 5, 6, 7]), 0);
        assert_eq!(streaks(&[1, 2, 3, 4, 5, 6, 7, 8]), 1);
        assert_eq!(streaks(&[1, 2, 3, 4, 6, 7, 8, 9]), 0);
        assert_eq!(streaks(&[1, 1, 1, 2, 2, 2, 3, 3, 3]), 0);
    }
}
