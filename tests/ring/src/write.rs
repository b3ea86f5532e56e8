//! A writer as fast as it can be.

use crate::cpu::{PARTS, quickest};
use crate::{Outcome, pattern};
use std::io::stdin;
use vmmload_consumer::{End, Epoch, SegmentConfig, SegmentWriter};

/// Creates the segment /dev/shm/NAME, publishes on a line of standard input, and keeps the name until the next.
pub(crate) fn run(name: &str, events: u64) -> Outcome {
    let mut writer = SegmentWriter::create_named(&SegmentConfig::new(std::process::id()), name)?;
    println!("ready");
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let part = events / PARTS;
    let ns = quickest(events, |number| {
        // What does not divide goes with the last one.
        let rest = if number + 1 == PARTS {
            events % PARTS
        } else {
            0
        };
        publish(&mut writer, number * part..(number + 1) * part + rest);
    });
    writer.finish(End::Exited(0));
    println!("ns_per_event {ns}");
    stdin().read_line(&mut line)?;
    Ok(())
}

fn publish(writer: &mut SegmentWriter, positions: std::ops::Range<u64>) {
    let mut position = positions.start;
    while position < positions.end {
        let (number, time_ns) = pattern::epoch(position);
        writer.begin_epoch(number, time_ns);
        let end = positions
            .end
            .min((position / pattern::EPOCH + 1) * pattern::EPOCH);
        for position in position..end {
            let seen = pattern::sighting(position);
            let index = writer.region(seen.addr, seen.kind);
            writer.record(index, seen);
        }
        writer.end_epoch(Epoch {
            number,
            ..Epoch::default()
        });
        position = end;
    }
}
