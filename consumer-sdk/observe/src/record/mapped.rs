//! What is mapped in a program: what is new in its table, and how much it is.

use crate::recording::writer::MappingRow;
use std::collections::HashSet;
use vmmload_consumer::{Consumer, Mapping, Mappings, PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE};

/// The table as it was told so far.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    /// `None` before the first time.
    told: Option<Mappings>,
    most_pages: u64,
}

impl Mapped {
    /// The mappings that came or changed since the last time.
    pub(crate) fn news(&mut self, consumer: &Consumer, seen_ns: u64) -> Vec<MappingRow> {
        let version = self.told.as_ref().map(|told| told.version);
        if version == Some(consumer.mappings_version()) {
            return Vec::new();
        }
        // Changing too fast to be copied: the next look will have them.
        let Some(current) = consumer.mappings() else {
            return Vec::new();
        };
        let new = news(&self.told.take().unwrap_or_default(), &current);
        self.most_pages = self.most_pages.max(pages(&current));
        self.told = Some(current);
        let row = |mapping| MappingRow { seen_ns, mapping };
        new.into_iter().map(row).collect()
    }

    /// Pages of mappings with any permission: now, and at most.
    pub(crate) fn pages(&self) -> (u64, u64) {
        (self.told.as_ref().map_or(0, pages), self.most_pages)
    }
}

fn news(told: &Mappings, current: &Mappings) -> Vec<Mapping> {
    let identity = |mapping: &Mapping| (mapping.id, mapping.start, mapping.end, mapping.retired);
    let told_gone: HashSet<_> = told.retired.iter().map(identity).collect();
    let is_gone = |mapping: &&Mapping| !told_gone.contains(&identity(mapping));
    let is_new = |mapping: &&Mapping| {
        let at = told
            .entries
            .binary_search_by_key(&mapping.start, |old| old.start);
        !at.is_ok_and(|at| told.entries[at] == **mapping)
    };
    let gone = current.retired.iter().filter(is_gone);
    gone.chain(current.entries.iter().filter(is_new))
        .cloned()
        .collect()
}

fn pages(mappings: &Mappings) -> u64 {
    const ANY: u32 = PROT_READ | PROT_WRITE | PROT_EXEC;
    let usable = mappings
        .entries
        .iter()
        .filter(|entry| entry.prot & ANY != 0);
    usable
        .map(|entry| entry.end.saturating_sub(entry.start) / PAGE_SIZE as u64)
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(id: u32, start: u64, pages: u64, prot: u32) -> Mapping {
        Mapping {
            id,
            start,
            end: start + pages * 4096,
            prot,
            ..Mapping::default()
        }
    }

    #[test]
    fn what_came_changed_or_went_is_told_once() {
        let (a, b) = (
            mapping(1, 0x1000, 1, PROT_READ),
            mapping(2, 0x5000, 2, PROT_READ),
        );
        let first = Mappings {
            entries: vec![a.clone(), b.clone()],
            ..Mappings::default()
        };
        assert_eq!(news(&Mappings::default(), &first), [a.clone(), b.clone()]);
        let grown = mapping(2, 0x5000, 3, PROT_READ);
        let gone = Mapping { retired: 7, ..a };
        let second = Mappings {
            entries: vec![grown.clone()],
            retired: vec![gone.clone()],
            ..Mappings::default()
        };
        assert_eq!(news(&first, &second), [gone, grown]);
        assert_eq!(news(&second, &second), []);
    }

    #[test]
    fn pages_that_nothing_may_be_done_with_are_not_counted() {
        let mappings = Mappings {
            entries: vec![
                mapping(1, 0x1000, 3, PROT_WRITE),
                mapping(2, 0x10_0000, 1000, 0),
                mapping(3, 0x8000, 2, PROT_EXEC),
            ],
            ..Mappings::default()
        };
        assert_eq!(pages(&mappings), 5);
    }
}
