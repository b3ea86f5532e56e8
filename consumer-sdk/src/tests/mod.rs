//! The parts together: a segment written and read through the public API, and damaged ones.

mod following;
mod fuzz;
mod golden;
mod hostile;
mod marks;
mod reclaiming;
mod regions;
mod ring;
mod segment;
mod sessions;
mod sigbus;
mod starved;
mod truncated;

use crate::{Consumer, Event, Item, Kind, Method, SegmentConfig, SegmentWriter, Sighting};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// Small parts, so that tests reach their ends.
fn small(ring_records: u32) -> SegmentConfig {
    SegmentConfig {
        command: b"prog\0-x\0two words\0".to_vec(),
        ring_records,
        heat_pages: 64,
        map_entries: 200,
        string_bytes: 8192,
        mark_records: 64,
        ..SegmentConfig::new(std::process::id())
    }
}

/// A name that no reader looks for, of this test alone.
fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("vmmload-test-{}-{number}", std::process::id())
}

fn path_of(name: &str) -> PathBuf {
    crate::memory::path_of(name)
}

fn pair(config: &SegmentConfig) -> (SegmentWriter, Consumer) {
    let name = unique_name();
    let writer = SegmentWriter::create_named(config, &name).unwrap();
    let consumer = Consumer::open(&path_of(&name)).unwrap();
    (writer, consumer)
}

fn write(writer: &mut SegmentWriter, addr: u64, kind: Kind, count: u32) {
    let index = writer.region(addr, kind);
    writer.record(
        index,
        Sighting {
            count,
            ..Sighting::new(addr, kind, Method::DirtyRing)
        },
    );
}

fn drain(consumer: &mut Consumer) -> (Vec<Event>, u64) {
    let (mut events, mut lost) = (Vec::new(), 0);
    while let Some(item) = consumer.next() {
        match item {
            Item::Event(event) => events.push(event),
            Item::Lost(records) => lost += records,
        }
    }
    (events, lost)
}
