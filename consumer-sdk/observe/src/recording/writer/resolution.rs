//! `--resolution`: many records become one row, and nothing of their counts is lost.

use crate::typed::Resolution;
use std::collections::HashMap;
use vmmload_consumer::{Event, Kind, Method, PAGE_SIZE};

/// One row of the table of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// First address.
    pub(crate) addr: u64,
    /// Start of the first epoch, `CLOCK_MONOTONIC` nanoseconds.
    pub(crate) time_ns: u64,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    /// The first one.
    pub(crate) epoch: u32,
    pub(crate) mapping: u32,
    /// Distinct ones.
    pub(crate) pages: u32,
    pub(crate) kind: Kind,
    pub(crate) method: Method,
}

impl From<Event> for Row {
    fn from(event: Event) -> Self {
        let Event {
            addr,
            time_ns,
            epoch,
            count,
            mapping,
            bytes,
            kind,
            method,
        } = event;
        Self {
            addr,
            time_ns,
            count: count.into(),
            bytes: bytes.into(),
            epoch,
            mapping,
            pages: 1,
            kind,
            method,
        }
    }
}

/// Most pages of one row: 2 MiB.
const MOST_PAGES: usize = (2 << 20) / PAGE_SIZE;

/// What is the same for all records of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    block: u64,
    mapping: u32,
    kind: Kind,
    method: Method,
}

/// A row that grows.
#[derive(Debug)]
struct Growing {
    row: Row,
    /// Which of its pages were there.
    pages: Pages,
}

/// A set of the pages of one block.
#[derive(Debug)]
enum Pages {
    /// Of 64 at most.
    Few(u64),
    Many(Box<[u64; MOST_PAGES / 64]>),
}

impl Pages {
    fn new(pages: usize) -> Self {
        match pages {
            0..=64 => Self::Few(0),
            _ => Self::Many(Box::default()),
        }
    }

    /// Whether it was not there yet.
    fn insert(&mut self, page: usize) -> bool {
        let (word, bit) = match self {
            Self::Few(word) => (word, page),
            Self::Many(words) => (&mut words[page / 64], page % 64),
        };
        let is_new = *word & 1 << bit == 0;
        *word |= 1 << bit;
        is_new
    }
}

/// The rows of one process that are not complete yet: all of one stretch of time.
#[derive(Debug)]
pub(crate) struct Aggregate {
    resolution: Resolution,
    /// Number of the stretch.
    stretch: u64,
    growing: HashMap<Place, Growing>,
    /// Most rows that may grow at once; when there would be more, all of them are complete, and a place may have another
    /// in the same stretch.
    most: usize,
}

impl Aggregate {
    /// Of nothing yet, with no more than `most` rows at once.
    pub(crate) fn new(resolution: Resolution, most: usize) -> Self {
        Self {
            resolution,
            stretch: 0,
            growing: HashMap::new(),
            most,
        }
    }

    /// Adds one record; `done` has the rows that are complete with it.
    pub(crate) fn add(&mut self, event: Event, done: &mut Vec<Row>) {
        let stretch = event.time_ns / self.stretch_ns();
        if stretch != self.stretch || self.growing.len() >= self.most {
            self.finish(done);
            self.stretch = stretch;
        }
        let block = event.addr & !(self.resolution.bytes - 1);
        let place = Place {
            block,
            mapping: event.mapping,
            kind: event.kind,
            method: event.method,
        };
        let grown = self.growing.entry(place).or_insert_with(|| Growing {
            row: Row {
                addr: block,
                count: 0,
                bytes: 0,
                pages: 0,
                ..event.into()
            },
            pages: Pages::new(self.resolution.bytes as usize / PAGE_SIZE),
        });
        let page = (event.addr - block) as usize / PAGE_SIZE;
        grown.row.count = grown.row.count.saturating_add(event.count.into());
        grown.row.bytes = grown.row.bytes.saturating_add(event.bytes.into());
        grown.row.pages += u32::from(grown.pages.insert(page));
    }

    /// All rows are complete.
    pub(crate) fn finish(&mut self, done: &mut Vec<Row>) {
        let from = done.len();
        // The memory of the table goes, too.
        let grown = std::mem::take(&mut self.growing);
        done.extend(grown.into_values().map(|grown| grown.row));
        // The order of a hash table compresses badly.
        done[from..].sort_unstable_by_key(|row| (row.kind, row.addr, row.mapping));
    }

    /// How many rows grow.
    pub(crate) fn rows(&self) -> usize {
        self.growing.len()
    }

    /// Memory that they take, about.
    pub(crate) fn bytes(&self) -> usize {
        let pages = match Pages::new(self.resolution.bytes as usize / PAGE_SIZE) {
            Pages::Few(_) => 0,
            Pages::Many(words) => size_of_val(&*words),
        };
        // A hash table is between half and fully used.
        self.growing.capacity() * size_of::<(Place, Growing)>() + self.rows() * pages
    }

    /// Up to when all rows are complete, `CLOCK_MONOTONIC` nanoseconds; `None`: all of them are.
    pub(crate) fn complete_until(&self) -> Option<u64> {
        let start = || self.stretch.saturating_mul(self.stretch_ns());
        (!self.growing.is_empty()).then(start)
    }

    fn stretch_ns(&self) -> u64 {
        let time = u64::try_from(self.resolution.time.as_nanos()).unwrap_or(u64::MAX);
        time.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: u64 = 1_000_000_000;

    fn event(addr: u64, time_ns: u64, epoch: u32) -> Event {
        Event {
            addr,
            time_ns,
            epoch,
            count: 1,
            mapping: 3,
            ..Event::default()
        }
    }

    fn rows(bytes: u64, most: usize, events: &[Event]) -> Vec<Row> {
        let time = Duration::from_secs(1);
        let mut aggregate = Aggregate::new(Resolution { time, bytes }, most);
        let mut done = Vec::new();
        for &event in events {
            aggregate.add(event, &mut done);
        }
        aggregate.finish(&mut done);
        assert_eq!((aggregate.rows(), aggregate.bytes()), (0, 0));
        done
    }

    #[test]
    fn records_of_one_page_and_stretch_are_one_row() {
        let events = [
            event(0x5000, SECOND, 4),
            event(0x6000, SECOND, 4),
            event(0x5000, SECOND + 1, 5),
            event(0x5000, 2 * SECOND, 6),
        ];
        let rows = rows(4096, 100, &events);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row.addr, row.epoch, row.count, row.pages))
            .collect();
        assert_eq!(
            shown,
            [(0x5000, 4, 2, 1), (0x6000, 4, 1, 1), (0x5000, 6, 1, 1)]
        );
        assert_eq!(rows[0].time_ns, SECOND);
    }

    #[test]
    fn neighbours_are_one_row_that_tells_how_many_pages_it_has() {
        for block in [64 << 10, 2 << 20] {
            let last = block - 4096;
            let events = [
                event(block, 0, 1),
                event(block + 4096, 0, 1),
                event(block + last, 0, 1),
                event(block + last, 1, 2),
                event(block * 2, 1, 2),
            ];
            let rows = rows(block, 100, &events);
            let shown: Vec<_> = rows
                .iter()
                .map(|row| (row.addr, row.count, row.pages))
                .collect();
            assert_eq!(shown, [(block, 4, 3), (block * 2, 1, 1)]);
        }
    }

    #[test]
    fn what_differs_in_kind_method_or_mapping_stays_apart() {
        let base = event(0x5000, 0, 1);
        let read = Event {
            kind: Kind::Read,
            method: Method::AccessedBit,
            ..base
        };
        let elsewhere = Event { mapping: 4, ..base };
        let kernel = Event {
            kind: Kind::Kernel,
            method: Method::Relay,
            bytes: 7,
            ..base
        };
        let rows = rows(4096, 100, &[base, read, elsewhere, kernel, kernel]);
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[3].bytes, 14);
        assert_eq!(rows[3].count, 2);
    }

    #[test]
    fn memory_is_bounded_and_everything_still_adds_up() {
        let events: Vec<Event> = (0..1000).map(|i| event(i % 100 * 4096, 0, 1)).collect();
        let time = Duration::from_secs(1);
        let resolution = Resolution { time, bytes: 4096 };
        let mut aggregate = Aggregate::new(resolution, 10);
        let mut done = Vec::new();
        for &event in &events {
            aggregate.add(event, &mut done);
            assert!(aggregate.rows() <= 10);
        }
        aggregate.finish(&mut done);
        assert_eq!(done.iter().map(|row| row.count).sum::<u64>(), 1000);
        assert!(done.len() > 100);
    }
}
