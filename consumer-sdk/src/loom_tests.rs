//! Every interleaving, and every reordering that the memory model allows, of tiny rings and tables.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p vmmload-consumer --release loom`

use crate::heat::{self, HeatMemory, HeatWriter};
use crate::mappings::{self, MapMemory, MapWriter, MappingEntry};
use crate::news;
use crate::ring::{Found, RingMemory, RingReader, RingWriter};
use crate::sync::{AtomicU64, Ordering, load_acquire};
use crate::wire::{MAP_WORDS, PAGES_PER_REGION, REGION_WORDS};
use crate::words::Kind;
use loom::model::Builder;
use loom::sync::{Arc, Condvar, Mutex};
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

/// A thread that publishes all records.
fn spawn_writer(ring: &Arc<Ring>) -> thread::JoinHandle<()> {
    let ring = Arc::clone(ring);
    thread::spawn(move || {
        let mut writer = RingWriter::new(CAPACITY);
        for number in 0..WRITES {
            writer.publish(ring.memory(), record(number), |_| true);
        }
    })
}

#[test]
fn loom_a_reader_never_sees_a_torn_record_and_accounts_for_every_one() {
    loom::model(|| {
        let ring = Arc::new(Ring::new());
        let mut reader = RingReader::oldest(ring.memory());
        let writer = spawn_writer(&ring);
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

/// Reads a batch; returns how many records that accounts for.
fn read_batch(reader: &mut RingReader, ring: &Ring) -> u64 {
    let before = reader.position();
    let mut batch = [0; CAPACITY];
    let decode = |[first, second]: [u64; RECORD_WORDS]| {
        assert_eq!(first, second, "torn record");
        Some(first - 1)
    };
    let (read, lost) = reader.read(ring.memory(), &mut batch, decode);
    let passed = reader.position() - before;
    assert_eq!(read as u64 + lost, passed);
    let numbers = &batch[..read];
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?} of order");
    let inside = |number: &u64| (before..reader.position()).contains(number);
    assert!(numbers.iter().all(inside), "{numbers:?} from elsewhere");
    passed
}

/// One look at the ring; returns how many records it accounts for.
type Look = fn(&mut RingReader, &Ring) -> u64;

/// A writer, and a reader for each of `looks`, all at the same time. `bound` limits how often a thread may be
/// interrupted in the middle, which leaves out few faults and most of the work.
fn follow_and_account(looks: &'static [Look], bound: usize) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(bound);
    builder.check(move || {
        let ring = Arc::new(Ring::new());
        let writer = spawn_writer(&ring);
        let read = |look: Look| {
            let ring = Arc::clone(&ring);
            move || {
                // Who comes late begins with the oldest that is there.
                let mut reader = RingReader::oldest(ring.memory());
                let accounted = reader.position() + look(&mut reader, &ring);
                assert_eq!(accounted, reader.position());
                reader
            }
        };
        let others: Vec<_> = looks[1..]
            .iter()
            .map(|&look| thread::spawn(read(look)))
            .collect();
        let mut reader = read(looks[0])();
        writer.join().unwrap();
        for other in others {
            other.join().unwrap();
        }
        // The writer is done: each look now delivers or accounts for something.
        while reader.position() < WRITES {
            assert!(read_batch(&mut reader, &ring) > 0, "stuck");
        }
        assert_eq!(reader.position(), WRITES);
    });
}

#[test]
fn loom_a_batch_is_in_order_and_never_torn_and_accounts_for_every_record() {
    follow_and_account(&[read_batch], 3);
}

#[test]
fn loom_two_readers_do_not_disturb_each_other() {
    follow_and_account(&[read_batch, read_one], 1);
}

/// futex(2) as far as it matters: a waiter that finds the word changed does not sleep, and one that sleeps is
/// woken. The kernel's lock of the hash bucket is the mutex.
struct Futex {
    bucket: Mutex<()>,
    sleepers: Condvar,
}

impl Futex {
    fn wait(&self, word: &AtomicU64, expected: u32) {
        let bucket = self.bucket.lock().unwrap();
        if word.load(Ordering::Relaxed) as u32 == expected {
            drop(self.sleepers.wait(bucket).unwrap());
        }
    }

    fn wake(&self) {
        let _bucket = self.bucket.lock().unwrap();
        self.sleepers.notify_all();
    }
}

/// A writer that tells of its second record only, and readers that sleep until they have both. A wake that
/// is lost leaves one asleep for ever, which loom reports as a deadlock.
#[test]
fn loom_a_reader_that_sleeps_is_always_woken_and_finds_what_it_was_woken_for() {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let ring = Arc::new(Ring::new());
        let news = Arc::new((
            AtomicU64::new(0),
            Futex {
                bucket: Mutex::new(()),
                sleepers: Condvar::new(),
            },
        ));
        let writer = thread::spawn({
            let (ring, news) = (Arc::clone(&ring), Arc::clone(&news));
            move || {
                let mut writer = RingWriter::new(CAPACITY);
                for number in 0..2 {
                    writer.publish(ring.memory(), record(number), |_| true);
                }
                news::tell(&news.0, |_| news.1.wake());
            }
        });
        let (word, futex) = &*news;
        let has_both = |_| (load_acquire(&ring.head) == 2).then_some(());
        news::until(word, has_both, |seen| {
            futex.wait(word, seen);
            true
        });
        let mut reader = RingReader::oldest(ring.memory());
        assert_eq!(
            [read_one(&mut reader, &ring), read_one(&mut reader, &ring)],
            [1, 1]
        );
        writer.join().unwrap();
    });
}

struct HeatTable {
    used: AtomicU64,
    regions: Vec<AtomicU64>,
    cells: Vec<AtomicU64>,
    done: AtomicU64,
}

impl HeatTable {
    fn new() -> Self {
        let [used, done] = [AtomicU64::new(0), AtomicU64::new(0)];
        Self {
            used,
            regions: zeroes(REGION_WORDS),
            cells: zeroes(PAGES_PER_REGION),
            done,
        }
    }

    fn memory(&self) -> HeatMemory<'_> {
        HeatMemory {
            used: &self.used,
            regions: &self.regions,
            cells: &self.cells,
        }
    }
}

/// In epoch `n` the page `n % 2` has its events, so that one page has two epochs.
#[test]
fn loom_pages_of_finished_epochs_are_never_missed_and_a_count_has_its_epoch() {
    loom::model(|| {
        let table = Arc::new(HeatTable::new());
        let page = |epoch: u32| (5 << 21) | u64::from(epoch % 2) << 12;
        let writer = thread::spawn({
            let table = Arc::clone(&table);
            move || {
                let mut heat = HeatWriter::new(1);
                for epoch in 1..=3 {
                    let (memory, addr) = (table.memory(), page(epoch));
                    let index = heat.region(memory, addr, Kind::Write, |_| true).unwrap();
                    heat.add(memory, index, addr, epoch, epoch);
                    table.done.store(epoch.into(), Ordering::Release);
                }
            }
        });
        // Of whoever is counted, it is known where.
        assert!(heat::cells(table.memory()).all(|heat| heat.addr >= page(0)));
        let done = load_acquire(&table.done) as u32;
        let since = done.saturating_sub(1);
        let written = heat::written_since(table.memory(), since);
        for epoch in since + 1..=done {
            assert!(written.contains(&page(epoch)), "epoch {epoch}: {written:?}");
        }
        let (memory, offset) = (table.memory(), 1);
        let cell = memory.cells[offset].load(Ordering::Relaxed);
        let heat = heat::heat_of(0, Kind::Write, offset, cell);
        // One event in epoch 1, and three more in epoch 3.
        let found = heat.map_or((0, 0), |heat| (heat.count, heat.epoch));
        assert!([(0, 0), (1, 1), (4, 3)].contains(&found), "{found:?}");
        writer.join().unwrap();
    });
}

struct Table {
    version: AtomicU64,
    states: [AtomicU64; 2],
    tables: [Vec<AtomicU64>; 2],
    strings: [AtomicU64; 2],
    names: Vec<AtomicU64>,
}

impl Table {
    fn new() -> Self {
        let atomic = || AtomicU64::new(0);
        Self {
            version: atomic(),
            states: [atomic(), atomic()],
            tables: [zeroes(MAP_WORDS), zeroes(MAP_WORDS)],
            strings: [atomic(), atomic()],
            names: zeroes(3),
        }
    }

    fn memory(&self) -> MapMemory<'_> {
        MapMemory {
            version: &self.version,
            states: [&self.states[0], &self.states[1]],
            tables: [&self.tables[0], &self.tables[1]],
            strings_used: &self.strings[0],
            names_dropped: &self.strings[1],
            strings: &self.names,
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

#[test]
fn loom_a_mark_that_is_seen_has_its_name() {
    loom::model(|| {
        let (ring, table) = (Arc::new(Ring::new()), Arc::new(Table::new()));
        let mut reader = RingReader::oldest(ring.memory());
        let writer = thread::spawn({
            let (ring, table) = (Arc::clone(&ring), Arc::clone(&table));
            move || {
                let (mut names, mut marks) = (MapWriter::new(), RingWriter::new(CAPACITY));
                let most = table.names.len();
                let name = names.intern(table.memory(), "load", most, &mut |_| true);
                marks.publish(ring.memory(), [name.into(); RECORD_WORDS], |_| true);
            }
        });
        if let Some(Found::Record([name, _])) = reader.next(ring.memory(), |_| true) {
            let name = mappings::read_name(table.memory(), name as u32, &mut 100);
            assert_eq!(name.as_deref(), Some("load"));
        }
        writer.join().unwrap();
    });
}
