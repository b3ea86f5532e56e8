//! The rows of tables: of which mappings, in which order, which of them at all.

use super::sample::{Key, ProcessSample, Rates, Sample};
use crate::top::model::footprint::Footprint;
use crate::typed::SortKey;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;
use vmmload_consumer::{Kind, Mapping, MappingClass, PROT_EXEC, PROT_READ, PROT_WRITE};

/// How a table is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) key: SortKey,
    /// Against the order that comes first: the most events, but the smallest pid and the first name.
    pub(crate) is_reversed: bool,
}

impl Sort {
    /// Every column, in the order in which they are gone through.
    const ALL: [SortKey; 6] = [
        SortKey::Events,
        SortKey::Pages,
        SortKey::Writes,
        SortKey::Lost,
        SortKey::Pid,
        SortKey::Name,
    ];

    /// The next column. Mappings lose no records.
    pub(crate) fn next(self, of_mappings: bool) -> Self {
        let at = Self::ALL.iter().position(|key| *key == self.key);
        let mut at = at.map_or(0, |at| at + 1);
        if of_mappings && Self::ALL.get(at) == Some(&SortKey::Lost) {
            at += 1;
        }
        Self {
            key: Self::ALL[at % Self::ALL.len()],
            is_reversed: false,
        }
    }

    /// Whether the largest comes first.
    pub(crate) fn is_descending(self) -> bool {
        !matches!(self.key, SortKey::Pid | SortKey::Name) ^ self.is_reversed
    }

    fn order(self, rows: Ordering) -> Ordering {
        if self.is_descending() {
            rows.reverse()
        } else {
            rows
        }
    }
}

/// The processes that a table shows, in its order.
pub(crate) fn processes(sample: &Sample, sort: Sort, filter: &str) -> Vec<Rc<ProcessSample>> {
    let filter = Filter::new(filter);
    let all = sample.processes.iter();
    let mut rows: Vec<Rc<ProcessSample>> = all
        .filter(|process| filter.fits(&process.command))
        .cloned()
        .collect();
    rows.sort_by(|a, b| {
        let by = match sort.key {
            SortKey::Events => number(a.events()).total_cmp(&number(b.events())),
            SortKey::Pages => a.pages().cmp(&b.pages()),
            SortKey::Writes => share_of_writes(a.rates).total_cmp(&share_of_writes(b.rates)),
            SortKey::Lost => a.lost.cmp(&b.lost),
            SortKey::Pid => a.key.cmp(&b.key),
            SortKey::Name => a.command.cmp(&b.command),
        };
        sort.order(by).then(a.key.cmp(&b.key))
    });
    rows
}

/// All that has one id: a mapping that was cut is still one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MappingRow {
    /// 0: where no mapping is known to have been.
    pub(crate) id: u32,
    /// First address, and first one behind it; 0 where that is not known.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Bytes in all its parts.
    pub(crate) mapped: u64,
    /// As in /proc/PID/maps; empty where not known.
    pub(crate) permissions: String,
    /// As the program has it, control characters included: the view replaces those.
    pub(crate) name: String,
    /// It is not there any more.
    pub(crate) is_retired: bool,
    /// `None` where the process's are not known.
    pub(crate) rates: Option<Rates>,
    /// Pages in the last epoch that has ended, if known.
    pub(crate) pages: Option<u32>,
    /// There may be more of those.
    pub(crate) has_more_pages: bool,
    /// Pages touched since the start, at its addresses; `None` where nobody has looked, or it is not there any more.
    pub(crate) touched: Option<u64>,
}

impl MappingRow {
    /// Events of all kinds in a second.
    pub(crate) fn events(&self) -> Option<f64> {
        self.rates.map(|rates| rates.iter().sum())
    }
}

/// The mappings that a table shows, in its order: those that are there, and those that went and are in the history.
pub(crate) fn mappings(
    process: &ProcessSample,
    footprint: Option<&Footprint>,
    sort: Sort,
    filter: &str,
) -> Vec<MappingRow> {
    let filter = Filter::new(filter);
    let mut rows: Vec<MappingRow> = all_mappings(process, footprint);
    rows.retain(|row| filter.fits(&row.name));
    rows.sort_by(|a, b| {
        let by = match sort.key {
            SortKey::Events | SortKey::Lost => number(a.events()).total_cmp(&number(b.events())),
            SortKey::Pages => a.pages.cmp(&b.pages),
            SortKey::Writes => share_of_writes(a.rates).total_cmp(&share_of_writes(b.rates)),
            SortKey::Pid => a.start.cmp(&b.start),
            SortKey::Name => a.name.cmp(&b.name),
        };
        sort.order(by).then((a.start, a.id).cmp(&(b.start, b.id)))
    });
    rows
}

fn all_mappings(process: &ProcessSample, footprint: Option<&Footprint>) -> Vec<MappingRow> {
    let mut parts: HashMap<u32, Vec<&Mapping>> = HashMap::new();
    for mapping in &process.mappings.entries {
        parts.entry(mapping.id).or_default().push(mapping);
    }
    let parts = parts.into_iter();
    let mut rows: HashMap<u32, MappingRow> = parts
        .map(|(id, parts)| (id, row_of_parts(&parts, footprint)))
        .collect();
    let retired = process.mappings.retired.iter();
    let retired: HashMap<u32, &Mapping> = retired.map(|mapping| (mapping.id, mapping)).collect();
    let columns = process.history.iter();
    let blocks = columns.flat_map(|column| column.blocks.iter().map(|block| block.mapping));
    for id in blocks.chain(process.activity.keys().copied()) {
        rows.entry(id).or_insert_with(|| match retired.get(&id) {
            Some(mapping) => MappingRow {
                is_retired: true,
                mapped: length(mapping),
                ..row_of(mapping)
            },
            None => MappingRow {
                id,
                name: match id {
                    0 => "(no mapping known)".into(),
                    _ => format!("(mapping {id}, forgotten)"),
                },
                is_retired: true,
                ..MappingRow::default()
            },
        });
    }
    for row in rows.values_mut() {
        let rates = process.activity.get(&row.id).copied();
        row.rates = process.rates.map(|_| rates.unwrap_or_default());
        if let Some(set) = &process.working_set {
            row.pages = Some(set.pages.get(&row.id).copied().unwrap_or(0));
            row.has_more_pages = set.is_incomplete;
        }
    }
    rows.into_values().collect()
}

/// What was cut, or changed its rights in places. Parts without any rights, as guard pages are, count only where there
/// are no others.
fn row_of_parts(parts: &[&Mapping], footprint: Option<&Footprint>) -> MappingRow {
    let Some(main) = main_part(parts) else {
        return MappingRow::default();
    };
    let mut row = row_of(main);
    let usable = parts
        .iter()
        .filter(|part| !is_guard(part) || is_guard(main));
    for part in usable {
        (row.start, row.end) = (row.start.min(part.start), row.end.max(part.end));
        row.mapped = row.mapped.saturating_add(length(part));
    }
    row.touched = footprint.map(|footprint| {
        let touched = parts
            .iter()
            .map(|part| footprint.pages_in(&(part.start..part.end)));
        touched.sum()
    });
    row
}

/// The part that tells best what a mapping is: the largest that can be used.
pub(crate) fn main_part<'m>(parts: &[&'m Mapping]) -> Option<&'m Mapping> {
    let by_use = |part: &&&Mapping| (!is_guard(part), !part.name.is_empty(), length(part));
    parts.iter().max_by_key(by_use).copied()
}

/// Nothing can be done with it.
fn is_guard(mapping: &Mapping) -> bool {
    mapping.prot & (PROT_READ | PROT_WRITE | PROT_EXEC) == 0
}

/// Without what depends on its parts and on time.
fn row_of(mapping: &Mapping) -> MappingRow {
    MappingRow {
        id: mapping.id,
        start: mapping.start,
        end: mapping.end,
        permissions: mapping.permissions(),
        name: name_of(mapping),
        ..MappingRow::default()
    }
}

/// What a mapping is called.
pub(crate) fn name_of(mapping: &Mapping) -> String {
    match mapping.class {
        MappingClass::ThreadStack => format!("[stack of thread {}]", mapping.thread),
        class if mapping.name.is_empty() => format!("[{}]", class.name()),
        _ => mapping.name.clone(),
    }
}

fn length(mapping: &Mapping) -> u64 {
    mapping.end.saturating_sub(mapping.start)
}

/// What is not known comes behind everything that is.
fn number(rate: Option<f64>) -> f64 {
    rate.unwrap_or(-1.0)
}

/// Writes among all events, 0 to 1.
fn share_of_writes(rates: Option<Rates>) -> f64 {
    let Some(rates) = rates else { return -1.0 };
    let all: f64 = rates.iter().sum();
    if all > 0.0 {
        rates[Kind::Write as usize] / all
    } else {
        0.0
    }
}

/// What a name must contain, whatever the case of its letters.
struct Filter(String);

impl Filter {
    fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    fn fits(&self, name: &str) -> bool {
        self.0.is_empty() || name.to_lowercase().contains(&self.0)
    }
}

/// Something that a cursor can be on.
pub(crate) trait Row {
    /// What it is known by.
    type Id: Copy + PartialEq;

    /// Which it is.
    fn id(&self) -> Self::Id;
}

impl Row for Rc<ProcessSample> {
    type Id = Key;

    fn id(&self) -> Key {
        self.key
    }
}

impl Row for MappingRow {
    type Id = u32;

    fn id(&self) -> u32 {
        self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: u64, pages: u64, prot: u32, name: &str) -> Mapping {
        Mapping {
            start,
            end: start + pages * 4096,
            prot,
            name: name.into(),
            id: 1,
            ..Mapping::default()
        }
    }

    #[test]
    fn a_mapping_in_parts_is_one_row_without_its_guard_pages() {
        let guard = part(0x1000, 1000, 0, "");
        let small = part(0x100_0000, 1, PROT_READ, "");
        let large = part(0x100_1000, 3, PROT_READ | PROT_WRITE, "[anon:pool]");
        let mut footprint = Footprint::default();
        footprint.add(0x100_2000);
        let row = row_of_parts(&[&guard, &small, &large], Some(&footprint));
        assert_eq!((row.start, row.end), (0x100_0000, 0x100_4000));
        assert_eq!((row.mapped, row.touched), (4 * 4096, Some(1)));
        assert_eq!(
            (row.name.as_str(), row.permissions.as_str()),
            ("[anon:pool]", "rw-p")
        );
        let nothing_else = row_of_parts(&[&guard], None);
        assert_eq!(
            (nothing_else.mapped, nothing_else.touched),
            (1000 * 4096, None)
        );
    }

    #[test]
    fn every_column_is_come_to_and_mappings_have_no_losses() {
        let first = Sort {
            key: SortKey::Events,
            is_reversed: true,
        };
        for (of_mappings, columns) in [(false, 6), (true, 5)] {
            let mut sort = first;
            let mut seen = Vec::new();
            loop {
                sort = sort.next(of_mappings);
                assert!(!sort.is_reversed);
                seen.push(sort.key);
                if sort.key == first.key {
                    break;
                }
            }
            assert_eq!(seen.len(), columns);
            assert_eq!(seen.contains(&SortKey::Lost), !of_mappings);
        }
    }

    #[test]
    fn a_filter_does_not_care_about_case() {
        assert!(Filter::new("REDIS").fits("/usr/bin/redis-server"));
        assert!(Filter::new("").fits("anything"));
        assert!(!Filter::new("x y").fits("xy"));
    }
}
