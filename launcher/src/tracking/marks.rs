//! How often the program has made marks of which name: the ring keeps the last ones only.

use std::collections::HashMap;
use std::time::Duration;

/// Most names that are told apart: a program may make up a new one each time.
const NAMES: usize = 1024;

/// The marks of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MarkRow {
    /// What the program called them.
    pub name: String,
    /// How many there were.
    pub count: u64,
    /// When the first one was, since the program's start.
    pub first: Duration,
    /// When the last one was.
    pub last: Duration,
}

/// All marks, by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct MarkTotals {
    /// In the order in which the names came first.
    pub rows: Vec<MarkRow>,
    /// Marks of further names.
    pub others: u64,
}

/// One name's marks, and the moments of the first and the last one.
#[derive(Debug, Clone, Copy)]
struct Tally {
    count: u64,
    first_ns: u64,
    last_ns: u64,
}

/// Counts marks.
#[derive(Debug, Default)]
pub(super) struct MarkCensus {
    names: HashMap<Box<str>, Tally>,
    others: u64,
}

impl MarkCensus {
    /// Counts a mark. Allocates for a new name only.
    pub(super) fn add(&mut self, name: &str, time_ns: u64) {
        if let Some(tally) = self.names.get_mut(name) {
            tally.count += 1;
            tally.last_ns = time_ns;
        } else if self.names.len() < NAMES {
            let tally = Tally {
                count: 1,
                first_ns: time_ns,
                last_ns: time_ns,
            };
            self.names.insert(name.into(), tally);
        } else {
            self.others += 1;
        }
    }

    /// What was counted, with times since `started_ns`.
    pub(super) fn totals(&self, started_ns: u64) -> MarkTotals {
        let since = |time_ns: u64| Duration::from_nanos(time_ns.saturating_sub(started_ns));
        let rows = self.names.iter().map(|(name, tally)| MarkRow {
            name: name.to_string(),
            count: tally.count,
            first: since(tally.first_ns),
            last: since(tally.last_ns),
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| a.first.cmp(&b.first).then_with(|| a.name.cmp(&b.name)));
        MarkTotals {
            rows,
            others: self.others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_by_name_and_those_of_too_many_names_together() {
        let mut census = MarkCensus::default();
        for round in 0..3 {
            for name in 0..2 * NAMES as u64 {
                census.add(&format!("request {name}"), 1000 + round * 10_000 + name);
            }
        }
        let totals = census.totals(1000);
        assert_eq!(
            (totals.rows.len(), totals.others),
            (NAMES, 3 * NAMES as u64)
        );
        let second = MarkRow {
            name: "request 1".to_owned(),
            count: 3,
            first: Duration::from_nanos(1),
            last: Duration::from_nanos(20_001),
        };
        assert_eq!(totals.rows[1], second);
    }
}
