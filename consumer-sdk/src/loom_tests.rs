//! Every interleaving, and every reordering that the memory model allows, of tiny rings and tables.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p vmmload-consumer --release loom`

use crate::mappings::{self, MapMemory, MapWriter, MappingEntry};
use crate::ring::{Found, RingMemory, RingReader, RingWriter};
use crate::sync::AtomicU64;
use crate::wire::{EVENT_WORDS, Event, MAP_WORDS};
use crate::words::{Kind, Method};
use loom::sync::Arc;
use loom::thread;

const CAPACITY: usize = 2;
const WRITES: u64 = 3;

fn zeroes(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// A record whose words all follow from its number, so that a torn one shows.
fn event(number: u64) -> Event {
    Event {
        addr: (number + 1) << 12,
        kind: Kind::Write,
        method: Method::DirtyRing,
        time_ns: number + 1,
        epoch: number as u32 + 1,
        count: number as u32 + 1,
        bytes: number as u32 + 1,
        mapping: number as u32 + 1,
    }
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
            slots: zeroes(CAPACITY * (EVENT_WORDS + 1)),
        }
    }

    fn memory(&self) -> RingMemory<'_, EVENT_WORDS> {
        RingMemory {
            head: &self.head,
            backed: &self.backed,
            slots: &self.slots,
        }
    }
}

/// Reads once; returns how many records that accounts for.
fn read_one(reader: &mut RingReader, ring: &Ring) -> u64 {
    let position = reader.position();
    match reader.next(ring.memory(), |_| true) {
        None => 0,
        Some(Found::Record(found)) => {
            assert_eq!(
                found,
                event(position).to_words(),
                "torn or misplaced record"
            );
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
                    writer.publish(ring.memory(), event(number).to_words(), |_| true);
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
                        prot: version as u32,
                        id: version as u32,
                        ..MappingEntry::default()
                    };
                    writer.publish(table.memory(), [entry].into_iter(), |_| true);
                }
            }
        });
        if let Some(copy) = mappings::read(table.memory()) {
            assert_eq!(copy.entries.len(), usize::from(copy.version > 0));
            for entry in copy.entries {
                let expected = [copy.version; 5];
                let found = [
                    entry.start,
                    entry.end,
                    entry.offset,
                    entry.prot.into(),
                    entry.id.into(),
                ];
                assert_eq!(found, expected, "mixed versions");
            }
        }
        writer.join().unwrap();
    });
}
