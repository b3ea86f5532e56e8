//! The event ring: lapping, missing memory, and real threads.

use crate::ring::{Found, Published, RingMemory, RingReader, RingWriter};
use crate::wire::{EVENT_WORDS, Event};
use crate::words::{Kind, Method};
use crate::writer::RING_STEP;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

struct Ring {
    head: AtomicU64,
    backed: AtomicU64,
    slots: Vec<AtomicU64>,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        let slots = (0..capacity * (EVENT_WORDS + 1))
            .map(|_| AtomicU64::new(0))
            .collect();
        Self {
            head: AtomicU64::new(0),
            backed: AtomicU64::new(0),
            slots,
        }
    }

    fn memory(&self) -> RingMemory<'_, EVENT_WORDS> {
        RingMemory {
            head: &self.head,
            backed: &self.backed,
            slots: &self.slots,
            capacity: self.slots.len() / (EVENT_WORDS + 1),
        }
    }
}

/// A record whose words all follow from its number.
fn event(number: u64) -> Event {
    Event {
        addr: number << 12,
        kind: Kind::ALL[number as usize % 3],
        method: Method::Relay,
        time_ns: number.wrapping_mul(7),
        epoch: number as u32,
        count: !number as u32,
        bytes: number as u32 ^ 5,
        mapping: number as u32 ^ 9,
    }
}

fn publish(writer: &mut RingWriter, ring: &Ring, numbers: std::ops::Range<u64>) {
    for number in numbers {
        writer.publish(ring.memory(), event(number).to_words(), |_| true);
    }
}

#[test]
fn delivers_every_record_in_order() {
    let ring = Ring::new(8);
    let mut reader = RingReader::oldest(ring.memory());
    let mut writer = RingWriter::new(RING_STEP);
    publish(&mut writer, &ring, 0..8);
    for number in 0..8 {
        assert_eq!(
            reader.next(ring.memory(), |_| true),
            Some(Found::Record(event(number).to_words()))
        );
    }
    assert_eq!(reader.next(ring.memory(), |_| true), None);
}

#[test]
fn a_lapped_reader_learns_the_exact_loss_and_goes_on_half_a_lap_behind() {
    let ring = Ring::new(8);
    let mut reader = RingReader::oldest(ring.memory());
    publish(&mut RingWriter::new(RING_STEP), &ring, 0..21);
    assert_eq!(reader.next(ring.memory(), |_| true), Some(Found::Lost(17)));
    assert_eq!(
        reader.next(ring.memory(), |_| true),
        Some(Found::Record(event(17).to_words()))
    );
    assert_eq!(reader.position(), 18);
}

#[test]
fn readers_begin_with_the_oldest_record_or_the_next() {
    let ring = Ring::new(8);
    let mut writer = RingWriter::new(RING_STEP);
    publish(&mut writer, &ring, 0..21);
    let mut oldest = RingReader::oldest(ring.memory());
    let mut newest = RingReader::newest(ring.memory());
    assert_eq!(
        oldest.next(ring.memory(), |_| true),
        Some(Found::Record(event(13).to_words()))
    );
    assert_eq!(newest.next(ring.memory(), |_| true), None);
    publish(&mut writer, &ring, 21..22);
    assert_eq!(
        newest.next(ring.memory(), |_| true),
        Some(Found::Record(event(21).to_words()))
    );
}

#[test]
fn a_ring_without_memory_counts_every_record_as_lost() {
    let ring = Ring::new(8);
    let mut reader = RingReader::oldest(ring.memory());
    let mut writer = RingWriter::new(RING_STEP);
    for number in 0..5 {
        let outcome = writer.publish(ring.memory(), event(number).to_words(), |_| false);
        assert_eq!(outcome, Published::Dropped);
    }
    assert_eq!(reader.next(ring.memory(), |_| true), Some(Found::Lost(5)));
    assert_eq!(reader.next(ring.memory(), |_| true), None);
}

#[test]
fn memory_is_asked_for_once_a_step_and_again_one_lap_after_a_refusal() {
    let capacity = 4 * RING_STEP;
    let ring = Ring::new(capacity);
    let mut reader = RingReader::oldest(ring.memory());
    let mut writer = RingWriter::new(RING_STEP);
    let mut asked = Vec::new();
    let mut written = 0;
    let mut lost = 0;
    for number in 0..2 * capacity as u64 {
        let back = |slots: std::ops::Range<usize>| {
            asked.push((number, slots.start));
            number != 2 * RING_STEP as u64
        };
        let outcome = writer.publish(ring.memory(), event(number).to_words(), back);
        match reader.next(ring.memory(), |_| true) {
            Some(Found::Record(found)) => {
                let found = Event::from_words(found).unwrap();
                assert_eq!((found, outcome), (event(number), Published::Written));
                written += 1;
            }
            Some(Found::Lost(records)) => lost += records,
            None => panic!("record {number} is neither there nor lost"),
        }
    }
    let step = RING_STEP as u64;
    let starts = [
        (0, 0),
        (step, 1),
        (2 * step, 2),
        (6 * step, 2),
        (7 * step, 3),
    ];
    assert_eq!(
        asked,
        starts.map(|(number, steps)| (number, steps * RING_STEP))
    );
    assert_eq!((written, lost), (6 * step, 2 * step));
}

#[test]
fn hostile_positions_neither_panic_nor_stall() {
    let ring = Ring::new(8);
    let mut writer = RingWriter::new(RING_STEP);
    publish(&mut writer, &ring, 0..8);
    let mut reader = RingReader::oldest(ring.memory());
    for head in [u64::MAX, u64::MAX - 1, 0, 3, 1 << 63] {
        ring.head.store(head, Ordering::Relaxed);
        for _ in 0..20 {
            let before = reader.position();
            let found = reader.next(ring.memory(), |_| true);
            assert!(found.is_none() || reader.position() > before);
        }
    }
}

/// Reads until `total` records are accounted for; checks each one and the sum.
fn follow(ring: &Ring, total: u64, pause: Duration) -> (u64, u64) {
    let mut reader = RingReader::oldest(ring.memory());
    // The writer may be ahead already; what this reader never came for counts as lost here.
    let (mut delivered, mut lost) = (0, reader.position());
    while delivered + lost < total {
        match reader.next(ring.memory(), |_| true) {
            Some(Found::Record(found)) => {
                let found = Event::from_words(found).unwrap();
                assert_eq!(found, event(reader.position() - 1), "torn record");
                delivered += 1;
                if !pause.is_zero() && delivered % 1000 == 0 {
                    thread::sleep(pause);
                }
            }
            Some(Found::Lost(records)) => lost += records,
            None => thread::yield_now(),
        }
    }
    assert_eq!(delivered + lost, total);
    (delivered, lost)
}

#[test]
fn slow_readers_of_a_fast_writer_account_for_every_record() {
    const TOTAL: u64 = 2_000_000;
    let ring = Ring::new(1024);
    thread::scope(|scope| {
        let readers = [0, 50, 500].map(|pause_us| {
            let ring = &ring;
            scope.spawn(move || follow(ring, TOTAL, Duration::from_micros(pause_us)))
        });
        publish(&mut RingWriter::new(RING_STEP), &ring, 0..TOTAL);
        for reader in readers {
            let (delivered, lost) = reader.join().unwrap();
            assert_eq!(delivered + lost, TOTAL);
        }
    });
}
