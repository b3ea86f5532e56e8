//! Following a segment: batches, sleeping, what was written since, copies of the heat table.

use super::{pair, small, write};
use crate::{
    Batch, Child, Consumer, End, Epoch, Event, Kind, Mapping, ProcessId, SegmentConfig,
    SegmentWriter, Track, Woken, WrittenError,
};
use std::thread;
use std::time::Duration;

const BASE: u64 = 0x7f00_0000_0000;

fn written_since(consumer: &Consumer, epoch: u32) -> (Vec<u64>, u32) {
    let written = consumer.pages_written_since(epoch).unwrap();
    (written.pages, written.epoch)
}

fn end_epoch(writer: &mut SegmentWriter, number: u32) {
    writer.end_epoch(Epoch {
        number,
        ..Epoch::default()
    });
    writer.begin_epoch(number + 1, 0);
}

#[test]
fn pages_written_since_an_epoch_are_told_each_once_and_in_order() {
    let (mut writer, consumer) = pair(&small(1024));
    let [a, b, c, d] = [BASE, BASE + 0x1000, BASE + (1 << 21), BASE + (7 << 21)];
    writer.begin_epoch(1, 0);
    for addr in [d, b, a] {
        write(&mut writer, addr, Kind::Write, 1);
    }
    write(&mut writer, a, Kind::Kernel, 1);
    write(&mut writer, c, Kind::Read, 1);
    end_epoch(&mut writer, 1);
    assert_eq!(written_since(&consumer, 0), (vec![a, b, d], 1));
    assert_eq!(written_since(&consumer, 1), (vec![], 1));
    write(&mut writer, c, Kind::Kernel, 1);
    write(&mut writer, b, Kind::Write, 1);
    // Of the running epoch: here already, and in the next answer, too.
    assert_eq!(written_since(&consumer, 1), (vec![b, c], 1));
    end_epoch(&mut writer, 2);
    assert_eq!(written_since(&consumer, 1), (vec![b, c], 2));
    assert_eq!(written_since(&consumer, 2), (vec![], 2));
    assert_eq!(written_since(&consumer, 0), (vec![a, b, c, d], 2));
}

#[test]
fn pages_that_were_given_back_or_are_not_watched_count_as_written() {
    let (mut writer, consumer) = pair(&small(1024));
    let [a, b, never] = [BASE, BASE + 0x1000, BASE + 0x2000];
    writer.begin_epoch(1, 0);
    for addr in [a, b] {
        write(&mut writer, addr, Kind::Write, 1);
    }
    end_epoch(&mut writer, 1);
    end_epoch(&mut writer, 2);
    for range in [b..never + 0x1000, 0..1 << 47] {
        writer.discard(&range);
        let given_back = [a, b].into_iter().filter(|page| range.contains(page));
        assert_eq!(
            written_since(&consumer, 2).0,
            given_back.collect::<Vec<_>>()
        );
    }
    end_epoch(&mut writer, 3);
    for page in [a, b] {
        writer.leave_alone(page);
    }
    // Of a store from before, which makes no difference.
    write(&mut writer, a, Kind::Write, 1);
    for epoch in 4..8 {
        end_epoch(&mut writer, epoch);
        assert_eq!(written_since(&consumer, epoch).0, [a, b]);
    }
    for page in [a, b] {
        writer.watch_again(page);
    }
    end_epoch(&mut writer, 8);
    assert_eq!(written_since(&consumer, 7).0, [a, b]);
    assert_eq!(written_since(&consumer, 8).0, [0; 0]);
}

#[test]
fn where_the_answer_would_not_be_exact_there_is_none() {
    let untracked = SegmentConfig {
        track: Track::None,
        ..small(1024)
    };
    let (_writer, consumer) = pair(&untracked);
    assert_eq!(
        consumer.pages_written_since(0),
        Err(WrittenError::NotTracked)
    );
    let (mut writer, consumer) = pair(&small(1024));
    writer.begin_epoch(1, 0);
    end_epoch(&mut writer, 1);
    let (epoch, ended) = (2, 1);
    assert_eq!(
        consumer.pages_written_since(2),
        Err(WrittenError::Future { epoch, ended })
    );
    for region in 0..100 {
        write(&mut writer, BASE + (region << 21), Kind::Write, 1);
    }
    let missing = 36;
    assert_eq!(
        consumer.pages_written_since(1),
        Err(WrittenError::TableFull { missing })
    );
}

#[test]
fn a_heat_map_is_a_copy_that_can_be_looked_into_and_compared() {
    let (mut writer, consumer) = pair(&small(1024));
    writer.begin_epoch(1, 0);
    let far = BASE + (9 << 21);
    write(&mut writer, far, Kind::Write, 5);
    write(&mut writer, BASE, Kind::Read, 2);
    let first = consumer.heat_map();
    write(&mut writer, far, Kind::Write, 3);
    let second = consumer.heat_map();
    assert_eq!(
        first.get(far + 7, Kind::Write).map(|heat| heat.count),
        Some(5)
    );
    assert_eq!(first.get(far, Kind::Read), None);
    assert_eq!((first.total(), first.len()), (7, 2));
    let between = second.since(&first);
    let pages: Vec<_> = between.iter().map(|heat| (heat.addr, heat.count)).collect();
    assert_eq!(pages, [(far, 3)]);
    assert!(second.since(&second).is_empty());
    let mapping = Mapping {
        start: far - 0x1000,
        end: far + 0x1000,
        ..Mapping::default()
    };
    assert_eq!(second.of(&mapping).map(|heat| heat.count).sum::<u64>(), 8);
    let words = consumer.heat_words();
    assert_eq!((words.regions.len(), words.cells.len()), (2, 2));
}

#[test]
fn a_sleeping_reader_wakes_with_each_epoch_and_at_the_end() {
    let (mut writer, mut consumer) = pair(&small(1024));
    let second = Some(Duration::from_secs(20));
    assert_eq!(consumer.wait(Some(Duration::ZERO)), Woken::TimedOut);
    let told = thread::spawn(move || {
        for epoch in 1..=3 {
            thread::sleep(Duration::from_millis(30));
            end_epoch(&mut writer, epoch);
        }
        thread::sleep(Duration::from_millis(30));
        writer.finish(End::Exited(0));
    });
    for number in 1..=3 {
        assert_eq!(consumer.wait(second), Woken::News);
        assert_eq!(
            consumer.next_epoch().map(|epoch| epoch.number),
            Some(number)
        );
    }
    assert_eq!(consumer.wait(second), Woken::Over);
    told.join().unwrap();
}

#[test]
fn what_is_never_read_wakes_nobody_twice() {
    let at_once = Some(Duration::ZERO);
    let (mut writer, mut events_only) = pair(&small(1024));
    let totals_only = Consumer::open(events_only.path()).unwrap();
    for number in 1..=3 {
        write(&mut writer, BASE, Kind::Write, 1);
        end_epoch(&mut writer, number);
        for consumer in [&events_only, &totals_only] {
            assert_eq!(consumer.wait(at_once), Woken::News);
        }
        assert_eq!(events_only.drain().count(), 1);
        for consumer in [&events_only, &totals_only] {
            assert_eq!(consumer.wait(at_once), Woken::TimedOut);
        }
    }
    // What is read in part is told again.
    for _ in 0..2 {
        write(&mut writer, BASE, Kind::Write, 1);
    }
    assert!(events_only.next().is_some());
    writer.finish(End::Exited(0));
    assert_eq!(events_only.wait(at_once), Woken::News);
    assert_eq!(totals_only.wait(at_once), Woken::News);
    assert!(events_only.next().is_some());
    for consumer in [&events_only, &totals_only] {
        assert_eq!(consumer.wait(at_once), Woken::Over);
    }
    // Who comes late has something to read.
    let late = Consumer::open(events_only.path()).unwrap();
    assert_eq!(late.wait(at_once), Woken::News);
}

#[test]
fn a_clone_reads_on_from_the_same_place_and_waits_on_its_own() {
    let at_once = Some(Duration::ZERO);
    let (mut writer, mut consumer) = pair(&small(1024));
    for page in 1..=3 {
        write(&mut writer, page << 12, Kind::Write, 1);
    }
    assert!(consumer.next().is_some());
    let (mut reader, waiter) = (consumer.clone(), consumer.clone());
    let rest: Vec<_> = consumer.drain().collect();
    drop(consumer);
    assert_eq!(rest.len(), 2);
    assert_eq!(reader.drain().collect::<Vec<_>>(), rest);
    for number in 1..=2 {
        end_epoch(&mut writer, number);
        assert_eq!(waiter.wait(at_once), Woken::News);
        assert_eq!(waiter.wait(at_once), Woken::TimedOut);
    }
}

#[test]
fn children_are_told_to_readers_early_and_late() {
    let (mut writer, mut consumer) = pair(&small(1024));
    let child = |pid| Child {
        process: ProcessId { pid, start: 7 },
        time_ns: 8,
    };
    writer.child(child(1));
    assert_eq!(consumer.wait(None), Woken::News);
    assert_eq!(consumer.next_child(), Some(child(1)));
    assert_eq!(consumer.next_child(), None);
    writer.child(child(2));
    assert_eq!(consumer.children(), [child(1), child(2)]);
    assert_eq!(consumer.next_child(), Some(child(2)));
}

#[test]
fn events_are_read_in_batches_with_exact_losses() {
    let (mut writer, mut consumer) = pair(&small(16));
    let mut events = [Event::default(); 10];
    for page in 0..12 {
        write(&mut writer, BASE + page * 4096, Kind::Write, 1);
    }
    assert_eq!(consumer.read(&mut events), Batch { read: 10, lost: 0 });
    assert_eq!(
        events.map(|event| (event.addr - BASE) / 4096),
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    );
    assert_eq!(consumer.read(&mut events), Batch { read: 2, lost: 0 });
    assert_eq!(consumer.read(&mut events), Batch::default());
    for page in 0..40 {
        write(&mut writer, BASE + page * 4096, Kind::Write, 1);
    }
    // Lapped: on at the middle of the ring.
    assert_eq!(consumer.read(&mut events), Batch { read: 8, lost: 32 });
    assert_eq!((events[0].addr - BASE) / 4096, 32);
    assert_eq!(consumer.position(), 52);
}
