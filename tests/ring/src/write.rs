//! A writer as fast as it can be.

use crate::cpu::cpu_ns;
use crate::{Outcome, pattern};
use std::io::stdin;
use vmmload_consumer::{End, Epoch, SegmentConfig, SegmentWriter};

/// Creates the segment /dev/shm/NAME, publishes on a line of standard input, and keeps the name until the next.
pub(crate) fn run(name: &str, events: u64) -> Outcome {
    let mut writer = SegmentWriter::create_named(&SegmentConfig::new(std::process::id()), name)?;
    println!("ready");
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let started = cpu_ns();
    publish(&mut writer, events);
    let took = cpu_ns() - started;
    writer.finish(End::Exited(0));
    println!("ns_per_event {}", took as f64 / events as f64);
    stdin().read_line(&mut line)?;
    Ok(())
}

fn publish(writer: &mut SegmentWriter, events: u64) {
    for first in (0..events).step_by(pattern::EPOCH as usize) {
        let (number, time_ns) = pattern::epoch(first);
        writer.begin_epoch(number, time_ns);
        for position in first..events.min(first + pattern::EPOCH) {
            let seen = pattern::sighting(position);
            let index = writer.region(seen.addr, seen.kind);
            writer.record(index, seen);
        }
        writer.end_epoch(Epoch {
            number,
            ..Epoch::default()
        });
    }
}
