//! Summaries of segments that the test writes.

use super::*;
use crate::cli::testing::Process;
use crate::tracking::marks::MarkRow;
use vmmload_consumer::{
    Epoch, MappingEntry, Method, PAGE_SIZE, PROT_READ, PROT_WRITE, SegmentConfig, Sighting,
};

const PAGE: u64 = PAGE_SIZE as u64;
const HEAP: u64 = 0x10000;
const ANONYMOUS: u64 = 0x80_0000;

fn touch(process: &mut Process, addr: u64, kind: Kind, count: u32) {
    let index = process.writer.region(addr, kind);
    let seen = Sighting::new(addr, kind, Method::DirtyRing);
    process.writer.record(index, Sighting { count, ..seen });
}

fn epoch(number: u32, touched: u32, ticks: u32) -> Epoch {
    let start_ns = u64::from(number) * 100_000_000;
    Epoch {
        number,
        start_ns,
        end_ns: start_ns + 100_000_000 * u64::from(ticks),
        cost_ns: 5_000_000,
        ticks,
        touched,
        ..Epoch::default()
    }
}

/// A process whose segment is made with `config`, and has two mappings with events and one without.
fn busy_process(config: impl FnOnce(&mut SegmentConfig)) -> Process {
    let mut process = Process::start_with(b"prog\0arg\0", config);
    let entry = |start, name| MappingEntry {
        start,
        end: start + 0x4000,
        prot: PROT_READ | PROT_WRITE,
        name,
        ..MappingEntry::default()
    };
    let gone = MappingEntry {
        retired: 2,
        ..entry(0x9_0000, "/tmp/gone")
    };
    let entries = [entry(HEAP, "[heap]"), entry(ANONYMOUS, ""), gone];
    process.writer.publish_mappings(entries.into_iter());
    for (addr, kind, count) in [
        (HEAP, Kind::Write, 5),
        (HEAP, Kind::Kernel, 2),
        (HEAP + PAGE, Kind::Write, 1),
        (HEAP + 2 * PAGE, Kind::Kernel, 1),
        (ANONYMOUS, Kind::Write, 1_000_000),
        (ANONYMOUS + PAGE, Kind::Read, 7),
        (0x9_0000, Kind::Write, 1),
        (0x4000_0000, Kind::Write, 1),
    ] {
        touch(&mut process, addr, kind, count);
    }
    process.writer.set_counter(Counter::SyscallsRelayed, 4242);
    process
}

fn summary(process: &Process, facts: &Facts) -> String {
    let consumer = Consumer::attach(process.pid()).unwrap();
    Summary::of(&consumer, facts).to_string()
}

/// What the line that begins with `label` says.
#[track_caller]
fn said<'t>(text: &'t str, label: &str) -> &'t str {
    let found = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(label));
    found.unwrap_or_else(|| panic!("no {label}: {text}")).trim()
}

#[test]
fn the_table_has_a_line_for_each_name() {
    let row = |name: &str, pages, events, bytes| Row {
        name: name.into(),
        pages,
        events,
        bytes,
    };
    let facts = Facts {
        rows: vec![
            row("", 2, [1_000_000, 7, 0], 0),
            row("[heap]", 3, [6, 0, 3], 5000),
            row("/tmp/gone", 1, [1, 0, 0], 0),
        ],
        ..Facts::default()
    };
    let text = summary(&busy_process(|_| {}), &facts);
    let table: Vec<&str> = text.lines().skip_while(|line| !line.is_empty()).collect();
    assert_eq!(
        table[1..],
        [
            "  PAGES      WRITE  READ  KERNEL  KERNEL WROTE  MAPPING",
            "      2  1,000,000     7       0             0  (anonymous memory)",
            "      3          6     0       3         4 KiB  [heap]",
            "      1          1     0       0             0  /tmp/gone",
        ]
    );
}

#[test]
fn marks_have_a_line_for_each_name_and_not_for_too_many() {
    let row = |number: u64| MarkRow {
        name: format!("step\t{number}"),
        count: 1234 * number,
        first: Duration::from_millis(12 * number),
        last: Duration::from_secs(number * 10),
    };
    let totals = |names: u64, others| Facts {
        marks: MarkTotals {
            rows: (1..=names).map(row).collect(),
            others,
        },
        ..Facts::default()
    };
    let process = busy_process(|config| config.track = Track::None);
    let shown = |facts: &Facts| summary(&process, facts);
    assert_eq!(
        shown(&totals(2, 0)).split_once("\n\n").unwrap().1,
        "  MARKS    FIRST      LAST  NAME\n  1,234  0.012 s  10.000 s  step\\t1\n  2,468  0.024 s  20.000 s  step\\t2\n"
    );
    assert!(!shown(&totals(0, 0)).contains("MARKS"));
    assert!(!shown(&totals(20, 0)).contains("more names"));
    assert!(shown(&totals(21, 0)).ends_with("step\\t20\n  and 1 more name, 25,914 marks\n"));
    assert!(shown(&totals(1024, 7)).contains("\n  and more than 1,004 names, "));
}

/// What the lines above the table are about.
fn labels(text: &str) -> Vec<&str> {
    text.lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line[2..14].trim_end())
        .collect()
}

#[test]
fn lines_come_in_an_order_that_goes_from_time_to_mappings() {
    let mut process = busy_process(|config| config.track = Track::ReadWrite);
    process.writer.begin_epoch(1, 0);
    process.writer.end_epoch(epoch(1, 1, 1));
    process.writer.set_counter(Counter::KernelBytes, 3 << 20);
    process.writer.set_counter(Counter::UnknownCalls, 12);
    let facts = Facts {
        elapsed: Duration::from_millis(1500),
        unknown_calls: vec![("ioctl".into(), 10), ("keyctl".into(), 2)],
        ..Facts::default()
    };
    let text = summary(&process, &facts);
    assert_eq!(
        labels(&text),
        [
            "time",
            "epochs",
            "tracking",
            "working set",
            "pages",
            "resident",
            "events",
            "kernel",
            "calls",
            "exits",
            "threads",
            "unknown",
            "huge pages",
        ]
    );
    assert!(text.starts_with("vmmload: summary of process "), "{text}");
    assert_eq!(said(&text, "time"), "1.500 s");
    assert_eq!(
        said(&text, "kernel"),
        "3.0 MiB were written for it by system calls"
    );
    assert_eq!(said(&text, "calls"), "4,242 relayed, 0 emulated");
    assert_eq!(
        said(&text, "unknown"),
        "12 calls of which it is not known what the kernel wrote: ioctl (10), keyctl (2)"
    );
}

#[test]
fn pages_are_told_apart_by_how_they_were_touched() {
    let process = busy_process(|config| config.track = Track::ReadWrite);
    let text = summary(&process, &Facts::default());
    assert_eq!(
        said(&text, "pages"),
        "7 (28 KiB) touched: 5 written, 1 read and never written, 2 written by the kernel (1 by \
         it alone)"
    );
    assert_eq!(
        said(&text, "events"),
        "1,000,008 write, 7 read, 3 kernel; 0.00 read events to each write event"
    );
}

#[test]
fn without_reads_there_is_no_ratio() {
    let process = busy_process(|_| {});
    let text = summary(&process, &Facts::default());
    assert_eq!(
        said(&text, "events"),
        "1,000,008 write, 7 read, 3 kernel; loads were not watched (--track readwrite)"
    );
    assert_eq!(
        said(&text, "pages"),
        "7 (28 KiB) touched: 5 written, 2 written by the kernel (1 by it alone)"
    );
}

#[test]
fn pages_that_are_there_without_an_event_are_cold() {
    let resident = Residency {
        present: vec![HEAP..HEAP + 4 * PAGE, ANONYMOUS..ANONYMOUS + 4 * PAGE],
        swapped: 3,
        by_cache: false,
    };
    let facts = Facts {
        resident,
        ..Facts::default()
    };
    let process = busy_process(|config| config.track = Track::ReadWrite);
    assert_eq!(
        said(&summary(&process, &facts), "resident"),
        "8 (32 KiB) at the end, 3 of them never touched (37.5 %); 3 (12 KiB) swapped out"
    );
    let process = busy_process(|_| {});
    let by_cache = Facts {
        resident: Residency {
            swapped: 0,
            by_cache: true,
            ..facts.resident
        },
        ..Facts::default()
    };
    assert_eq!(
        said(&summary(&process, &by_cache), "resident"),
        "8 (32 KiB) at the end, 3 of them never written (37.5 %); files count as far as they are \
         cached: /proc/self/pagemap cannot be read"
    );
    assert!(said(&summary(&process, &Facts::default()), "resident").starts_with("not known"));
}

#[test]
fn epochs_tell_their_length_their_cost_and_their_working_sets() {
    let mut process = busy_process(|config| config.max_overhead = 33);
    for (number, touched, ticks) in [(1, 10, 1), (2, 0, 1), (3, 2000, 3), (4, 30, 1)] {
        process.writer.begin_epoch(number, 0);
        process.writer.end_epoch(epoch(number, touched, ticks));
    }
    process.writer.set_counter(Counter::StretchedTicks, 2);
    let text = summary(&process, &Facts::default());
    assert_eq!(
        said(&text, "epochs"),
        "4, of 100ms; 1 went on for longer, by 2 intervals, to keep tracking within its limit"
    );
    assert_eq!(
        said(&text, "tracking"),
        "took about 20.0 ms of 600.0 ms, 3.3 % (limit 33 %)"
    );
    assert_eq!(
        said(&text, "working set"),
        "pages touched in an epoch: least 10 (40 KiB), median 30 (120 KiB), most 2,000 (7.8 MiB); \
         1 epoch touched none"
    );
}

#[test]
fn epochs_as_short_as_can_be_tell_how_short_that_was() {
    let mut process = busy_process(|config| config.interval_ns = 0);
    for number in 1..=3 {
        process.writer.begin_epoch(number, 0);
        process.writer.end_epoch(Epoch {
            left_alone: 2000,
            ..epoch(number, 1, number)
        });
    }
    let text = summary(&process, &Facts::default());
    assert_eq!(
        said(&text, "epochs"),
        "3, as short as the limit of tracking allowed: least 100.0 ms, median 200.0 ms, most \
         300.0 ms"
    );
    assert_eq!(
        said(&text, "tracking"),
        "took about 15.0 ms of 600.0 ms, 2.5 % (no limit); up to 2,000 pages at a time were \
         written so often that they were not watched"
    );
}

#[test]
fn what_is_known_of_the_last_epochs_only_is_said_to_be() {
    let mut process = busy_process(|config| config.epoch_records = 4);
    for number in 1..=10 {
        process.writer.begin_epoch(number, 0);
        process.writer.end_epoch(epoch(number, 1, 2));
    }
    process.writer.set_counter(Counter::StretchedTicks, 10);
    let text = summary(&process, &Facts::default());
    assert_eq!(
        said(&text, "epochs"),
        "10, of 100ms; some went on for longer, by 10 intervals, to keep tracking within its limit"
    );
    for label in ["tracking", "working set"] {
        assert!(
            said(&text, label).ends_with("(known of the last 4 epochs)"),
            "{text}"
        );
    }
}

#[test]
fn huge_pages_tell_how_well_they_would_be_used() {
    let mut process = busy_process(|_| {});
    for page in 0..300 {
        touch(&mut process, 0x6000_0000 + page * PAGE, Kind::Write, 1);
    }
    assert_eq!(
        said(&summary(&process, &Facts::default()), "huge pages"),
        "4 regions of 2 MiB touched, of whose 512 pages were used: median 2, mean 76.8; more than \
         half of 1, less than a tenth of 3"
    );
}

#[test]
fn what_was_not_watched_is_not_counted() {
    let process = busy_process(|config| config.track = Track::None);
    let text = summary(&process, &Facts::default());
    assert_eq!(said(&text, "pages"), "were not watched (--track none)");
    assert_eq!(said(&text, "calls"), "4,242 relayed, 0 emulated");
    assert!(!text.contains("MAPPING"), "{text}");
}

#[test]
fn what_the_numbers_miss_is_said() {
    let mut process = busy_process(|config| {
        (config.heat_pages, config.map_entries) = (1, 1);
    });
    touch(&mut process, 0x6000_0000, Kind::Write, 1);
    let text = summary(&process, &Facts::default());
    for gap in [
        "events are in no page's count: no room for their counters",
        "there were more mappings than the table has room for",
    ] {
        assert!(text.contains(gap), "{gap}: {text}");
    }
}

#[test]
fn a_file_gets_the_same_text() {
    let process = busy_process(|_| {});
    let consumer = Consumer::attach(process.pid()).unwrap();
    let path = std::env::temp_dir().join(format!("vmmload-summary-{}", process.pid()));
    let target = SummaryTarget::File(path.clone());
    let mut out = File::from(target.open().unwrap());
    write_summary(&consumer, &Facts::default(), &mut out).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(text, summary(&process, &Facts::default()));
}
