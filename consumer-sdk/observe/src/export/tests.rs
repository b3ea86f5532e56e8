//! What is exported of fabricated segments: numbers, bounds, and that counters never go back.

use super::myself::Myself;
use super::text::{classic, openmetrics};
use super::watch::{Snapshot, Watch};
use crate::fleet::Scope;
use std::collections::BTreeMap;
use std::process::{Child as Process, Command};
use std::sync::Arc;
use vmmload_consumer::{
    Child, Counter, End, Epoch, Kind, MappingClass, MappingEntry, Method, ProcessId, SegmentConfig,
    SegmentWriter, Sighting, Track, monotonic_ns,
};

/// A process that lives until it is dropped; segments are written for it.
struct Living(Process);

impl Living {
    fn start() -> Self {
        Self(
            Command::new("sleep")
                .arg("300")
                .spawn()
                .expect("sleep is everywhere"),
        )
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The segment of one program that it executes.
    fn program(&self, session: ProcessId, command: &[u8]) -> SegmentWriter {
        let config = SegmentConfig {
            session: Some(session),
            command: command.to_vec(),
            track: Track::ReadWrite,
            ring_records: 1024,
            epoch_records: 64,
            link_records: 64,
            heat_pages: 64,
            map_entries: 64,
            string_bytes: 4096,
            mark_records: 0,
            ..SegmentConfig::new(self.pid())
        };
        SegmentWriter::create(&config).expect("/dev/shm has room")
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A session of no real process, so that no other test's segments are in it.
fn session() -> ProcessId {
    ProcessId {
        pid: 1_000_000_007,
        start: monotonic_ns(),
    }
}

fn watch(session: ProcessId, most: usize) -> Watch {
    Watch::new(Scope::Session(session), most)
}

fn text(snapshot: &Snapshot) -> String {
    openmetrics(&Arc::new(snapshot.clone()), Myself::default())
}

/// All numbers by series, but for those that are different each time.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').expect("a name and a number"));
    pairs
        .map(|(name, number)| (name.to_owned(), number.parse().expect("a number")))
        .collect()
}

fn counters(text: &str) -> BTreeMap<String, f64> {
    let name = |series: &str| series.split('{').next().unwrap_or_default().to_owned();
    let mut all = series(text);
    all.retain(|series, _| name(series).ends_with("_total"));
    all
}

/// So many events of a kind in one mapping, in a page of its own each.
fn touch(writer: &mut SegmentWriter, events: u64, kind: Kind, mapping: u32) {
    for page in 0..events {
        let addr = 0x10_0000 + page * 4096;
        let seen = Sighting {
            mapping,
            ..Sighting::new(addr, kind, Method::DirtyRing)
        };
        let region = writer.region(addr, kind);
        writer.record(region, seen);
    }
}

fn mapping(id: u32, class: MappingClass, retired: u32) -> MappingEntry<'static> {
    MappingEntry {
        start: u64::from(id) << 24,
        end: (u64::from(id) << 24) + 0x3000,
        id,
        class,
        retired,
        ..MappingEntry::default()
    }
}

#[test]
fn a_process_is_exported_with_what_its_segment_says() {
    let (process, session) = (Living::start(), session());
    let mut writer = process.program(session, b"/opt/a\0--password=secret\0");
    let entries = [
        mapping(1, MappingClass::Heap, 0),
        mapping(2, MappingClass::File, 0),
        mapping(3, MappingClass::ThreadStack, 4),
    ];
    writer.publish_mappings(entries.into_iter());
    writer.begin_epoch(1, 100);
    touch(&mut writer, 5, Kind::Write, 1);
    touch(&mut writer, 3, Kind::Read, 2);
    touch(&mut writer, 2, Kind::Write, 3);
    touch(&mut writer, 1, Kind::Kernel, 99);
    writer.end_epoch(Epoch {
        number: 1,
        start_ns: 100,
        end_ns: 500_000_100,
        cost_ns: 250_000_000,
        touched: 7,
        ..Epoch::default()
    });
    for (counter, value) in [
        (Counter::VmExits, 100),
        (Counter::PageFaultExits, 30),
        (Counter::RingFullExits, 20),
        (Counter::SyscallsRelayed, 40),
        (Counter::SyscallsEmulated, 10),
        (Counter::CallsWithoutExit, 15),
    ] {
        writer.set_counter(counter, value);
    }
    let text = text(&watch(session, 5).look());
    assert!(!text.contains("secret"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    let found = series(&text);
    let own = format!(
        "pid=\"{}\",command=\"a\",session=\"1000000007\"",
        process.pid()
    );
    for (name, more, value) in [
        ("events_total", ",kind=\"write\"", 7.0),
        ("events_total", ",kind=\"read\"", 3.0),
        ("events_total", ",kind=\"kernel\"", 1.0),
        ("class_events_total", ",class=\"heap\",kind=\"write\"", 5.0),
        ("class_events_total", ",class=\"file\",kind=\"read\"", 3.0),
        (
            "class_events_total",
            ",class=\"thread-stack\",kind=\"write\"",
            2.0,
        ),
        (
            "class_events_total",
            ",class=\"unknown\",kind=\"kernel\"",
            1.0,
        ),
        ("mapped_bytes", ",class=\"heap\"", 12288.0),
        ("mapped_bytes", ",class=\"thread-stack\"", 0.0),
        ("working_set_bytes", "", 28672.0),
        ("epoch_seconds", "", 0.5),
        ("tracking_seconds_total", "", 0.25),
        ("epochs_total", "", 1.0),
        ("epoch_touched_bytes_total", "", 28672.0),
        ("vm_exits_total", ",reason=\"page-fault\"", 30.0),
        ("vm_exits_total", ",reason=\"ring-full\"", 20.0),
        ("vm_exits_total", ",reason=\"other\"", 50.0),
        ("syscalls_total", ",way=\"exit\"", 35.0),
        ("syscalls_total", ",way=\"page\"", 15.0),
        ("records_lost_total", "", 0.0),
    ] {
        let series = format!("vmmload_{name}{{{own}{more}}}");
        assert_eq!(found.get(&series), Some(&value), "{series} in\n{text}");
    }
    for (series, value) in [
        ("vmmload_all_events_total{kind=\"write\"}", 7.0),
        ("vmmload_processes", 1.0),
        ("vmmload_processes_own_limit", 5.0),
    ] {
        assert_eq!(found.get(series), Some(&value), "{series} in\n{text}");
    }
}

#[test]
fn records_that_are_overwritten_are_lost_for_their_classes_and_counted_all_the_same() {
    let (process, session) = (Living::start(), session());
    let mut writer = process.program(session, b"fast");
    let mut watch = watch(session, 1);
    watch.look();
    writer.begin_epoch(1, 100);
    touch(&mut writer, 5000, Kind::Write, 1);
    writer.end_epoch(Epoch {
        number: 1,
        ..Epoch::default()
    });
    let found = series(&text(&watch.look()));
    let sum = |name: &str| -> f64 {
        let of_pid = format!("vmmload_{name}_total{{pid=\"{}\"", process.pid());
        let all = found
            .iter()
            .filter(|(series, _)| series.starts_with(&of_pid));
        all.map(|(_, value)| value).sum()
    };
    assert_eq!(sum("events"), 5000.0);
    assert!(sum("records_lost") >= 5000.0 - 1024.0);
    assert_eq!(sum("class_events") + sum("records_lost"), 5000.0);
}

#[test]
fn no_more_processes_than_asked_for_have_series_of_their_own() {
    let session = session();
    let processes: Vec<Living> = (0..200).map(|_| Living::start()).collect();
    let mut writers: Vec<SegmentWriter> = processes
        .iter()
        .map(|process| process.program(session, b"many"))
        .collect();
    for (number, writer) in writers.iter_mut().enumerate() {
        writer.begin_epoch(1, 100);
        touch(writer, number as u64, Kind::Write, 0);
    }
    let mut watch = watch(session, 50);
    let snapshot = watch.look();
    assert_eq!((snapshot.live, snapshot.live_own), (200, 50));
    let busiest: Vec<u32> = processes[150..].iter().map(Living::pid).collect();
    let text = text(&snapshot);
    let with_series = |name: &str| -> Vec<String> {
        let name = format!("vmmload_{name}{{pid=\"");
        let pids = text.lines().filter_map(|line| line.strip_prefix(&name));
        let mut pids: Vec<String> = pids
            .map(|rest| rest.split('"').next().unwrap_or_default().to_owned())
            .collect();
        pids.dedup();
        pids
    };
    let own = with_series("events_total");
    assert_eq!(own.len(), 51);
    for pid in busiest {
        assert!(own.contains(&pid.to_string()), "{pid} is among the others");
    }
    assert_eq!(with_series("process_info").len(), 50);
    let found = series(&text);
    let other = found["vmmload_events_total{pid=\"other\",command=\"other\",session=\"other\",kind=\"write\"}"];
    assert_eq!(other, (0..150).sum::<u64>() as f64);
    let all = found["vmmload_all_events_total{kind=\"write\"}"];
    assert_eq!(all, (0..200).sum::<u64>() as f64);
    // The number of lines grows with the limit, not with the processes.
    assert!(
        text.lines().count() < 51 * 60,
        "{} lines",
        text.lines().count()
    );
}

/// The highest that each counter has ever been.
#[derive(Default)]
struct Highest(BTreeMap<String, f64>);

impl Highest {
    #[track_caller]
    fn check(&mut self, snapshot: &Snapshot) {
        for (series, value) in counters(&text(snapshot)) {
            let before = self.0.entry(series.clone()).or_default();
            assert!(value >= *before, "{series} was {before}, and is {value}");
            *before = value;
        }
    }
}

#[test]
fn counters_never_go_back_where_processes_end_move_and_come_back() {
    let (session, mut highest) = (session(), Highest::default());
    let processes: Vec<Living> = (0..4).map(|_| Living::start()).collect();
    let mut writers: Vec<SegmentWriter> = processes
        .iter()
        .map(|process| process.program(session, b"same"))
        .collect();
    let mut watch = watch(session, 2);
    for round in 1..=12_u32 {
        for (number, writer) in writers.iter_mut().enumerate() {
            writer.begin_epoch(round, 100);
            touch(writer, 10 + number as u64, Kind::Write, 1);
            writer.set_counter(Counter::VmExits, u64::from(round) * 7);
        }
        highest.check(&watch.look());
        // One ends, and with the next look another program of the same name, or another process with its id, is there.
        let which = round as usize % 4;
        writers[which].finish(match round % 2 {
            0 => End::Replaced,
            _ => End::Exited(0),
        });
        if round % 3 == 0 {
            highest.check(&watch.look());
        }
        drop(writers.remove(which));
        writers.insert(which, processes[which].program(session, b"same"));
        highest.check(&watch.look());
    }
    let snapshot = watch.look();
    assert_eq!(
        (snapshot.live, snapshot.live_own, snapshot.missed),
        (4, 2, 0)
    );
    let all = series(&text(&snapshot))["vmmload_all_events_total{kind=\"write\"}"];
    assert_eq!(all, 12.0 * (10 + 11 + 12 + 13) as f64);
    // The series of those that have ended are gone, and what they were counted for is not.
    let rows = counters(&text(&snapshot));
    let parts = rows
        .iter()
        .filter(|(name, _)| name.starts_with("vmmload_events_total") && name.contains("write"));
    assert!(parts.map(|(_, value)| value).sum::<f64>() < all);
}

#[test]
fn a_segment_whose_numbers_go_back_takes_nothing_away() {
    let (process, session) = (Living::start(), session());
    let (writer, mut highest) = (process.program(session, b"liar"), Highest::default());
    let mut watch = watch(session, 1);
    for exits in [5, u64::MAX, 3, u64::MAX / 2, 0] {
        writer.set_counter(Counter::VmExits, exits);
        writer.set_counter(Counter::PageFaultExits, exits / 3);
        writer.set_counter(Counter::SyscallsRelayed, exits);
        highest.check(&watch.look());
    }
}

#[test]
fn the_last_numbers_of_a_process_stay_while_there_is_room() {
    let session = session();
    let (first, second) = (Living::start(), Living::start());
    let mut writer = first.program(session, b"first");
    let mut watch = watch(session, 1);
    watch.look();
    writer.begin_epoch(1, 100);
    touch(&mut writer, 9, Kind::Write, 1);
    writer.finish(End::Exited(0));
    drop(writer);
    let ended = series(&text(&watch.look()));
    let own = |process: &Living, name: &str| {
        let (pid, session) = (process.pid(), session.pid);
        format!(
            "vmmload_events_total{{pid=\"{pid}\",command=\"{name}\",session=\"{session}\",kind=\"write\"}}"
        )
    };
    assert_eq!(ended[&own(&first, "first")], 9.0);
    assert_eq!(ended["vmmload_processes"], 0.0);
    assert_eq!(ended["vmmload_processes_ended_total"], 1.0);
    let has_gauges = |series: &String| series.contains("bytes{") && series.contains("first");
    assert!(!ended.keys().any(has_gauges));
    let _writer = second.program(session, b"second");
    let replaced = series(&text(&watch.look()));
    assert!(!replaced.contains_key(&own(&first, "first")));
    assert_eq!(replaced[&own(&second, "second")], 0.0);
    assert_eq!(replaced["vmmload_all_events_total{kind=\"write\"}"], 9.0);
}

#[test]
fn a_child_that_was_never_met_is_counted_as_missed() {
    let (process, session) = (Living::start(), session());
    let mut writer = process.program(session, b"parent");
    let mut watch = watch(session, 1);
    watch.look();
    let gone = ProcessId {
        pid: process.pid(),
        start: 1,
    };
    writer.child(Child {
        process: gone,
        time_ns: monotonic_ns(),
    });
    assert_eq!(watch.look().missed, 1);
    assert_eq!(watch.look().missed, 1);
}

#[test]
fn names_of_programs_cannot_break_the_text() {
    let session = session();
    let names: [&[u8]; 4] = [b"a\"b\\c", b"x\ny 1", b"{}#=,\x1b[31m", b"\xff\xfe\xc3"];
    let processes: Vec<Living> = names.iter().map(|_| Living::start()).collect();
    let pairs = processes.iter().zip(names);
    let _writers: Vec<SegmentWriter> = pairs
        .map(|(process, name)| process.program(session, name))
        .collect();
    let text = text(&watch(session, 10).look());
    for command in [
        "a\\\"b\\\\c",
        "x?y 1",
        "{}#=,?[31m",
        "\u{fffd}\u{fffd}\u{fffd}",
    ] {
        let label = format!("command=\"{command}\"");
        assert!(text.contains(&label), "{label} in\n{text}");
    }
    let stray = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(stray), "{text:?}");
    // Each line is a description or a series, in both formats, and both have the same numbers.
    assert_eq!(series(&text), series(&classic(&text)));
}

#[test]
fn the_older_format_names_counters_in_full() {
    let new = "# HELP a_b Help with # TYPE in it\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{x=\"# TYPE y counter\"} 1\n\
               # HELP c d\n# TYPE c gauge\nc 2\n# EOF\n";
    let old = "# HELP a_b_total Help with # TYPE in it\n# TYPE a_b_total counter\na_b_total{x=\"# TYPE y counter\"} 1\n\
               # HELP c d\n# TYPE c gauge\nc 2\n";
    assert_eq!(classic(new), old);
}
