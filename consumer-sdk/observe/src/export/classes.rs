//! Counts events by the class of the mapping that they hit.

use super::counts::{CLASSES, UNKNOWN, class_index};
use std::collections::HashMap;
use vmmload_consumer::{Event, Mappings};

/// Events by class and kind.
pub(crate) type ByClass = [[u64; 3]; CLASSES.len()];

/// Most mappings that are waited for: what a segment says is not trusted.
const MOST_WAITING: usize = 4096;

/// The classes of a process's mappings by their ids.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    version: Option<u64>,
    now: HashMap<u32, usize>,
    /// As they were before the last change: a mapping may be forgotten before its last records are read.
    before: HashMap<u32, usize>,
    /// Events in mappings that are not in the table yet: it is published behind the records, when their epoch ends.
    waiting: HashMap<u32, Waiting>,
    /// Where the last event was: neighbours mostly lie in one mapping.
    last: Option<(u32, usize)>,
}

/// Events in one mapping that is not in the table yet.
#[derive(Debug, Default)]
struct Waiting {
    events: [u64; 3],
    /// The epoch of the last of them.
    epoch: u32,
}

impl Classes {
    /// Whether the table has this version.
    pub(crate) fn is_current(&self, version: u64) -> bool {
        self.version == Some(version)
    }

    /// Takes over a table that has changed.
    pub(crate) fn renew(&mut self, mappings: &Mappings) {
        let all = mappings.retired.iter().chain(&mappings.entries);
        let now = all.map(|mapping| (mapping.id, class_index(mapping.class)));
        self.before = std::mem::replace(&mut self.now, now.collect());
        self.version = Some(mappings.version);
        self.last = None;
    }

    /// Counts one event, now or once its mapping is known.
    pub(crate) fn count(&mut self, event: &Event, counts: &mut ByClass) {
        let id = event.mapping;
        let known = match self.last {
            Some((last, class)) if last == id => Some(class),
            _ => self.find(id),
        };
        let class = match known {
            Some(class) => class,
            None if self.must_wait(id) => {
                let waiting = self.waiting.entry(id).or_default();
                waiting.epoch = waiting.epoch.max(event.epoch);
                grow(&mut waiting.events[event.kind as usize], event.count.into());
                return;
            }
            None => UNKNOWN,
        };
        self.last = Some((id, class));
        grow(&mut counts[class][event.kind as usize], event.count.into());
    }

    /// Counts what has waited and is in the table now; and as unknown, what should be: of epochs up to `finished`, which
    /// had ended when the table was copied.
    pub(crate) fn settle(&mut self, finished: u32, counts: &mut ByClass) {
        for (id, waiting) in std::mem::take(&mut self.waiting) {
            let class = match self.find(id) {
                Some(class) => class,
                None if waiting.epoch <= finished => UNKNOWN,
                None => {
                    self.waiting.insert(id, waiting);
                    continue;
                }
            };
            let pairs = counts[class].iter_mut().zip(waiting.events);
            pairs.for_each(|(sum, events)| grow(sum, events));
        }
    }

    fn find(&self, id: u32) -> Option<usize> {
        let known = self.now.get(&id).or_else(|| self.before.get(&id));
        known.copied()
    }

    /// Mapping 0 is none that will ever be known.
    fn must_wait(&self, id: u32) -> bool {
        id != 0 && (self.waiting.contains_key(&id) || self.waiting.len() < MOST_WAITING)
    }
}

fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmmload_consumer::{Mapping, MappingClass};

    fn table(version: u64, ids: &[u32]) -> Mappings {
        let heap = |&id: &u32| Mapping {
            id,
            class: MappingClass::Heap,
            ..Mapping::default()
        };
        Mappings {
            entries: ids.iter().map(heap).collect(),
            version,
            ..Mappings::default()
        }
    }

    fn event(mapping: u32, epoch: u32) -> Event {
        Event {
            mapping,
            epoch,
            count: 1,
            ..Event::default()
        }
    }

    const HEAP: usize = MappingClass::Heap as usize;

    #[test]
    fn events_wait_for_their_mapping_until_their_epoch_has_ended() {
        let (mut classes, mut counts) = (Classes::default(), ByClass::default());
        classes.count(&event(1, 7), &mut counts);
        classes.count(&event(2, 7), &mut counts);
        classes.count(&event(0, 7), &mut counts);
        assert_eq!((counts[HEAP][0], counts[UNKNOWN][0]), (0, 1));
        classes.settle(6, &mut counts);
        classes.renew(&table(1, &[1]));
        classes.settle(6, &mut counts);
        assert_eq!((counts[HEAP][0], counts[UNKNOWN][0]), (1, 1));
        classes.settle(7, &mut counts);
        classes.settle(7, &mut counts);
        assert_eq!((counts[HEAP][0], counts[UNKNOWN][0]), (1, 2));
    }

    #[test]
    fn a_mapping_is_known_for_one_table_longer_than_it_is_there() {
        let (mut classes, mut counts) = (Classes::default(), ByClass::default());
        classes.renew(&table(1, &[1]));
        classes.renew(&table(2, &[2]));
        classes.count(&event(1, 1), &mut counts);
        classes.count(&event(2, 1), &mut counts);
        assert_eq!(counts[HEAP][0], 2);
        assert!(classes.is_current(2) && !classes.is_current(1));
    }

    #[test]
    fn no_more_is_kept_waiting_than_there_is_room_for() {
        let (mut classes, mut counts) = (Classes::default(), ByClass::default());
        for id in 1..=5000 {
            classes.count(&event(id, 9), &mut counts);
        }
        assert_eq!(classes.waiting.len(), MOST_WAITING);
        assert_eq!(counts[UNKNOWN][0], 5000 - MOST_WAITING as u64);
        // What waits has room for more of the same.
        classes.count(&event(1, 9), &mut counts);
        classes.settle(9, &mut counts);
        assert_eq!(counts[UNKNOWN][0], 5001);
    }
}
