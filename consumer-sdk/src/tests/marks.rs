//! Marks: what a program says comes out, in order, and none is lost unsaid.

use super::{pair, small, write};
use crate::{
    Consumer, Epoch, Kind, MappingClass, MappingEntry, Mark, SegmentConfig, SegmentWriter, Woken,
};
use std::time::Duration;

fn names(consumer: &Consumer) -> Vec<String> {
    let marks = consumer.marks().into_iter();
    marks.map(|mark| mark.name).collect()
}

fn end_epoch(writer: &mut SegmentWriter, number: u32) {
    writer.end_epoch(Epoch {
        number,
        ..Epoch::default()
    });
}

#[test]
fn marks_come_out_in_order_with_their_epochs_and_threads() {
    let (mut writer, mut consumer) = pair(&small(64));
    assert_eq!(consumer.next_mark(), None);
    writer.begin_epoch(3, 1000);
    writer.mark("load", 1001, 7);
    writer.begin_epoch(4, 2000);
    writer.mark("run \u{1f980}\n", 2001, 8);
    let expected = [("load", 1001, 3, 7), ("run \u{1f980}\n", 2001, 4, 8)].map(
        |(name, time_ns, epoch, thread)| Mark {
            name: name.to_owned(),
            time_ns,
            epoch,
            thread,
        },
    );
    assert_eq!(consumer.marks(), expected);
    assert_eq!(
        [consumer.next_mark(), consumer.next_mark()],
        expected.map(Some)
    );
    assert_eq!((consumer.next_mark(), consumer.marks_lost()), (None, 0));
    assert_eq!(consumer.info().marks, 2);
    consumer.rewind();
    assert_eq!(consumer.next_mark().unwrap().name, "load");
    consumer.skip_to_now();
    assert_eq!(consumer.next_mark(), None);
}

#[test]
fn marks_that_are_read_and_marks_that_are_lost_add_up() {
    const MARKS: u64 = 100_000;
    let (mut writer, mut consumer) = pair(&small(64));
    let mut read = 0;
    for number in 0..MARKS {
        writer.mark("frame", number, 1);
        if number % 1000 < 40 {
            // Each that comes is the next in time.
            let mark = consumer.next_mark().unwrap();
            assert_eq!(mark.time_ns, read + consumer.marks_lost());
            read += 1;
        }
    }
    while consumer.next_mark().is_some() {
        read += 1;
    }
    assert_eq!(read + consumer.marks_lost(), MARKS);
    assert!(read > 4000 && consumer.marks_lost() > 0, "{read}");
    // One string for all of them.
    assert_eq!(consumer.info().names_dropped, 0);
}

#[test]
fn names_of_marks_leave_room_for_those_of_mappings() {
    let config = SegmentConfig {
        mark_records: 1024,
        ..small(64)
    };
    let (mut writer, consumer) = pair(&config);
    for number in 0..1024 {
        writer.mark(&format!("request number {number}"), number, 1);
    }
    let names = names(&consumer);
    assert_eq!(names.len(), 1024);
    let named = names.iter().filter(|name| !name.is_empty()).count();
    assert_eq!(consumer.info().names_dropped, 1024 - named as u64);
    assert!(named > 100 && named < 1024, "{named}");
    // A name that is there goes on to be.
    writer.mark("request number 0", 2000, 1);
    assert_eq!(consumer.marks()[1023].name, "request number 0");
    let entry = MappingEntry {
        end: 0x1000,
        name: "/usr/bin/true",
        ..MappingEntry::default()
    };
    writer.publish_mappings([entry].into_iter());
    assert_eq!(
        consumer.mappings().unwrap().entries[0].name,
        "/usr/bin/true"
    );
}

#[test]
fn the_stack_of_a_thread_is_called_what_the_program_calls_it() {
    let (mut writer, consumer) = pair(&small(64));
    let stack = |start, name| MappingEntry {
        start,
        end: start + 0x1000,
        name,
        class: MappingClass::ThreadStack,
        thread: 7,
        ..MappingEntry::default()
    };
    writer.publish_mappings([stack(0, ""), stack(0x1000, "guarded")].into_iter());
    let entries = consumer.mappings().unwrap().entries;
    assert_eq!(
        (&*entries[0].name, &*entries[1].name),
        ("[stack:7]", "guarded")
    );
}

#[test]
fn marks_wake_those_who_sleep_when_they_are_announced() {
    let (mut writer, mut consumer) = pair(&small(64));
    let wait = |consumer: &Consumer| consumer.wait(Some(Duration::ZERO));
    assert_eq!(wait(&consumer), Woken::TimedOut);
    writer.announce_marks();
    assert_eq!(wait(&consumer), Woken::TimedOut);
    writer.mark("load", 1, 1);
    assert_eq!(wait(&consumer), Woken::TimedOut);
    writer.announce_marks();
    assert_eq!(wait(&consumer), Woken::News);
    assert_eq!(wait(&consumer), Woken::TimedOut);
    // Who reads marks is told while there are any.
    assert!(consumer.next_mark().is_some());
    writer.mark("run", 2, 1);
    assert_eq!([wait(&consumer), wait(&consumer)], [Woken::News; 2]);
    assert!(consumer.next_mark().is_some());
    write(&mut writer, 0x1000, Kind::Write, 1);
    assert_eq!(wait(&consumer), Woken::TimedOut);
    end_epoch(&mut writer, 1);
    assert_eq!(wait(&consumer), Woken::News);
}

#[test]
fn a_segment_without_a_ring_of_marks_has_none() {
    let config = SegmentConfig {
        mark_records: 0,
        ..small(64)
    };
    let (mut writer, mut consumer) = pair(&config);
    writer.mark("load", 1, 1);
    assert_eq!((consumer.next_mark(), consumer.marks()), (None, vec![]));
    assert_eq!((consumer.info().marks, consumer.marks_lost()), (0, 0));
}
