//! Segments that lie: every one is refused or read without a panic.

use super::{drain, path_of, small, unique_name, write};
use crate::wire::field;
use crate::{
    AttachError, Batch, Child, Consumer, Epoch, Event, Kind, MappingEntry, Mappings, ProcessId,
    SegmentWriter,
};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

/// A file in /dev/shm that goes away with the test.
pub(super) struct Fake(pub(super) PathBuf);

impl Fake {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self::named(&unique_name(), bytes)
    }

    pub(super) fn named(name: &str, bytes: &[u8]) -> Self {
        let path = path_of(name);
        let mut file = fs::OpenOptions::new()
            .mode(0o600)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        Self(path)
    }

    pub(super) fn open(&self) -> Result<Consumer, AttachError> {
        Consumer::open(&self.0)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Records in the rings of [`valid`].
pub(super) const RECORDS: u32 = 64;

/// The bytes of a small segment with something of everything in it.
pub(super) fn valid() -> Vec<u8> {
    let name = unique_name();
    let mut config = small(RECORDS);
    (config.heat_pages, config.map_entries, config.string_bytes) = (4, 8, 4096);
    (config.epoch_records, config.link_records) = (RECORDS, RECORDS);
    config.mark_records = RECORDS;
    let mut writer = SegmentWriter::create_named(&config, &name).unwrap();
    for number in 1..100 {
        writer.begin_epoch(number, 7);
        let page = u64::from(number) << 12;
        for kind in Kind::ALL {
            write(&mut writer, page, kind, 1);
        }
        writer.child(Child {
            process: ProcessId {
                pid: number,
                start: 8,
            },
            time_ns: 9,
        });
        writer.mark(["load", "run"][number as usize % 2], 10, number);
        writer.end_epoch(Epoch {
            number,
            ..Epoch::default()
        });
    }
    let entry = |start: u64, retired| MappingEntry {
        start,
        end: start + (64 << 12),
        prot: 3,
        name: "/bin/true",
        id: 1,
        retired,
        ..MappingEntry::default()
    };
    let entries = [entry(0, 0), entry(1 << 18, 0), entry(1 << 19, 50)];
    writer.publish_mappings(entries.into_iter());
    fs::read(path_of(&name)).unwrap()
}

fn with_word(index: usize, value: u64) -> Vec<u8> {
    let mut bytes = valid();
    bytes[index * 8..index * 8 + 8].copy_from_slice(&value.to_le_bytes());
    bytes
}

/// Uses everything a consumer can do. Whatever the segment says, that takes a bounded number of calls.
pub(super) fn exercise(consumer: &mut Consumer) {
    consumer.rewind();
    read_records(consumer);
    consumer.rewind();
    let mappings = consumer.mappings().unwrap_or_default();
    read_events(consumer, &mappings);
    let _ = (consumer.hottest(3), consumer.status(), consumer.session());
    for region in consumer.huge_pages() {
        let _ = (region.mappings(&mappings), region.utilisation());
    }
    let (map, words) = (consumer.heat_map(), consumer.heat_words());
    assert_eq!(words.regions.len(), words.cells.len());
    let later = consumer.heat_map().since(&map);
    for mapping in mappings.entries.iter().chain(&mappings.retired) {
        let _ = (map.of(mapping).count(), mapping.permissions());
        let _ = (map.get(mapping.start, Kind::Write), later.len());
    }
    for epoch in [0, 1, 98, u32::MAX] {
        let _ = consumer.pages_written_since(epoch);
    }
    let info = consumer.info();
    let _ = (info.command_line(), info.events());
    let _ = (consumer.wait(Some(Duration::ZERO)), consumer.id());
    consumer.skip_to_now();
}

/// Everything in the rings, one by one.
fn read_records(consumer: &mut Consumer) {
    // A reader that has just begun is a lap behind at most, unless the writer is at work.
    let most = 10 * RECORDS as usize;
    for _ in 0..most {
        if consumer.next().is_none() {
            break;
        }
    }
    for _ in 0..most {
        if consumer.next_epoch().is_none() {
            break;
        }
    }
    for _ in 0..most {
        if consumer.next_child().is_none() {
            break;
        }
    }
    for _ in 0..most {
        let before = consumer.marks_lost();
        let found = consumer.next_mark().is_some();
        assert!(consumer.marks_lost() >= before);
        if !found {
            break;
        }
    }
    assert!(consumer.epochs().len() <= most && consumer.children().len() <= most);
    assert!(consumer.marks().len() <= most);
}

/// The ring of events, many at a time.
fn read_events(consumer: &mut Consumer, mappings: &Mappings) {
    let mut events = [Event::default(); 48];
    for size in [0, 1, 7, 48, 48, 48] {
        let before = consumer.position();
        let Batch { read, lost } = consumer.read(&mut events[..size]);
        assert!(read <= size);
        assert_eq!(before + read as u64 + lost, consumer.position());
        for event in &events[..read] {
            let _ = mappings.of(event);
        }
    }
}

#[test]
fn the_unchanged_copy_is_accepted() {
    let fake = Fake::new(&valid());
    let mut consumer = fake.open().unwrap();
    let (events, lost) = drain(&mut consumer);
    assert_eq!((events.len(), lost), (64, 0));
    assert_eq!(
        (consumer.epochs().len(), consumer.children().len()),
        (64, 64)
    );
    let marks = consumer.marks();
    assert_eq!((marks.len(), &*marks[63].name), (64, "run"));
    let mappings = consumer.mappings().unwrap();
    assert_eq!((mappings.entries.len(), mappings.retired.len()), (2, 1));
    exercise(&mut consumer);
}

#[test]
fn a_truncated_file_is_refused() {
    let bytes = valid();
    for len in [0, 1, 4095] {
        let error = Fake::new(&bytes[..len]).open().unwrap_err();
        assert!(
            matches!(error, AttachError::NotReady { .. }),
            "{len}: {error}"
        );
    }
    for len in [4096, bytes.len() - 4096, bytes.len() - 1] {
        let error = Fake::new(&bytes[..len]).open().unwrap_err();
        assert!(
            matches!(
                error,
                AttachError::Layout {
                    field: "file_len",
                    ..
                }
            ),
            "{len}: {error}"
        );
    }
}

#[test]
fn a_wrong_magic_and_a_wrong_version_are_refused() {
    let error = Fake::new(&with_word(field!(magic), 17)).open().unwrap_err();
    assert!(
        matches!(error, AttachError::Magic { magic: 17, .. }),
        "{error}"
    );
    let error = Fake::new(&with_word(field!(version), 2 << 32))
        .open()
        .unwrap_err();
    assert!(
        matches!(error, AttachError::Version { found: 2, .. }),
        "{error}"
    );
    let error = Fake::new(&with_word(field!(version), 0))
        .open()
        .unwrap_err();
    assert!(matches!(error, AttachError::NotReady { .. }), "{error}");
    // A later minor version only adds.
    Fake::new(&with_word(field!(version), 1 << 32 | 9))
        .open()
        .unwrap();
}

#[test]
fn offsets_and_sizes_out_of_range_are_refused() {
    let fields = [
        field!(file_len),
        field!(page_size),
        field!(ring_offset),
        field!(ring_records),
        field!(regions_offset),
        field!(cells_offset),
        field!(links_offset),
        field!(marks_offset),
        field!(mark_records),
        field!(heat_pages),
        field!(maps_offset),
        field!(map_entries),
        field!(strings_offset),
        field!(string_bytes),
    ];
    for index in fields {
        for value in [0, 1, 4097, 1 << 20, 1 << 40, u64::MAX] {
            let error = Fake::new(&with_word(index, value)).open().unwrap_err();
            assert!(
                matches!(error, AttachError::Layout { .. }),
                "word {index}: {error}"
            );
        }
    }
}

#[test]
fn counts_out_of_range_do_no_harm() {
    let fields = [
        field!(ring_head),
        field!(ring_backed),
        field!(epochs_head),
        field!(epochs_backed),
        field!(marks_head),
        field!(marks_backed),
        field!(heat_used),
        field!(epoch),
        field!(end),
        field!(maps_version),
        field!(maps_state),
        field!(strings_used),
        field!(totals),
    ];
    for index in fields {
        for value in [0, 1, 65, 1 << 31, 1 << 63, u64::MAX] {
            exercise(&mut Fake::new(&with_word(index, value)).open().unwrap());
        }
    }
}

#[test]
fn links_and_files_that_others_can_write_are_refused() {
    let fake = Fake::new(&valid());
    let link = Fake(path_of(&unique_name()));
    symlink(&fake.0, &link.0).unwrap();
    assert!(matches!(link.open().unwrap_err(), AttachError::Open { .. }));
    fs::set_permissions(&fake.0, std::os::unix::fs::PermissionsExt::from_mode(0o622)).unwrap();
    assert!(matches!(
        fake.open().unwrap_err(),
        AttachError::Foreign { .. }
    ));
    let absent = Consumer::open(&path_of(&unique_name())).unwrap_err();
    assert!(matches!(absent, AttachError::NotFound { .. }));
}

/// A segment of a sleeping process, in a file of that process's pid.
fn planted(user: u32) -> (std::process::Child, Fake) {
    let mut sleep = std::process::Command::new("sleep");
    let process = std::os::unix::process::CommandExt::uid(sleep.arg("1000"), user);
    let process = process.spawn().unwrap();
    let pid = process.id();
    let mut bytes = valid();
    bytes[32..36].copy_from_slice(&pid.to_le_bytes());
    let fake = Fake::new(&bytes);
    let path = path_of(&crate::segment_name(pid));
    fs::rename(&fake.0, &path).unwrap();
    std::mem::forget(fake);
    (process, Fake(path))
}

#[test]
fn the_segment_of_a_process_comes_from_its_user_or_not_at_all() {
    const NOBODY: u32 = 65_534;
    let user = crate::sys::effective_uid();
    let (mut own, fake) = planted(user);
    assert_eq!(Consumer::attach(own.id()).unwrap().pid(), own.id());
    // Who is not root can neither give files away nor start another user's process.
    if user == 0 {
        let (mut other, shared) = planted(NOBODY);
        for (file, expected) in [(&fake, 0), (&shared, NOBODY)] {
            std::os::unix::fs::chown(&file.0, Some(NOBODY - 1), None).unwrap();
            let pid = if expected == 0 { own.id() } else { other.id() };
            let error = Consumer::attach(pid).unwrap_err();
            assert!(
                matches!(error, AttachError::Foreign { owner: 65_533, expected: user, .. } if user == expected),
                "{error}"
            );
            assert!(Consumer::open(&file.0).is_ok(), "named by its path");
        }
        std::os::unix::fs::chown(&shared.0, Some(NOBODY), None).unwrap();
        assert_eq!(Consumer::attach(other.id()).unwrap().pid(), other.id());
        let is_among = |found: Vec<Consumer>| found.iter().any(|one| one.pid() == other.id());
        assert!(is_among(crate::consumers(|_| true)), "root sees all");
        assert!(is_among(crate::readable_consumers(|_| true)));
        other.kill().and_then(|()| other.wait()).unwrap();
    }
    own.kill().and_then(|()| own.wait()).unwrap();
}

#[test]
fn the_segment_of_another_process_is_refused_under_the_name_of_this_one() {
    let fake = Fake::new(&valid());
    let nobody = (3 << 30) + std::process::id() * 64 + 63;
    let path = path_of(&crate::segment_name(nobody));
    fs::rename(&fake.0, &path).unwrap();
    let _moved = Fake(path);
    let error = Consumer::attach(nobody).unwrap_err();
    assert!(
        matches!(error, AttachError::Layout { field: "pid", .. }),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        if let Ok(mut consumer) = Fake::new(&bytes).open() {
            exercise(&mut consumer);
        }
    }

    #[test]
    fn random_damage_behind_the_identity_never_panics(
        damage in prop::collection::vec((16usize..60_000, any::<u64>()), 1..200),
    ) {
        let mut bytes = valid();
        for (offset, value) in damage {
            let end = (offset + 8).min(bytes.len());
            let start = offset.min(end);
            bytes[start..end].copy_from_slice(&value.to_le_bytes()[..end - start]);
        }
        // The parts' places stay right, so that the damage inside them is reached.
        let original = valid();
        for word in (2..24).chain(56..62) {
            bytes[word * 8..word * 8 + 8].copy_from_slice(&original[word * 8..word * 8 + 8]);
        }
        exercise(&mut Fake::new(&bytes).open().unwrap());
    }
}
