//! Events by mapping, and the mappings that are gone: what addresses alone cannot tell once they were used
//! again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

use vmmload_consumer::{HeatIndex, Kind, MappingClass, MappingEntry};
use zerocopy::FromZeros;

use crate::guest::layout::PAGE;
use crate::host::residency;
use crate::process::mappings::{Mapping, Mappings};

/// Most mappings that are remembered after they are gone.
const REMEMBERED: usize = 1024;
/// Mappings that are gone and still have totals of their own, before they are added up by name.
const NOT_ADDED_UP: usize = 256;
/// Names up to which each has totals of its own after its mappings are gone.
const NAMES: usize = 4096;
/// Each thread's has another name.
const STACKS: &str = "(stacks of threads that have ended)";
/// What is beyond that.
const OTHERS: &str = "(other mappings that are gone)";
/// Pages that were in no mapping any more when their events were found.
const UNKNOWN: &str = "(not mapped any more)";

/// For each page of a region and kind, the mapping that its last event was in.
type Owners = [u32; 512];

/// The totals of one mapping, or of all of one name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// As in the table of mappings.
    pub name: String,
    /// Distinct pages with an event of any kind.
    pub pages: u64,
    /// Events of each kind, in the order of [`Kind::ALL`].
    pub events: [u64; 3],
    /// Bytes that the kernel wrote.
    pub bytes: u64,
}

/// A mapping that had events and is gone.
#[derive(Debug, Clone)]
struct Gone {
    range: Range<u64>,
    mapping: Mapping,
    retired: u32,
}

/// Who had how many events.
pub(super) struct Census {
    /// By identity; 0 is nobody's.
    rows: HashMap<u32, Row>,
    /// Those of mappings that are gone.
    added_up: HashMap<String, Row>,
    /// Rows at which it is time to add up.
    add_up_at: usize,
    /// Indexed by the counter page of region and kind. Untouched until used.
    owners: Vec<Owners>,
    gone: VecDeque<Gone>,
}

impl Row {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    fn add(&mut self, other: &Self) {
        self.pages += other.pages;
        self.bytes += other.bytes;
        for (sum, events) in self.events.iter_mut().zip(other.events) {
            *sum += events;
        }
    }
}

impl Census {
    /// Room for `regions` counter pages.
    pub(super) fn new(regions: usize) -> Self {
        Self {
            rows: HashMap::from([(0, Row::named(UNKNOWN))]),
            added_up: HashMap::new(),
            add_up_at: NOT_ADDED_UP,
            owners: untouched(regions),
            gone: VecDeque::new(),
        }
    }

    /// Makes a row for a mapping that is about to have an event. It may have got its name since the last one.
    pub(super) fn name(&mut self, mapping: &Mapping) {
        let name = mapping.name();
        let row = self.rows.entry(mapping.identity.id).or_default();
        if row.name != name {
            name.clone_into(&mut row.name);
        }
    }

    /// Counts an event of the page at `va`, whose region has the counter pages `regions`.
    pub(super) fn add(
        &mut self,
        id: u32,
        va: u64,
        kind: Kind,
        bytes: u32,
        regions: [Option<HeatIndex>; 3],
    ) {
        let row = self.rows.entry(id).or_default();
        row.events[kind as usize] += 1;
        row.bytes += u64::from(bytes);
        let page = (va / PAGE % 512) as usize;
        let owned = regions.into_iter().flatten();
        if id == 0
            || owned
                .clone()
                .all(|heat| self.owners[heat.get()][page] != id)
        {
            row.pages += 1;
        }
        if let Some(heat) = regions[kind as usize] {
            self.owners[heat.get()][page] = id;
        }
    }

    /// Remembers the part of a mapping that is about to go, in this epoch, if it had events.
    pub(super) fn retire(&mut self, range: Range<u64>, mapping: &Mapping, epoch: u32) {
        if !self.rows.contains_key(&mapping.identity.id) {
            return;
        }
        if self.gone.len() == REMEMBERED {
            self.gone.pop_front();
        }
        self.gone.push_back(Gone {
            range,
            mapping: mapping.clone(),
            retired: epoch.max(1),
        });
    }

    /// The mappings that are gone, as far as they are remembered, the oldest first.
    pub(super) fn gone(&self) -> impl Iterator<Item = MappingEntry<'_>> {
        self.gone.iter().map(|gone| MappingEntry {
            retired: gone.retired,
            ..entry(&gone.range, &gone.mapping)
        })
    }

    /// Adds up the rows of mappings that are not in `table` any more, when there are many.
    pub(super) fn add_up(&mut self, table: &Mappings) {
        if self.rows.len() < self.add_up_at {
            return;
        }
        let there: HashSet<u32> = table.iter().map(|(_, m)| m.identity.id).collect();
        for (_, row) in self
            .rows
            .extract_if(|id, _| *id != 0 && !there.contains(id))
        {
            let full = self.added_up.len() >= NAMES && !self.added_up.contains_key(&row.name);
            let name = match &*row.name {
                name if name.starts_with("[stack:") => STACKS,
                _ if full => OTHERS,
                name => name,
            };
            let sum = self.added_up.entry(name.to_owned());
            sum.or_insert_with(|| Row::named(name)).add(&row);
        }
        self.add_up_at = self.rows.len() + NOT_ADDED_UP;
    }

    /// The totals by name, most events first.
    pub(super) fn by_name(&self) -> Vec<Row> {
        let mut by_name = self.added_up.clone();
        let used = |row: &&Row| row.events != [0; 3];
        for row in self.rows.values().filter(used) {
            let sum = by_name.entry(row.name.clone());
            sum.or_insert_with(|| Row::named(&row.name)).add(row);
        }
        let mut rows: Vec<Row> = by_name.into_values().collect();
        let events = |row: &Row| row.events.iter().sum::<u64>();
        rows.sort_by(|a, b| events(b).cmp(&events(a)).then_with(|| a.name.cmp(&b.name)));
        rows
    }
}

/// Zeroed elements whose memory stays untouched until it is used. (`vec!` writes larger ones itself.)
pub(super) fn untouched<T: FromZeros>(len: usize) -> Vec<T> {
    // Without the memory for it the launcher ends, as it does for any other memory of its own.
    let mut elements = T::new_vec_zeroed(len).expect("memory for the counts");
    residency::back_page_by_page(&mut elements);
    elements
}

/// A mapping as it is published.
pub(super) fn entry<'a>(range: &Range<u64>, mapping: &'a Mapping) -> MappingEntry<'a> {
    let shared = match mapping.shared {
        true => vmmload_consumer::PROT_SHARED,
        false => 0,
    };
    let class = mapping.class();
    MappingEntry {
        start: range.start,
        end: range.end,
        offset: mapping.offset_at(range.start),
        prot: mapping.prot.bits() | shared,
        name: match class {
            // Readers make it from the thread: each would be a new one in the segment.
            MappingClass::ThreadStack if mapping.region.is_none() => "",
            _ => mapping.name(),
        },
        id: mapping.identity.id,
        class,
        thread: mapping.thread(),
        born: mapping.identity.born,
        retired: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::mappings::{Identity, Label, Prot};

    #[test]
    fn totals_of_many_mappings_that_are_gone_take_little_room_and_lose_nothing() {
        let mut census = Census::new(1);
        for id in 1..=20_000 {
            let mapping = Mapping {
                identity: Identity { id, born: 1 },
                ..Mapping::anonymous(Prot::from_bits(3))
            };
            census.name(&mapping);
            census.add(id, 0x1000, Kind::Write, 0, [None; 3]);
            census.retire(0x1000..0x2000, &mapping, 1);
            census.add_up(&Mappings::default());
        }
        census.add(0, 0x1000, Kind::Kernel, 5, [None; 3]);
        assert!(census.rows.len() <= NOT_ADDED_UP + 1);
        assert_eq!(census.gone().count(), REMEMBERED);
        let rows = census.by_name();
        assert_eq!((&*rows[0].name, rows[0].events), ("", [20_000, 0, 0]));
        assert_eq!((&*rows[1].name, rows[1].bytes), (UNKNOWN, 5));
    }

    #[test]
    fn events_before_a_mapping_got_its_name_are_told_under_it() {
        let mut census = Census::new(1);
        let mut mapping = Mapping::anonymous(Prot::from_bits(3));
        mapping.identity = Identity { id: 7, born: 1 };
        census.name(&mapping);
        census.add(7, 0x1000, Kind::Write, 0, [None; 3]);
        mapping.label = Some(Label {
            thread: 0,
            name: "[anon:x]".into(),
        });
        census.name(&mapping);
        census.add(7, 0x2000, Kind::Kernel, 10, [None; 3]);
        let row = Row {
            name: "[anon:x]".to_owned(),
            pages: 2,
            events: [1, 0, 1],
            bytes: 10,
        };
        assert_eq!(census.by_name(), [row]);
    }
}
