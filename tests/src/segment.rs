//! A process's segment as a test sees it: how many events each page of a range has.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use vmmload_consumer::{Consumer, Event, Item, Kind, Status};

use crate::machine;
use crate::watched::PAGE;

/// Epochs after which all that a waiting guest did was harvested and armed again: the first may have begun
/// before.
const EPOCHS_TO_SETTLE: u32 = 3;

/// Pages that one instruction of these guests can load from.
const PAGES_UNDER_WAY: usize = 2;

/// The segment of one process. Good beyond the end of the process.
#[derive(Debug)]
pub struct Segment(Consumer);

impl Segment {
    /// Attaches to the segment of a running process.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    #[track_caller]
    pub fn attach(pid: libc::pid_t) -> Self {
        let pid = u32::try_from(pid).expect("a pid is positive");
        Self(Consumer::attach(pid).unwrap_or_else(|cause| panic!("{cause}")))
    }

    /// Everything else that the segment tells.
    #[must_use]
    pub fn consumer(&self) -> &Consumer {
        &self.0
    }

    /// Events of one kind since the start, for each page that has any, numbered from the start of `range`.
    #[must_use]
    pub fn counts(&self, kind: Kind, range: &Range<u64>) -> BTreeMap<u64, u64> {
        let cells = self.0.heat();
        cells
            .filter(|heat| heat.kind == kind && range.contains(&heat.addr))
            .map(|heat| ((heat.addr - range.start) / PAGE, heat.count))
            .collect()
    }

    /// The records of one kind and range that are still in the ring, oldest first.
    ///
    /// # Panics
    /// When records were lost.
    #[must_use]
    #[track_caller]
    pub fn events(&mut self, kind: Kind, range: &Range<u64>) -> Vec<Event> {
        self.0.rewind();
        let mut events = Vec::new();
        while let Some(item) = self.0.next() {
            match item {
                Item::Event(event) if event.kind == kind && range.contains(&event.addr) => {
                    events.push(event);
                }
                Item::Event(_) => {}
                Item::Lost(records) => panic!("{records} records are lost"),
            }
        }
        events
    }

    /// Like [`Segment::counts`], of loads that settled apart: events of two successive epochs are
    /// one load, which was under way when the first of them ended (or of three, where the thread did not run
    /// meanwhile). That can be so for no more pages than one
    /// instruction of the one thread touches.
    ///
    /// # Panics
    /// When more pages have events in two successive epochs.
    #[must_use]
    #[track_caller]
    pub fn loads(&mut self, range: &Range<u64>) -> BTreeMap<u64, u64> {
        let mut epochs: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for event in self.events(Kind::Read, range) {
            let page = (event.addr - range.start) / PAGE;
            epochs.entry(page).or_default().push(event.epoch);
        }
        let mut twice: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let mut loads = BTreeMap::new();
        for (page, epochs) in epochs {
            let again = epochs
                .windows(2)
                .filter(|pair| pair[1] < pair[0] + EPOCHS_TO_SETTLE);
            let again: Vec<u32> = again.map(|pair| pair[1]).collect();
            loads.insert(page, (epochs.len() - again.len()) as u64);
            for epoch in again {
                twice.entry(epoch).or_default().push(page);
            }
        }
        let most = |pages: &Vec<u64>| pages.len() <= PAGES_UNDER_WAY;
        assert!(twice.values().all(most), "loads counted twice: {twice:?}");
        loads
    }

    /// Waits until all that the guest, which waits, has done is counted and armed again.
    ///
    /// # Panics
    /// When epochs do not go on.
    #[track_caller]
    pub fn settle(&self) {
        let goal = self.0.info().epoch + EPOCHS_TO_SETTLE;
        let limit = machine::patience(Duration::from_secs(20));
        self.wait_until("new epochs", limit, || self.0.info().epoch >= goal);
    }

    /// Waits until the process has ended and everything is published; tells how.
    ///
    /// # Panics
    /// When it goes on.
    #[track_caller]
    pub fn ended(&self) -> Status {
        let limit = machine::patience(Duration::from_secs(20));
        self.wait_until("an end", limit, || self.0.status() != Status::Running);
        self.0.status()
    }

    #[track_caller]
    fn wait_until(&self, what: &str, limit: Duration, done: impl Fn() -> bool) {
        let deadline = Instant::now() + limit;
        while !done() {
            assert!(
                Instant::now() < deadline,
                "no {what} of process {} in {limit:?}: {:?}",
                self.0.pid(),
                self.0.info()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Pages that have `events` each.
#[must_use]
pub fn each(pages: impl IntoIterator<Item = u64>, events: u64) -> BTreeMap<u64, u64> {
    pages.into_iter().map(|page| (page, events)).collect()
}

/// Fails unless both are the same, and names what differs.
///
/// # Panics
/// When pages are missing or invented, or counts differ.
#[track_caller]
pub fn assert_counts(what: &str, found: &BTreeMap<u64, u64>, expected: &BTreeMap<u64, u64>) {
    let pages = found.keys().chain(expected.keys());
    let mut differences: Vec<String> = pages
        .filter(|page| found.get(page) != expected.get(page))
        .map(|page| {
            let count = |of: &BTreeMap<u64, u64>| of.get(page).copied().unwrap_or(0);
            format!("{page}: {} not {}", count(found), count(expected))
        })
        .collect();
    differences.dedup();
    assert!(
        differences.is_empty(),
        "{what}: {} pages expected, {} found; events of {} pages differ: {}",
        expected.len(),
        found.len(),
        differences.len(),
        differences[..differences.len().min(10)].join(", ")
    );
}

#[cfg(test)]
mod tests {
    use super::{assert_counts, each};

    #[test]
    fn same_counts_are_no_difference() {
        assert_counts("events", &each([1, 5], 2), &each([5, 1], 2));
    }

    #[test]
    #[should_panic(expected = "events of 2 pages differ: 1: 2 not 1, 9: 0 not 1")]
    fn wrong_and_missing_counts_are_named() {
        assert_counts("events", &each([1, 5], 2), &[(1, 1), (5, 2), (9, 1)].into());
    }
}
