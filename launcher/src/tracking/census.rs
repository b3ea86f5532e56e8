//! Events by mapping, and the mappings that are gone: what addresses alone cannot tell once they were used
//! again.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use vmmload_consumer::{HeatIndex, Kind, MappingEntry};

use crate::guest::layout::PAGE;
use crate::process::mappings::Mapping;

/// Most mappings that are remembered after they are gone.
const REMEMBERED: usize = 1024;
/// Mappings up to which each has totals of its own; beyond, those of equal name share them.
const TOLD_APART: usize = 65_536;

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
    rows: Vec<Row>,
    /// Which row belongs to an identity; row 0 is nobody's.
    row_of: HashMap<u32, usize>,
    last: (u32, usize),
    /// Indexed by the counter page of region and kind. Untouched until used.
    owners: Vec<Owners>,
    gone: VecDeque<Gone>,
}

impl Census {
    /// Room for `regions` counter pages.
    pub(super) fn new(regions: usize) -> Self {
        Self {
            rows: vec![Row::default()],
            row_of: HashMap::new(),
            last: (0, 0),
            owners: vec![[0; 512]; regions],
            gone: VecDeque::new(),
        }
    }

    /// Makes a row for a mapping that is about to have an event. It may have got its name since the last one.
    pub(super) fn name(&mut self, mapping: &Mapping) {
        let id = mapping.identity.id;
        let name = mapping.name();
        if let Some(&row) = self.row_of.get(&id) {
            if self.rows.len() < TOLD_APART && self.rows[row].name != name {
                name.clone_into(&mut self.rows[row].name);
            }
            return;
        }
        let shared = match self.rows.len() {
            0..TOLD_APART => None,
            _ => self.rows.iter().position(|row| row.name == name),
        };
        let row = shared.unwrap_or_else(|| {
            self.rows.push(Row {
                name: name.to_owned(),
                ..Row::default()
            });
            self.rows.len() - 1
        });
        self.row_of.insert(id, row);
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
        if self.last.0 != id {
            self.last = (id, self.row_of.get(&id).copied().unwrap_or(0));
        }
        let row = &mut self.rows[self.last.1];
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
        if !self.row_of.contains_key(&mapping.identity.id) {
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

    /// The totals by name, most events first.
    pub(super) fn by_name(&self) -> Vec<Row> {
        let mut by_name: HashMap<&str, Row> = HashMap::new();
        let used = |row: &&Row| row.events != [0; 3];
        for row in self.rows.iter().filter(used) {
            let sum = by_name.entry(&row.name).or_default();
            sum.pages += row.pages;
            sum.bytes += row.bytes;
            for (sum, events) in sum.events.iter_mut().zip(row.events) {
                *sum += events;
            }
        }
        let named = |(name, row): (&str, Row)| Row {
            name: name.to_owned(),
            ..row
        };
        let mut rows: Vec<Row> = by_name.into_iter().map(named).collect();
        let events = |row: &Row| row.events.iter().sum::<u64>();
        rows.sort_by(|a, b| events(b).cmp(&events(a)).then_with(|| a.name.cmp(&b.name)));
        rows
    }
}

/// A mapping as it is published.
pub(super) fn entry<'a>(range: &Range<u64>, mapping: &'a Mapping) -> MappingEntry<'a> {
    let shared = match mapping.shared {
        true => vmmload_consumer::PROT_SHARED,
        false => 0,
    };
    MappingEntry {
        start: range.start,
        end: range.end,
        offset: mapping.offset_at(range.start),
        prot: mapping.prot.bits() | shared,
        name: mapping.name(),
        id: mapping.identity.id,
        class: mapping.class(),
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
    fn events_before_a_mapping_got_its_name_are_told_under_it() {
        let mut census = Census::new(0);
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
