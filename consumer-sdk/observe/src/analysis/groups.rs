//! Mappings in groups: the parts of one file, or what has one name, are one; other memory is one for each mapping.

use crate::failure::Failure;
use crate::recording::rows::{Batch, Rows};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, HashMap};

/// A group of mappings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupId(pub(super) u32);

/// Events whose mapping is not known.
pub(super) const UNKNOWN: GroupId = GroupId(0);

/// What is known of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// See [`MappingRow::name`](super::model::MappingRow::name).
    pub(super) name: String,
    pub(super) class: String,
    /// Bytes mapped now, in the course of reading, and the most at once.
    bytes: u64,
    pub(super) most_bytes: u64,
}

/// All groups of a process.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Vec<Group>,
    of_mapping: FxHashMap<u32, GroupId>,
    /// The mapping asked for last: the next event is likely to be in it, too.
    recent: (u32, GroupId),
}

/// What is mapped at a time, while the table is read.
#[derive(Debug, Default)]
struct AddressSpace {
    /// First address, first address behind it, mapping.
    pieces: BTreeMap<u64, (u64, u32)>,
}

/// A row of the table.
struct Row<'a> {
    mapping: u32,
    start: u64,
    end: u64,
    name: &'a str,
    class: &'a str,
    is_gone: bool,
}

impl Groups {
    /// Reads the table of mappings.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    pub(super) fn read(rows: &Rows) -> Result<Self, Failure> {
        const COLUMNS: [&str; 6] = ["mapping", "start", "end", "name", "class", "retired"];
        let unknown = Group {
            name: "(unknown)".into(),
            ..Group::default()
        };
        let mut reading = Reading {
            space: AddressSpace::default(),
            named: HashMap::new(),
            groups: Self {
                groups: vec![unknown],
                of_mapping: FxHashMap::default(),
                recent: (0, UNKNOWN),
            },
        };
        rows.visit(&COLUMNS, |batch| reading.add_batch(batch))?;
        Ok(reading.groups)
    }

    /// The group of a mapping.
    pub(super) fn of_mapping(&mut self, mapping: u32) -> GroupId {
        if self.recent.0 != mapping {
            let group = self.of_mapping.get(&mapping);
            self.recent = (mapping, group.copied().unwrap_or(UNKNOWN));
        }
        self.recent.1
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        (0..).map(GroupId).zip(&self.groups)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.groups.len()
    }

    /// What a group is called.
    pub(super) fn name(&self, group: GroupId) -> &str {
        &self.groups[group.0 as usize].name
    }
}

/// The table, being read.
struct Reading {
    space: AddressSpace,
    /// Groups by class and name.
    named: HashMap<(String, String), GroupId>,
    groups: Groups,
}

impl Reading {
    fn add_batch(&mut self, batch: &Batch) -> Result<(), Failure> {
        let (mappings, retired) = (batch.u32("mapping")?, batch.u32("retired")?);
        let (starts, ends) = (batch.i64("start")?, batch.i64("end")?);
        let names = batch.text("name")?;
        let (keys, classes) = batch.words("class")?;
        for row in 0..batch.len() {
            self.add(&Row {
                mapping: mappings[row],
                start: starts[row] as u64,
                end: ends[row] as u64,
                name: names.value(row),
                class: classes.value(keys[row] as usize),
                is_gone: retired[row] > 0,
            });
        }
        Ok(())
    }

    fn add(&mut self, row: &Row<'_>) {
        // Memory that gets a name later keeps its identity: the name is what it was all the time.
        let known = self.groups.of_mapping.get(&row.mapping).copied();
        let group = match known {
            Some(group) if row.name.is_empty() => group,
            _ => self.group(row),
        };
        self.groups.of_mapping.insert(row.mapping, group);
        self.take(row);
        if !row.is_gone && row.start < row.end {
            let piece = (row.end, row.mapping);
            self.space.pieces.insert(row.start, piece);
            let entry = &mut self.groups.groups[group.0 as usize];
            entry.bytes += row.end - row.start;
            entry.most_bytes = entry.most_bytes.max(entry.bytes);
        }
    }

    /// Takes away what was where a row says that there is something else now, or nothing any more.
    fn take(&mut self, row: &Row<'_>) {
        for (start, end, mapping) in self.space.overlapping(row.start, row.end) {
            // What another mapping has beside it stays. Of the same one, this row says how it is.
            let is_other = mapping != row.mapping;
            if row.is_gone && is_other {
                continue;
            }
            self.space.pieces.remove(&start);
            let mut left = 0;
            if is_other && start < row.start {
                self.space.pieces.insert(start, (row.start, mapping));
                left += row.start - start;
            }
            if is_other && row.end < end {
                self.space.pieces.insert(row.end, (end, mapping));
                left += end - row.end;
            }
            let group = self.groups.of_mapping[&mapping];
            let entry = &mut self.groups.groups[group.0 as usize];
            entry.bytes = entry.bytes.saturating_sub(end - start - left);
        }
    }

    fn group(&mut self, row: &Row<'_>) -> GroupId {
        let next = GroupId(self.groups.groups.len() as u32);
        let name = match row.name {
            "" => format!("({}) {:#x}", in_words(row.class), row.start),
            name => {
                let key = (row.class.to_owned(), name.to_owned());
                let group = *self.named.entry(key).or_insert(next);
                if group != next {
                    return group;
                }
                name.to_owned()
            }
        };
        self.groups.groups.push(Group {
            name,
            class: row.class.to_owned(),
            ..Group::default()
        });
        next
    }
}

impl AddressSpace {
    fn overlapping(&self, start: u64, end: u64) -> Vec<(u64, u64, u32)> {
        let below = self.pieces.range(..end).rev();
        below
            .map(|(&start, &(end, mapping))| (start, end, mapping))
            .take_while(|&(_, piece_end, _)| piece_end > start)
            .collect()
    }
}

/// What memory without a name is called.
fn in_words(class: &str) -> &str {
    match class {
        "anonymous" => "anonymous memory",
        "shared" => "shared memory",
        "file" => "file without a name",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::reader::ProgramId;
    use crate::recording::sample::{Row, Sample};
    use crate::recording::schema::Table;

    fn groups(rows: impl FnOnce(&mut Sample)) -> Groups {
        let mut sample = Sample::new();
        rows(&mut sample);
        let id = ProgramId { pid: 7, program: 0 };
        Groups::read(&sample.written().rows(Table::Mappings, id).unwrap()).unwrap()
    }

    fn told(groups: &Groups) -> Vec<(&str, u64)> {
        let all = groups.all().skip(1);
        all.map(|(_, group)| (group.name.as_str(), group.most_bytes >> 12))
            .collect()
    }

    fn retired(id: i64, page: i64, pages: i64) -> Row {
        vec![
            ("mapping", id.into()),
            ("start", (page << 12).into()),
            ("end", ((page + pages) << 12).into()),
            ("class", "anonymous".into()),
            ("retired", 3.into()),
        ]
    }

    #[test]
    fn parts_of_a_file_are_one_and_anonymous_mappings_are_not() {
        let mut groups = groups(|sample| {
            sample.mapping(7, 1, 0x10, 4, "/lib/libc.so");
            sample.mapping(7, 2, 0x14, 2, "/lib/libc.so");
            sample.mapping(7, 3, 0x20, 1, "");
            sample.mapping(7, 4, 0x30, 1, "");
        });
        assert_eq!(
            told(&groups),
            [
                ("/lib/libc.so", 6),
                ("(anonymous memory) 0x20000", 1),
                ("(anonymous memory) 0x30000", 1)
            ]
        );
        assert_eq!(groups.of_mapping(1), groups.of_mapping(2));
        assert_ne!(groups.of_mapping(3), groups.of_mapping(4));
        assert_eq!([groups.of_mapping(0), groups.of_mapping(9)], [UNKNOWN; 2]);
    }

    #[test]
    fn what_grows_shrinks_and_goes_counts_with_the_most_it_had_at_once() {
        let groups = groups(|sample| {
            sample.mapping(7, 1, 0x100, 10, "[heap]");
            sample.mapping(7, 1, 0x100, 30, "[heap]");
            sample.mapping(7, 1, 0x100, 5, "[heap]");
            sample.mapping(7, 2, 0x200, 8, "");
            sample.row(Table::Mappings, 7, 0, retired(2, 0x200, 8));
            sample.mapping(7, 3, 0x200, 8, "name");
            sample.mapping(7, 4, 0x202, 2, "name");
            sample.mapping(7, 5, 0x300, 2, "name");
        });
        assert_eq!(
            told(&groups),
            [
                ("[heap]", 30),
                ("(anonymous memory) 0x200000", 8),
                ("name", 10)
            ]
        );
    }

    #[test]
    fn memory_that_is_named_later_has_that_name_all_the_time() {
        let mut groups = groups(|sample| {
            sample.mapping(7, 1, 0x100, 10, "");
            sample.mapping(7, 1, 0x100, 10, "[anon:arena]");
        });
        let group = groups.of_mapping(1);
        assert_eq!(groups.name(group), "[anon:arena]");
    }
}
