//! Every interleaving, and every reordering that the memory model allows, of tiny rings and tables.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p vmmload-consumer --release loom`

use crate::mappings::{self, MapMemory, MapWriter, MappingEntry};
use crate::ring::{Found, RingMemory, RingReader, RingWriter};
use crate::sync::AtomicU64;
use crate::wire::MAP_WORDS;
use loom::sync::Arc;
use loom::thread;

const CAPACITY: usize = 2;
const WRITES: u64 = 3;

fn zeroes(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// Words of a record behind its sequence: enough for a torn one to show.
const RECORD_WORDS: usize = 2;

/// A record whose words all follow from its number.
fn record(number: u64) -> [u64; RECORD_WORDS] {
    [number + 1; RECORD_WORDS]
}

struct Ring {
    head: AtomicU64,
    backed: AtomicU64,
    slots: Vec<AtomicU64>,
}

impl Ring {
    fn new() -> Self {
        let [head, backed] = [AtomicU64::new(0), AtomicU64::new(0)];
        Self {
            head,
            backed,
            slots: zeroes(CAPACITY * (RECORD_WORDS + 1)),
        }
    }

    fn memory(&self) -> RingMemory<'_, RECORD_WORDS> {
        RingMemory {
            head: &self.head,
            backed: &self.backed,
            slots: &self.slots,
            capacity: CAPACITY,
        }
    }
}

/// Reads once; returns how many records that accounts for.
fn read_one(reader: &mut RingReader, ring: &Ring) -> u64 {
    let position = reader.position();
    match reader.next(ring.memory(), |_| true) {
        None => 0,
        Some(Found::Record(found)) => {
            assert_eq!(found, record(position), "torn or misplaced record");
            1
        }
        Some(Found::Lost(lost)) => lost,
    }
}

#[test]
fn loom_a_reader_never_sees_a_torn_record_and_accounts_for_every_one() {
    loom::model(|| {
        let ring = Arc::new(Ring::new());
        let mut reader = RingReader::oldest(ring.memory());
        let writer = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                let mut writer = RingWriter::new(CAPACITY);
                for number in 0..WRITES {
                    writer.publish(ring.memory(), record(number), |_| true);
                }
            }
        });
        let mut accounted = 0;
        for _ in 0..2 {
            accounted += read_one(&mut reader, &ring);
        }
        writer.join().unwrap();
        // The writer is done: each look now delivers or accounts for something.
        while accounted < WRITES {
            let progress = read_one(&mut reader, &ring);
            assert!(progress > 0, "stuck after {accounted} records");
            accounted += progress;
        }
        assert_eq!(accounted, WRITES);
    });
}

struct Table {
    version: AtomicU64,
    states: [AtomicU64; 2],
    tables: [Vec<AtomicU64>; 2],
    strings: [AtomicU64; 2],
}

impl Table {
    fn new() -> Self {
        let atomic = || AtomicU64::new(0);
        Self {
            version: atomic(),
            states: [atomic(), atomic()],
            tables: [zeroes(MAP_WORDS), zeroes(MAP_WORDS)],
            strings: [atomic(), atomic()],
        }
    }

    fn memory(&self) -> MapMemory<'_> {
        MapMemory {
            version: &self.version,
            states: [&self.states[0], &self.states[1]],
            tables: [&self.tables[0], &self.tables[1]],
            strings_used: &self.strings[0],
            names_dropped: &self.strings[1],
            strings: &[],
        }
    }
}

#[test]
fn loom_a_copied_mapping_table_is_of_one_version() {
    loom::model(|| {
        let table = Arc::new(Table::new());
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let mut writer = MapWriter::new();
                for version in 1..=3 {
                    let entry = MappingEntry {
                        start: version,
                        end: version,
                        offset: version,
                        ..MappingEntry::default()
                    };
                    writer.publish(table.memory(), [entry].into_iter(), |_| true);
                }
            }
        });
        if let Some(copy) = mappings::read(table.memory()) {
            assert_eq!(copy.entries.len(), usize::from(copy.version > 0));
            for entry in copy.entries {
                let expected = [copy.version; 3];
                let found = [entry.start, entry.end, entry.offset];
                assert_eq!(found, expected, "mixed versions");
            }
        }
        writer.join().unwrap();
    });
}
