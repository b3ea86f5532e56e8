//! What publishing, reading and waking up take.

use crate::Outcome;
use crate::cpu::{PARTS, quickest};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use vmmload_consumer::{
    Consumer, End, Epoch, Event, Item, Kind, Method, SegmentConfig, SegmentWriter, Sighting, Woken,
    monotonic_ns,
};

/// Pages with events, one after the other: what a program writes again in each epoch.
const HOT_PAGES: u64 = 4096;
/// Records in a ring.
const RING: u64 = 65_536;

fn segment() -> Result<(SegmentWriter, PathBuf), Box<dyn std::error::Error>> {
    let name = format!("vmmload-figures-{}", std::process::id());
    let path = Path::new("/dev/shm").join(&name);
    let config = SegmentConfig::new(std::process::id());
    let mut writer = SegmentWriter::create_named(&config, &name)?;
    writer.begin_epoch(1, monotonic_ns());
    // The first lap asks for memory.
    record(&mut writer, 0..2 * RING);
    Ok((writer, path))
}

fn record(writer: &mut SegmentWriter, positions: std::ops::Range<u64>) {
    for position in positions {
        let addr = position % HOT_PAGES * 4096;
        let index = writer.region(addr, Kind::Write);
        writer.record(index, Sighting::new(addr, Kind::Write, Method::DirtyRing));
    }
}

/// A record with its heat, and one that the heat table has no room for, which leaves the ring alone.
pub(crate) fn publish(events: u64) -> Outcome {
    let (mut writer, _) = segment()?;
    let both = quickest(events, |_| record(&mut writer, 0..events / PARTS));
    println!("record_ns {both}");
    let ring = quickest(events, |_| {
        for position in 0..events / PARTS {
            let addr = position % HOT_PAGES * 4096;
            let seen = Sighting::new(addr, Kind::Write, Method::DirtyRing);
            writer.record(None, seen);
        }
    });
    println!("ring_ns {ring}");
    Ok(())
}

/// Full rings, read by whoever takes a file and a number of laps; here by ourselves.
pub(crate) fn read(laps: u64) -> Outcome {
    let (_writer, path) = segment()?;
    let mut consumer = Consumer::open(&path)?;
    let mut sum = 0;
    let next = quickest(laps * RING, |_| {
        for _ in 0..laps / PARTS {
            consumer.rewind();
            while let Some(Item::Event(event)) = consumer.next() {
                sum += event.addr;
            }
        }
    });
    println!("next_ns {next}");
    let mut events = vec![Event::default(); 4096];
    let batch = quickest(laps * RING, |_| {
        for _ in 0..laps / PARTS {
            consumer.rewind();
            loop {
                let read = consumer.read(&mut events).read;
                sum += events[..read].iter().map(|event| event.addr).sum::<u64>();
                if read == 0 {
                    break;
                }
            }
        }
    });
    println!("batch_ns {batch}");
    let expected = (0..RING)
        .map(|position| position % HOT_PAGES * 4096)
        .sum::<u64>();
    if sum != 2 * (laps / PARTS * PARTS) * expected {
        return Err("not every record was read".into());
    }
    // For readers in other languages.
    println!("file {}", path.display());
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// From just before an event is published to when a reader in another thread has it.
pub(crate) fn latency(samples: usize, sleeping: bool) -> Outcome {
    let (mut writer, path) = segment()?;
    let mut consumer = Consumer::open(&path)?;
    consumer.skip_to_now();
    let over = AtomicBool::new(false);
    let mut taken: Vec<u64> = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut taken, mut events) = (Vec::new(), [Event::default(); 16]);
            while !over.load(Ordering::Relaxed) {
                let read = consumer.read(&mut events).read;
                let now = monotonic_ns();
                taken.extend(events[..read].iter().map(|event| now - event.time_ns));
                if read == 0 && sleeping && consumer.wait(None) == Woken::Over {
                    break;
                }
            }
            taken
        });
        for number in 0..samples as u32 {
            thread::sleep(Duration::from_micros(300));
            writer.begin_epoch(number + 2, monotonic_ns());
            record(&mut writer, 0..1);
            if sleeping {
                writer.end_epoch(Epoch {
                    number: number + 2,
                    ..Epoch::default()
                });
            }
        }
        thread::sleep(Duration::from_millis(20));
        over.store(true, Ordering::Relaxed);
        writer.finish(End::Exited(0));
        reader.join().unwrap_or_default()
    });
    if taken.len() != samples {
        return Err(format!("{} of {samples} events came", taken.len()).into());
    }
    taken.sort_unstable();
    println!("median_ns {}", taken[samples / 2]);
    println!("p99_ns {}", taken[samples * 99 / 100]);
    Ok(())
}
