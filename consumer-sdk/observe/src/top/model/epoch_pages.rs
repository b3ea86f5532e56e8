//! Working sets by mapping: which pages of each had an event in an epoch.

use crate::top::sample::WorkingSet;
use std::collections::HashSet;
use vmmload_consumer::Event;

/// Most pages of an epoch that are told apart, so that hostile or huge processes do not fill memory.
const MOST: usize = 1 << 20;
/// What the table of pages keeps for the next epoch.
const KEPT: usize = 1 << 14;

/// The epoch that is being read, and the one before it.
#[derive(Clone, Debug, Default)]
pub(super) struct EpochPages {
    number: u32,
    current: WorkingSet,
    /// What is counted in `current`, by mapping and address: a page may have an event of each kind.
    seen: HashSet<(u32, u64)>,
    previous: Option<(u32, WorkingSet)>,
    /// Epochs up to this one were not seen from their beginning.
    blind_until: u32,
}

impl EpochPages {
    /// For a reader that comes in this epoch.
    pub(super) fn from(epoch: u32) -> Self {
        Self {
            number: epoch,
            blind_until: epoch,
            ..Self::default()
        }
    }

    /// Notes an event. `near_loss`: records close to it are missing, perhaps of the same epoch.
    pub(super) fn add(&mut self, event: &Event, near_loss: bool) {
        if event.epoch != self.number {
            let ended = std::mem::take(&mut self.current);
            self.previous = Some((self.number, ended));
            self.number = event.epoch;
            self.seen.clear();
            self.seen.shrink_to(KEPT);
        }
        self.current.is_incomplete |= near_loss || self.seen.len() >= MOST;
        if self.seen.len() < MOST && self.seen.insert((event.mapping, event.addr)) {
            *self.current.pages.entry(event.mapping).or_default() += 1;
        }
    }

    /// Records behind the last one are missing.
    pub(super) fn note_loss(&mut self) {
        self.current.is_incomplete = true;
    }

    /// The working set of an epoch that has ended: the last one, or the one before. `None` where it was not seen whole.
    pub(super) fn of(&self, epoch: u32) -> Option<WorkingSet> {
        if epoch <= self.blind_until {
            return None;
        }
        let previous = self.previous.as_ref();
        if self.number == epoch {
            return Some(self.current.clone());
        }
        // Without an event there is no set.
        let previous = previous.filter(|(number, _)| *number == epoch);
        Some(previous.map_or_else(WorkingSet::default, |(_, set)| set.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmmload_consumer::Kind;

    fn event(epoch: u32, page: u64, kind: Kind) -> Event {
        Event {
            addr: page << 12,
            epoch,
            kind,
            mapping: 3,
            count: 1,
            ..Event::default()
        }
    }

    #[test]
    fn a_page_counts_once_in_an_epoch_whatever_happened_to_it() {
        let mut pages = EpochPages::from(1);
        for (epoch, page, kind) in [
            (2, 1, Kind::Write),
            (2, 1, Kind::Kernel),
            (2, 2, Kind::Kernel),
            (3, 1, Kind::Write),
        ] {
            pages.add(&event(epoch, page, kind), false);
        }
        assert_eq!(pages.of(1), None);
        let set = pages.of(2).unwrap();
        assert_eq!((set.pages[&3], set.is_incomplete), (2, false));
        assert_eq!(pages.of(3).unwrap().pages[&3], 1);
        // Nothing happened in it.
        assert_eq!(pages.of(4), Some(WorkingSet::default()));
    }

    #[test]
    fn what_may_be_missing_is_said() {
        let mut pages = EpochPages::from(1);
        pages.add(&event(2, 1, Kind::Write), true);
        pages.add(&event(3, 1, Kind::Write), false);
        assert!(pages.of(2).unwrap().is_incomplete);
        assert!(!pages.of(3).unwrap().is_incomplete);
        pages.note_loss();
        assert!(pages.of(3).unwrap().is_incomplete);
    }
}
