//! A whole segment: what the writer puts in comes out, and its memory stays small.

use super::{drain, pair, path_of, small, unique_name, write};
use crate::{
    Consumer, Counter, CreateError, End, Epoch, Heat, Item, Kind, MappingEntry, Method, PROT_READ,
    PROT_WRITE, SegmentConfig, SegmentWriter, Sighting, Status,
};
use std::os::unix::fs::MetadataExt;
use std::{fs, io, process};

const BASE: u64 = 0x7f00_0000_0000;

#[test]
fn a_reader_gets_what_was_recorded() {
    let (mut writer, mut consumer) = pair(&small(1024));
    writer.begin_epoch(7, 123);
    write(&mut writer, BASE + 0x1234, Kind::Write, 3);
    let index = writer.region(BASE, Kind::Kernel);
    writer.record(index, Sighting::new(BASE, Kind::Kernel, Method::Relay));
    let (events, lost) = drain(&mut consumer);
    assert_eq!((events.len(), lost), (2, 0));
    assert_eq!(
        (events[0].addr, events[0].kind, events[0].count),
        (BASE + 0x1000, Kind::Write, 3)
    );
    assert_eq!((events[0].epoch, events[0].time_ns), (7, 123));
    assert_eq!(
        (events[1].kind, events[1].method),
        (Kind::Kernel, Method::Relay)
    );
    let info = consumer.info();
    assert_eq!(
        (info.totals, info.pages, info.epoch, info.epoch_ns),
        ([3, 0, 1], 2, 7, 123)
    );
    assert_eq!(info.command_line(), "prog -x two words");
    assert_eq!(info.events(), 4);
}

#[test]
fn a_page_of_several_kinds_counts_as_one_page() {
    let (mut writer, consumer) = pair(&small(1024));
    for kind in [Kind::Write, Kind::Kernel, Kind::Write, Kind::Read] {
        write(&mut writer, BASE, kind, 1);
    }
    assert_eq!(consumer.info().pages, 1);
    write(&mut writer, BASE + 4096, Kind::Read, 1);
    assert_eq!(consumer.info().pages, 2);
}

#[test]
fn the_heat_table_keeps_totals_after_the_ring_has_forgotten() {
    let (mut writer, consumer) = pair(&small(1024));
    for round in 0..5000u64 {
        write(&mut writer, BASE + (round % 50) * 4096, Kind::Write, 1);
    }
    write(&mut writer, BASE, Kind::Write, 10);
    assert_eq!(
        consumer.hottest(1),
        [Heat {
            addr: BASE,
            kind: Kind::Write,
            count: 110,
            epoch: 0,
        }]
    );
    assert_eq!(consumer.heat().map(|cell| cell.count).sum::<u64>(), 5010);
    assert_eq!(consumer.heat().count(), 50);
}

#[test]
fn a_full_heat_table_counts_what_it_misses() {
    let (mut writer, consumer) = pair(&small(1024));
    for region in 0..100 {
        write(&mut writer, BASE + (region << 21), Kind::Write, 2);
    }
    let info = consumer.info();
    assert_eq!(
        (info.heat_dropped, info.totals[0], info.pages),
        (72, 200, 64)
    );
    assert_eq!(consumer.heat().map(|cell| cell.count).sum::<u64>(), 128);
}

#[test]
fn indices_are_dense_and_stable() {
    let (mut writer, _consumer) = pair(&small(1024));
    let addresses = [0, 1 << 21, 0x40_0000, BASE, u64::MAX, 1 << 56];
    for (expected, addr) in addresses.into_iter().enumerate() {
        assert_eq!(writer.region(addr, Kind::Write).unwrap().get(), expected);
    }
    for (expected, addr) in addresses.into_iter().enumerate() {
        assert_eq!(writer.region(addr, Kind::Write).unwrap().get(), expected);
    }
}

#[test]
fn every_counter_page_can_be_used_when_regions_are_side_by_side() {
    let config = SegmentConfig {
        heat_pages: 4096,
        ..small(1024)
    };
    let (mut writer, consumer) = pair(&config);
    for region in 0..4096 / 2 {
        write(&mut writer, BASE + (region << 21), Kind::Write, 1);
        write(&mut writer, BASE + (region << 21), Kind::Kernel, 1);
    }
    assert_eq!(consumer.info().heat_dropped, 0);
    assert_eq!(consumer.heat().count(), 4096);
}

fn entry(start: u64, name: &str) -> MappingEntry<'_> {
    MappingEntry {
        start,
        end: start + 0x1000,
        offset: 5,
        prot: PROT_READ | PROT_WRITE,
        name,
        ..MappingEntry::default()
    }
}

#[test]
fn mappings_are_replaced_and_found_by_address() {
    let (mut writer, consumer) = pair(&small(1024));
    assert_eq!(consumer.mappings().unwrap().entries, []);
    for round in 1..=5 {
        let start = round << 20;
        let entries = [
            entry(start, "/usr/lib/libc.so.6"),
            entry(start + 0x3000, ""),
            entry(start + 0x4000, "[heap]"),
        ];
        writer.publish_mappings(entries.into_iter());
        let mappings = consumer.mappings().unwrap();
        assert_eq!((mappings.entries.len(), mappings.version), (3, round));
        assert_eq!(
            mappings.find(start + 0xfff).unwrap().name,
            "/usr/lib/libc.so.6"
        );
        assert_eq!(mappings.find(start + 0x1000), None);
        let heap = mappings.find(start + 0x4000).unwrap();
        assert_eq!(
            (heap.name.as_str(), heap.permissions().as_str(), heap.offset),
            ("[heap]", "rw-p", 5)
        );
        assert_eq!(mappings.find(0), None);
    }
}

#[test]
fn too_many_mappings_are_cut_and_said_to_be() {
    let (mut writer, consumer) = pair(&small(1024));
    writer.publish_mappings((0..300).map(|i| entry(i << 12, "x")));
    let mappings = consumer.mappings().unwrap();
    assert_eq!((mappings.entries.len(), mappings.truncated), (200, true));
    writer.publish_mappings((0..200).map(|i| entry(i << 12, "x")));
    assert!(!consumer.mappings().unwrap().truncated);
}

#[test]
fn names_that_do_not_fit_are_counted() {
    let (mut writer, consumer) = pair(&small(1024));
    let names: Vec<String> = (0..100)
        .map(|i| format!("/{i}/{}", "n".repeat(200)))
        .collect();
    writer.publish_mappings(names.iter().zip(0..).map(|(name, i)| entry(i << 12, name)));
    let mappings = consumer.mappings().unwrap();
    let named = mappings
        .entries
        .iter()
        .filter(|mapping| !mapping.name.is_empty())
        .count();
    assert_eq!(named as u64 + consumer.info().names_dropped, 100);
    assert_eq!(mappings.entries[7].name, names[7]);
}

#[test]
fn the_status_follows_the_process() {
    let (mut writer, consumer) = pair(&small(1024));
    assert_eq!(consumer.status(), Status::Running);
    writer.set_counter(Counter::Vcpus, 3);
    writer.finish(End::Signaled(11));
    assert_eq!(consumer.status(), Status::Ended(End::Signaled(11)));
    assert_eq!(consumer.info().counter(Counter::Vcpus), 3);
}

#[test]
fn a_consumer_survives_the_removal_of_the_segment() {
    let (mut writer, mut consumer) = pair(&small(1024));
    writer.unlink();
    assert!(!consumer.path().exists());
    write(&mut writer, BASE, Kind::Write, 1);
    writer.finish(End::Exited(0));
    drop(writer);
    assert!(matches!(consumer.next(), Some(Item::Event(_))));
    assert_eq!(consumer.status(), Status::Ended(End::Exited(0)));
}

#[test]
fn the_file_is_private_and_almost_empty() {
    let name = unique_name();
    let config = SegmentConfig::new(process::id());
    let mut writer = SegmentWriter::create_named(&config, &name).unwrap();
    for page in 0..1000 {
        write(&mut writer, BASE + page * 4096, Kind::Write, 1);
    }
    writer.publish_mappings((0..50).map(|i| entry(i << 12, "/usr/lib/some/library.so")));
    let facts = fs::metadata(path_of(&name)).unwrap();
    assert_eq!(facts.mode() & 0o777, 0o600);
    assert!(
        facts.blocks() * 512 < 400 * 1024,
        "{} KiB",
        facts.blocks() / 2
    );
}

#[test]
fn a_reader_adds_no_memory_to_the_file() {
    let name = unique_name();
    let mut writer =
        SegmentWriter::create_named(&SegmentConfig::new(process::id()), &name).unwrap();
    write(&mut writer, BASE, Kind::Write, 1);
    writer.publish_mappings([entry(BASE, "x")].into_iter());
    let blocks = || fs::metadata(path_of(&name)).unwrap().blocks();
    let before = blocks();
    let mut consumer = Consumer::open(&path_of(&name)).unwrap();
    drain(&mut consumer);
    assert_eq!(
        (
            consumer.heat().count(),
            consumer.mappings().unwrap().entries.len()
        ),
        (1, 1)
    );
    assert_eq!(blocks(), before);
}

#[test]
fn no_descriptor_stays_open() {
    let name = unique_name();
    let _writer = SegmentWriter::create_named(&small(1024), &name).unwrap();
    let _consumer = Consumer::open(&path_of(&name)).unwrap();
    let points_at_ours = |file: io::Result<fs::DirEntry>| {
        fs::read_link(file.unwrap().path()).is_ok_and(|target| target.ends_with(&name))
    };
    assert!(!fs::read_dir("/proc/self/fd").unwrap().any(points_at_ours));
}

#[test]
fn sizes_out_of_range_are_refused() {
    for config in [
        small(1000),
        small(0),
        SegmentConfig {
            heat_pages: 65_537,
            ..small(1024)
        },
        SegmentConfig {
            map_entries: 0,
            ..small(1024)
        },
        SegmentConfig {
            string_bytes: u32::MAX,
            ..small(1024)
        },
    ] {
        let error = SegmentWriter::create_named(&config, &unique_name()).unwrap_err();
        assert!(matches!(error, CreateError::Config { .. }), "{error}");
    }
}

#[test]
fn live_segments_are_listed_by_pid() {
    let mut child = process::Command::new("sleep").arg("1000").spawn().unwrap();
    let writer = SegmentWriter::create(&SegmentConfig {
        pid: child.id(),
        ..small(1024)
    })
    .unwrap();
    let is_listed = || crate::list().iter().any(|info| info.pid == child.id());
    assert!(is_listed());
    assert_eq!(Consumer::attach(child.id()).unwrap().pid(), child.id());
    writer.unlink();
    assert!(!is_listed());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn finished_epochs_are_told_as_they_were() {
    let (mut writer, consumer) = pair(&small(1024));
    let epoch = |number| Epoch {
        number,
        start_ns: 10,
        end_ns: 20,
        cost_ns: 3,
        ticks: 4,
        written: 5,
        read: 6,
        kernel: 7,
        touched: 8,
        left_alone: 9,
    };
    assert_eq!(consumer.epochs(), []);
    writer.end_epoch(epoch(1));
    writer.end_epoch(epoch(2));
    assert_eq!(consumer.epochs(), [epoch(1), epoch(2)]);
}

#[test]
fn each_finished_epoch_comes_once() {
    let (mut writer, mut consumer) = pair(&SegmentConfig {
        epoch_records: 4,
        ..small(1024)
    });
    let mut end = |number| {
        writer.end_epoch(Epoch {
            number,
            ..Epoch::default()
        });
    };
    assert_eq!(consumer.next_epoch(), None);
    end(1);
    assert_eq!(consumer.next_epoch().unwrap().number, 1);
    assert_eq!(consumer.next_epoch(), None);
    (2..=12).for_each(&mut end);
    let mut numbers = Vec::new();
    while let Some(epoch) = consumer.next_epoch() {
        numbers.push(epoch.number);
    }
    assert_eq!(numbers, [11, 12], "after a lap, the newer half of the ring");
    consumer.rewind();
    assert_eq!(consumer.next_epoch().unwrap().number, 9);
    consumer.skip_to_now();
    assert_eq!(consumer.next_epoch(), None);
}

#[test]
fn an_event_finds_its_mapping_after_another_has_taken_the_place() {
    let (mut writer, mut consumer) = pair(&small(1024));
    let old = MappingEntry {
        id: 3,
        born: 1,
        retired: 2,
        ..entry(BASE, "old")
    };
    let new = MappingEntry {
        id: 4,
        born: 2,
        ..entry(BASE, "new")
    };
    writer.publish_mappings([new, old].into_iter());
    for mapping in [3, 4, 5] {
        let index = writer.region(BASE, Kind::Write);
        let seen = Sighting::new(BASE, Kind::Write, Method::DirtyRing);
        writer.record(index, Sighting { mapping, ..seen });
    }
    let mappings = consumer.mappings().unwrap();
    let names: Vec<_> = drain(&mut consumer)
        .0
        .iter()
        .map(|event| mappings.of(event).map(|mapping| mapping.name.clone()))
        .collect();
    assert_eq!(names, [Some("old".into()), Some("new".into()), None]);
    assert_eq!(mappings.find(BASE).unwrap().name, "new");
}
