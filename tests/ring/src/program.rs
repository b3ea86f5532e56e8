//! The segment of a large process, without the process: as fast as whoever records it is to be tried.
//!
//! It has an array of 4 GiB. In each epoch some of it is written in order, from where the epoch before left off, and half as much
//! again is written at its hot end, in the order of addresses, as the harvester would publish it.

use crate::Outcome;
use std::io::stdin;
use std::time::{Duration, Instant};
use vmmload_consumer::{
    End, Epoch, Kind, MappingClass, MappingEntry, Method, PAGE_SIZE, PROT_READ, PROT_WRITE,
    SegmentConfig, SegmentWriter, Sighting, monotonic_ns,
};

const BASE: u64 = 0x7f00_0000_0000;
/// Pages of the array.
const PAGES: u64 = 1 << 20;
/// Of them, those at its end that are written again and again.
const HOT: u64 = PAGES / 16;
/// Ten minutes of epochs of 100 ms.
const EPOCHS: u64 = 6000;
/// As `vmmload record` has it.
const RING: u32 = 1 << 20;

/// Publishes so many events in 6,000 epochs, at most so many in a second, when a line comes on standard input. The times of the
/// epochs are 100 ms apart, whatever that took.
pub(crate) fn run(events: u64, events_a_second: f64) -> Outcome {
    let mut config = SegmentConfig::new(std::process::id());
    config.ring_records = RING;
    config.command = b"large-process\0".to_vec();
    let mut writer = SegmentWriter::create(&config)?;
    let mapping = MappingEntry {
        start: BASE,
        end: BASE + PAGES * PAGE_SIZE as u64,
        prot: PROT_READ | PROT_WRITE,
        name: "array",
        id: 1,
        class: MappingClass::Anonymous,
        born: 1,
        ..MappingEntry::default()
    };
    writer.publish_mappings([mapping].into_iter());
    println!("ready");
    stdin().read_line(&mut String::new())?;
    let (began, start_ns) = (Instant::now(), monotonic_ns());
    let mut published = 0;
    for epoch in 1..=EPOCHS {
        let start_ns = start_ns + epoch * 100_000_000;
        let count = events * epoch / EPOCHS - published;
        writer.begin_epoch(epoch as u32, start_ns);
        publish(&mut writer, epoch, published, count);
        published += count;
        writer.end_epoch(Epoch {
            number: epoch as u32,
            start_ns,
            end_ns: start_ns + 100_000_000,
            ticks: 1,
            written: count as u32,
            touched: count as u32,
            ..Epoch::default()
        });
        let due = Duration::from_secs_f64(published as f64 / events_a_second);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    writer.finish(End::Exited(0));
    writer.unlink();
    println!("published_ns {}", began.elapsed().as_nanos());
    Ok(())
}

/// The events of one epoch, by address.
fn publish(writer: &mut SegmentWriter, epoch: u64, before: u64, count: u64) {
    let hot = (count / 3).min(HOT);
    let cold = PAGES - HOT;
    let from = before % cold;
    let sweep = count - hot;
    // What runs over the end goes on at the beginning, which comes first.
    let over = (from + sweep).saturating_sub(cold);
    let pages = (0..over).chain(from..from + sweep - over);
    let pages = pages.chain((0..hot).map(|n| cold + (n * 7 + epoch % 7) % HOT));
    for page in pages {
        let addr = BASE + page * PAGE_SIZE as u64;
        let index = writer.region(addr, Kind::Write);
        let mut seen = Sighting::new(addr, Kind::Write, Method::DirtyRing);
        seen.mapping = 1;
        writer.record(index, seen);
    }
}
