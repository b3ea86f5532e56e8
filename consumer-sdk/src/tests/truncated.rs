//! A segment that its owner cuts short under its readers.

use super::{drain, pair, small, write};
use crate::{Consumer, End, Epoch, Item, Kind, MappingEntry, SegmentConfig, SegmentWriter, Status};
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Something of everything.
fn filled() -> (SegmentWriter, Consumer) {
    let (mut writer, consumer) = pair(&SegmentConfig {
        epoch_records: 64,
        // Two pages, of which one stays empty.
        mark_records: 256,
        ..small(1024)
    });
    for page in 0..3000 {
        write(&mut writer, page << 17, Kind::Write, 1);
    }
    for number in 1..=10 {
        let ended = Epoch {
            number,
            ..Epoch::default()
        };
        writer.end_epoch(ended);
        writer.mark("phase", 0, 1);
    }
    let entries = (0..100).map(|i| MappingEntry {
        start: i << 12,
        end: (i + 1) << 12,
        name: "/usr/bin/true",
        ..MappingEntry::default()
    });
    writer.publish_mappings(entries);
    writer.finish(End::Exited(3));
    (writer, consumer)
}

fn cut(consumer: &Consumer, len: u64) {
    let file = File::options().write(true).open(consumer.path()).unwrap();
    file.set_len(len).unwrap();
}

fn length(consumer: &Consumer) -> u64 {
    consumer.path().metadata().unwrap().len()
}

/// Reads everything there is, once.
fn read_all(consumer: &mut Consumer) {
    consumer.rewind();
    drain(consumer);
    while consumer.next_epoch().is_some() {}
    while consumer.next_mark().is_some() {}
    let _ = (consumer.epochs(), consumer.heat().count());
    let _ = (consumer.huge_pages(), consumer.mappings(), consumer.info());
}

#[test]
fn a_reader_lives_on_and_says_so_wherever_the_file_was_cut() {
    let length = length(&filled().1);
    for len in [0, 4096, 8192, length / 2, length - 8192, length - 4096] {
        let (writer, mut consumer) = filled();
        assert_eq!(consumer.status(), Status::Ended(End::Exited(3)));
        cut(&consumer, len);
        read_all(&mut consumer);
        // The last page holds no mark, so that nobody ever reads it.
        let expected = match len + 4096 == length {
            true => Status::Ended(End::Exited(3)),
            false => Status::Truncated,
        };
        assert_eq!(consumer.status(), expected, "cut to {len} of {length}");
        read_all(&mut consumer);
        // What it would write to its own segment is gone as well.
        drop(writer);
    }
}

#[test]
fn records_behind_the_cut_are_lost_and_accounted_for() {
    let (_writer, mut consumer) = filled();
    consumer.rewind();
    let start = consumer.position();
    // Slots of 40 bytes behind the header: a part of the ring is left.
    cut(&consumer, 3 * 4096);
    let (events, lost) = drain(&mut consumer);
    assert_eq!(start + events.len() as u64 + lost, 3000);
    assert!(!events.is_empty() && lost > 0, "{lost}");
    assert_eq!(consumer.status(), Status::Truncated);
}

#[test]
fn a_reader_detached_from_a_cut_segment_leaves_no_mark_on_the_next() {
    for _ in 0..100 {
        let (writer, mut consumer) = filled();
        read_all(&mut consumer);
        assert_eq!(consumer.status(), Status::Ended(End::Exited(3)));
        cut(&consumer, 0);
        assert_eq!(consumer.status(), Status::Truncated);
        drop((consumer, writer));
    }
}

#[test]
fn several_threads_read_several_segments_while_they_are_cut() {
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // Attaching and detaching beside the other's faults.
                while !stop.load(Ordering::Relaxed) {
                    let (writer, mut consumer) = filled();
                    assert!(matches!(
                        consumer.next(),
                        Some(Item::Lost(_) | Item::Event(_))
                    ));
                    drop((writer, consumer));
                }
            });
        }
        for len in [0, 4096, 8192, 1 << 16] {
            let (writer, mut consumer) = filled();
            thread::scope(|readers| {
                let mut second = Consumer::open(consumer.path()).unwrap();
                let cutter = consumer.path().to_owned();
                readers.spawn(move || {
                    while second.status() != Status::Truncated {
                        read_all(&mut second);
                    }
                });
                readers.spawn(move || {
                    thread::sleep(Duration::from_millis(5));
                    let file = File::options().write(true).open(cutter);
                    file.unwrap().set_len(len).unwrap();
                });
                while consumer.status() != Status::Truncated {
                    read_all(&mut consumer);
                }
            });
            drop(writer);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(started.elapsed() < Duration::from_secs(60));
}
