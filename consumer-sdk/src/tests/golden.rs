//! What is published stays as it is: layout and contents against files that were written down once.
//!
//! `golden/` has, for each version of the layout, where every field is, and the words of a small segment. A test here
//! that fails means that readers out there would misread: a new minor version ([`MINOR`]) with files of its own if
//! old readers only miss something, else a new [`MAJOR`]. `VMMLOAD_BLESS=1 cargo test -p vmmload-consumer golden`
//! writes the files of a version that has none yet; those that are there are not written again.

use super::hostile::Fake;
use super::{drain, path_of, small, unique_name, write};

use crate::wire::{
    EpochSlot, EventRecord, Header, LinkSlot, MAJOR, MINOR, MapRecord, MarkSlot, PAGE_SIZE, WORD,
    field,
};
use crate::{
    Child, Consumer, Counter, End, Epoch, Kind, MappingClass, MappingEntry, PROT_READ, PROT_WRITE,
    ProcessId, SegmentConfig, SegmentWriter, Status, sys,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::mem::{offset_of, size_of};
use std::path::PathBuf;

/// Every version that was ever given away.
const VERSIONS: [(u32, u32); 2] = [(1, 0), (1, 1)];

fn golden(version: (u32, u32), name: &str) -> PathBuf {
    let (major, minor) = version;
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{major}.{minor}-{name}"))
}

/// Compares, or writes what is not there yet, if asked to.
fn check(name: &str, found: &str) {
    let path = golden((MAJOR, MINOR), name);
    if !path.exists() && std::env::var_os("VMMLOAD_BLESS").is_some() {
        fs::write(&path, found).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    for (number, (written, found)) in written.lines().zip(found.lines()).enumerate() {
        assert_eq!(written, found, "{}:{}", path.display(), number + 1);
    }
    assert_eq!(
        written.lines().count(),
        found.lines().count(),
        "{}",
        path.display()
    );
}

/// `offset size structure.field` of each field, which must be all there are.
macro_rules! fields {
    ($out:ident, $type:ident: $($field:ident),+ $(,)?) => {
        let mut end = 0;
        $(
            let value = |record: &$type| size_of_val(&record.$field);
            let size = value(&zerocopy::FromZeros::new_zeroed());
            let offset = offset_of!($type, $field);
            assert_eq!(offset, end, "{}.{}", stringify!($type), stringify!($field));
            end = offset + size;
            writeln!($out, "{offset:>4} {size:>4} {}.{}", stringify!($type), stringify!($field)).unwrap();
        )+
        assert_eq!(end, size_of::<$type>(), "{}", stringify!($type));
    };
}

fn layout() -> String {
    let mut out = String::new();
    fields!(out, Header: magic, version, file_len, page_size, header_len, pid, uid, writer_start, interval_ns,
        track, command_len, ring_offset, ring_records, event_size, regions_offset, cells_offset, heat_pages,
        pages_per_region, maps_offset, map_entries, map_size, strings_offset, string_bytes, start_monotonic_ns,
        start_realtime_ns, parent_pid, parent_start, epochs_offset, epoch_records, epoch_size, max_overhead, buffer,
        command, session_pid, session_start, links_offset, link_records, link_size, marks_offset, mark_records,
        mark_size, _reserved_1, ring_head,
        _reserved_2, ring_backed, ring_dropped, heat_used, heat_dropped, pages, totals, epoch, epoch_ns, end,
        maps_version, maps_state, strings_used, names_dropped, counters, epochs_head, epochs_backed, links_head,
        links_backed, epoch_done, news, marks_head, marks_backed);
    fields!(out, EventRecord: sequence, tagged_addr, time_ns, epoch, count, mapping, bytes);
    fields!(out, EpochSlot: sequence, start_ns, end_ns, cost_ns, epoch, ticks, written, read, kernel, touched,
        left_alone, _reserved);
    fields!(out, LinkSlot: sequence, pid, start, time_ns);
    fields!(out, MarkSlot: sequence, time_ns, name, epoch, thread, _reserved);
    fields!(out, MapRecord: start, end, offset, prot, name, id, class, thread, born, retired, _reserved);
    out
}

const BASE: u64 = 0x7f00_0000_0000;

/// A segment with something in each part, whose contents depend on nothing.
fn sample(name: &str) -> SegmentWriter {
    let config = SegmentConfig {
        start: Some(99),
        session: Some(ProcessId { pid: 3, start: 33 }),
        parent: Some(ProcessId { pid: 2, start: 22 }),
        ring_records: 16,
        epoch_records: 4,
        link_records: 4,
        heat_pages: 8,
        map_entries: 8,
        string_bytes: 4096,
        mark_records: 4,
        buffer: 512,
        ..small(16)
    };
    let mut writer = SegmentWriter::create_named(&config, name).unwrap();
    for number in 1..=5 {
        writer.begin_epoch(number, 1000 * u64::from(number));
        for page in 0..6 {
            let kind = Kind::ALL[page as usize % 3];
            write(
                &mut writer,
                BASE + page * 0x1000 + ((page % 2) << 21),
                kind,
                1,
            );
        }
        let name = ["even", "odd"][number as usize % 2];
        writer.mark(name, 1000 * u64::from(number) + 500, 70 + number);
        writer.end_epoch(Epoch {
            number,
            start_ns: 1000 * u64::from(number),
            end_ns: 1000 * u64::from(number) + 999,
            cost_ns: 7,
            ticks: 1,
            written: 2,
            read: 2,
            kernel: 2,
            touched: 6,
            left_alone: number,
        });
    }
    writer.child(Child {
        process: ProcessId { pid: 4, start: 44 },
        time_ns: 3500,
    });
    writer.publish_mappings([entry(0), entry(1)].into_iter());
    writer.publish_mappings([entry(0), entry(1), entry(2)].into_iter());
    writer.leave_alone(BASE);
    writer.set_counter(Counter::VmExits, 17);
    writer.finish(End::Signaled(9));
    writer
}

fn entry(number: u32) -> MappingEntry<'static> {
    let start = BASE + (u64::from(number) << 21);
    MappingEntry {
        start,
        end: start + (1 << 21),
        offset: 0x3000,
        prot: PROT_READ | PROT_WRITE,
        name: ["/usr/bin/true", "[heap]", ""][number as usize],
        id: number + 1,
        class: [
            MappingClass::File,
            MappingClass::Heap,
            MappingClass::ThreadStack,
        ][number as usize],
        thread: number / 2 * 6,
        born: number,
        retired: number / 2 * 4,
    }
}

/// Words that depend on when and by whom the sample was made.
const CHANGING: [usize; 3] = [
    field!(pid),
    field!(start_monotonic_ns),
    field!(start_realtime_ns),
];

/// The words that are not zero: `offset value`.
fn words_of(name: &str) -> String {
    let bytes = fs::read(path_of(name)).unwrap();
    let (words, _) = bytes.as_chunks::<WORD>();
    let mut out = String::new();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        if word != 0 && !CHANGING.contains(&index) {
            writeln!(out, "{:#07x} {word:#018x}", index * WORD).unwrap();
        }
    }
    out
}

#[test]
fn golden_layout_has_not_changed() {
    assert_eq!(VERSIONS.last(), Some(&(MAJOR, MINOR)));
    check("layout.txt", &layout());
}

#[test]
fn golden_segment_is_written_word_for_word() {
    let name = unique_name();
    let _writer = sample(&name);
    check("segment.txt", &words_of(&name));
}

#[test]
fn golden_segments_of_every_version_are_read() {
    for version in VERSIONS {
        let text = fs::read_to_string(golden(version, "segment.txt")).unwrap();
        let mut words = BTreeMap::new();
        for line in text.lines() {
            let (offset, word) = line.split_once(' ').unwrap();
            let number = |text: &str| u64::from_str_radix(&text[2..], 16).unwrap();
            words.insert(number(offset) as usize, number(word));
        }
        let mut bytes = vec![0; words[&offset_of!(Header, file_len)] as usize];
        let identity = u64::from(sys::effective_uid()) << 32 | 4711;
        words.insert(offset_of!(Header, pid), identity);
        for (offset, word) in words {
            bytes[offset..offset + WORD].copy_from_slice(&word.to_le_bytes());
        }
        let path = path_of(&unique_name());
        fs::write(&path, bytes).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, mode).unwrap();
        let consumer = Consumer::open(&path);
        fs::remove_file(&path).unwrap();
        let consumer = consumer.unwrap();
        has_marks(&consumer, version);
        is_sample(consumer);
    }
}

/// Whether a reader finds the marks that [`sample`] has put in, since there are marks: the last 4 of 5.
fn has_marks(consumer: &Consumer, version: (u32, u32)) {
    let marks = consumer.marks();
    let shown: Vec<_> = marks
        .iter()
        .map(|mark| (&*mark.name, mark.time_ns, mark.epoch, mark.thread))
        .collect();
    match version {
        (1, 0) => assert_eq!((shown, consumer.info().marks), (vec![], 0)),
        _ => {
            let second = [("even", 2500, 2, 72), ("odd", 3500, 3, 73)];
            let last = [("even", 4500, 4, 74), ("odd", 5500, 5, 75)];
            assert_eq!(shown, [second, last].concat());
        }
    }
}

#[test]
fn a_reader_of_an_older_version_finds_all_that_it_knows() {
    let name = unique_name();
    let _writer = sample(&name);
    let mut bytes = fs::read(path_of(&name)).unwrap();
    // It takes no notice of what was zero in its time, nor of the minor version.
    let later = [
        field!(marks_offset),
        field!(mark_records),
        field!(marks_head),
        field!(marks_backed),
    ];
    for index in later {
        bytes[index * WORD..(index + 1) * WORD].fill(0);
    }
    let own = u64::from(sys::effective_uid()) << 32 | 4711;
    bytes[field!(pid) * WORD..][..WORD].copy_from_slice(&own.to_le_bytes());
    let fake = Fake::new(&bytes);
    let consumer = fake.open().unwrap();
    has_marks(&consumer, (1, 0));
    is_sample(consumer);
}

/// Whether a reader finds what [`sample`] has put in.
fn is_sample(mut consumer: Consumer) {
    let info = consumer.info();
    assert_eq!((info.pid, info.buffer, info.epoch), (4711, 512, 5));
    assert_eq!(
        consumer.id(),
        ProcessId {
            pid: 4711,
            start: 99
        }
    );
    assert_eq!(info.session, ProcessId { pid: 3, start: 33 });
    assert_eq!(info.parent, Some(ProcessId { pid: 2, start: 22 }));
    assert_eq!(info.command_line(), "prog -x two words");
    assert_eq!((info.totals, info.pages), ([10, 10, 10], 6));
    assert_eq!(info.counter(Counter::VmExits), 17);
    // The ring holds the last 16 of 30.
    let (events, lost) = drain(&mut consumer);
    assert_eq!((events.len(), lost, consumer.position()), (16, 0, 30));
    let last = events[15];
    assert_eq!(
        (last.addr, last.kind, last.epoch, last.time_ns, last.count),
        (BASE + 0x5000 + (1 << 21), Kind::Kernel, 5, 5000, 1)
    );
    let epochs = consumer.epochs();
    let left: Vec<_> = epochs.iter().map(|epoch| epoch.left_alone).collect();
    assert_eq!((epochs[3].end_ns, left), (5999, vec![2, 3, 4, 5]));
    let children: Vec<_> = consumer
        .children()
        .iter()
        .map(|child| child.process)
        .collect();
    assert_eq!(children, [ProcessId { pid: 4, start: 44 }]);
    let written = consumer.pages_written_since(5).unwrap();
    assert_eq!((written.pages, written.epoch), (vec![BASE], 5));
    assert_eq!(consumer.heat_map().total(), 30);
    let mappings = consumer.mappings().unwrap();
    let names: Vec<_> = mappings
        .entries
        .iter()
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!(names, ["/usr/bin/true", "[heap]"]);
    assert_eq!(
        (mappings.retired[0].name.as_str(), mappings.version),
        ("[stack:6]", 2)
    );
    assert_eq!(consumer.status(), Status::Ended(End::Signaled(9)));
}

#[test]
fn the_description_has_each_header_field_where_it_is() {
    let text = include_str!("../../ABI.md");
    let mut described = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if let [_, offset, _, name, _, ..] = cells[..]
            && let Ok(offset) = offset.parse::<usize>()
            && cells.len() >= 6
            && !name.is_empty()
        {
            described.insert(name.to_owned(), offset);
        }
    }
    for line in layout().lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let Some(name) = fields[2].strip_prefix("Header.") else {
            continue;
        };
        if !name.starts_with('_') {
            let offset = fields[0].parse().unwrap();
            assert_eq!(described.get(name), Some(&offset), "{name}");
        }
    }
    for (name, size) in [
        ("event", size_of::<EventRecord>()),
        ("epoch", size_of::<EpochSlot>()),
        ("link", size_of::<LinkSlot>()),
        ("mark", size_of::<MarkSlot>()),
        ("map", size_of::<MapRecord>()),
    ] {
        assert!(
            text.contains(&format!("{name}_size | {size}")),
            "{name}_size"
        );
    }
    assert!(text.contains(&format!("(version {MAJOR}.{MINOR})")));
    assert!(size_of::<Header>() <= PAGE_SIZE);
}
