//! A dump of a segment that the test writes.

use super::*;
use crate::cli::testing::Process;
use vmmload_consumer::{
    End, HugePage, Kind, MappingClass, MappingEntry, Method, PROT_READ, PROT_WRITE, Sighting,
};

const HEAP: u64 = 0x5555_0000_0000;

fn busy_process() -> Process {
    let mut process = Process::start(b"prog\0");
    let entry = MappingEntry {
        start: HEAP,
        end: HEAP + 0x21000,
        offset: 0,
        prot: PROT_READ | PROT_WRITE,
        name: "[heap]",
        id: 4,
        class: MappingClass::Heap,
        born: 1,
        ..MappingEntry::default()
    };
    process.writer.publish_mappings([entry].into_iter());
    process.writer.begin_epoch(7, 123);
    let index = process.writer.region(HEAP, Kind::Write);
    process.writer.record(
        index,
        Sighting {
            mapping: 4,
            ..Sighting::new(HEAP + 0x2010, Kind::Write, Method::DirtyRing)
        },
    );
    process
}

fn dump(process: &Process, follow: bool, format: Format) -> String {
    let mut output = Vec::new();
    let config = DumpConfig {
        pid: Some(process.pid()),
        follow,
        regions: false,
        format,
    };
    run(&config, &mut output).unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn json_lines_are_as_documented() {
    let mut process = busy_process();
    process.writer.finish(End::Exited(3));
    let pid = process.pid();
    let expected = format!(
        concat!(
            r#"{{"type":"map","pid":{pid},"start":"0x555500000000","end":"0x555500021000","#,
            r#""prot":"rw-p","offset":0,"name":"[heap]","id":4,"class":"heap","thread":0,"#,
            r#""born":1,"retired":0}}"#,
            "\n",
            r#"{{"type":"page","pid":{pid},"epoch":7,"time_ns":123,"addr":"0x555500002000","#,
            r#""kind":"write","count":1,"method":"dirty-ring","bytes":0,"mapping":4}}"#,
            "\n",
        ),
        pid = pid
    );
    assert_eq!(dump(&process, false, Format::Json), expected);
    let end = format!("{{\"type\":\"end\",\"pid\":{pid},\"status\":3}}\n");
    assert_eq!(dump(&process, true, Format::Json), expected + &end);
}

#[test]
fn text_names_the_mapping_and_the_signal() {
    let mut process = busy_process();
    process.writer.finish(End::Signaled(9));
    let text = dump(&process, true, Format::Text);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("prog (epochs of 100ms)"), "{text}");
    assert_eq!(
        lines[1],
        "map   0x555500000000-0x555500021000  rw-p         132 KiB  [heap]"
    );
    assert!(
        lines[2].starts_with("page  0x555500002000  write        1 events"),
        "{text}"
    );
    assert!(lines[2].ends_with("dirty-ring    [heap]"), "{text}");
    assert_eq!(lines[3], "end   killed by signal 9");
}

#[test]
fn loss_is_a_line_of_its_own() {
    let mut process = busy_process();
    let consumer = Consumer::attach(process.pid()).unwrap();
    for _ in 0..65_536 {
        process
            .writer
            .record(None, Sighting::new(HEAP, Kind::Write, Method::DirtyRing));
    }
    let mut output = Vec::new();
    Dump::new(consumer, Format::Json, &mut output)
        .once()
        .unwrap();
    let text = String::from_utf8(output).unwrap();
    let lost = text.lines().nth(1).unwrap();
    let pid = process.pid();
    assert_eq!(
        lost,
        format!("{{\"type\":\"lost\",\"pid\":{pid},\"records\":32769}}")
    );
    assert_eq!(text.lines().count(), 2 + 32_768);
}

#[test]
fn every_json_line_parses_whatever_the_mapping_is_called() {
    let mut process = busy_process();
    let entry = |name| MappingEntry {
        start: 0,
        end: 4096,
        offset: 0,
        prot: 0,
        name,
        ..MappingEntry::default()
    };
    process
        .writer
        .publish_mappings([entry("/tmp/a \"b\"\n\\c")].into_iter());
    for line in dump(&process, false, Format::Json).lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn a_process_without_a_segment_is_an_error_that_names_the_remedy() {
    let config = DumpConfig {
        pid: Some(1),
        follow: false,
        regions: false,
        format: Format::Text,
    };
    let error = run(&config, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("vmmload run"), "{error}");
}

fn finished(number: u32) -> Epoch {
    Epoch {
        number,
        start_ns: u64::from(number) * 1000,
        end_ns: u64::from(number) * 1000 + 900,
        cost_ns: 12,
        ticks: 2,
        written: 3,
        read: 4,
        kernel: 5,
        touched: 6,
        left_alone: 1,
    }
}

#[test]
fn an_epoch_comes_behind_its_records_and_before_those_of_the_next() {
    let mut process = busy_process();
    for number in 8..=10 {
        process.writer.end_epoch(finished(number - 1));
        process.writer.begin_epoch(number, 0);
        let seen = Sighting::new(HEAP, Kind::Read, Method::AccessedBit);
        process.writer.record(None, seen);
    }
    process.writer.finish(End::Exited(0));
    for follow in [false, true] {
        let text = dump(&process, follow, Format::Json);
        let order: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|line| line["epoch"].is_u64())
            .map(|line| format!("{} {}", line["type"].as_str().unwrap(), line["epoch"]))
            .collect();
        let expected = [
            "page 7", "epoch 7", "page 8", "epoch 8", "page 9", "epoch 9", "page 10",
        ];
        assert_eq!(order, expected, "{text}");
    }
}

#[test]
fn an_epoch_is_a_line_of_its_own() {
    let mut process = busy_process();
    process.writer.end_epoch(finished(7));
    let line = format!(
        concat!(
            r#"{{"type":"epoch","pid":{},"epoch":7,"start_ns":7000,"end_ns":7900,"ticks":2,"#,
            r#""cost_ns":12,"written":3,"read":4,"kernel":5,"touched":6,"left_alone":1}}"#
        ),
        process.pid()
    );
    let text = dump(&process, false, Format::Json);
    assert_eq!(text.lines().last(), Some(line.as_str()));
    let text = dump(&process, false, Format::Text);
    let line = text.lines().last().unwrap();
    assert!(line.starts_with("epoch      7  "), "{line}");
    assert!(
        line.ends_with(
            "for    900 ns       6 pages touched: 3 written, 4 read, 5 by the kernel  \
             cost 12 ns  over 2 intervals  1 not watched for stores"
        ),
        "{line}"
    );
}

#[test]
fn each_epoch_is_printed_once_while_following() {
    let mut process = busy_process();
    let consumer = Consumer::attach(process.pid()).unwrap();
    let mut output = Vec::new();
    let mut dump = Dump::new(consumer, Format::Json, &mut output);
    for number in 7..=9 {
        process.writer.end_epoch(Epoch {
            number,
            ..Epoch::default()
        });
        process.writer.begin_epoch(number + 1, 0);
        dump.drain().unwrap();
        dump.drain().unwrap();
    }
    let text = String::from_utf8(output).unwrap();
    for number in 7..=9 {
        let part = format!(r#""epoch":{number},"start_ns""#);
        assert_eq!(text.matches(&part).count(), 1, "{text}");
    }
}

/// Of each line, what says where it belongs.
fn order(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let shown = |line: serde_json::Value| {
        let kind = line["type"].as_str().unwrap();
        match (line["name"].as_str(), &line["epoch"]) {
            (Some(name), _) => format!("{kind} {name}"),
            (None, epoch) if epoch.is_u64() => format!("{kind} {epoch}"),
            _ => kind.to_owned(),
        }
    };
    lines.map(shown).collect()
}

#[test]
fn marks_come_behind_the_records_of_their_epochs_and_before_the_epochs_themselves() {
    let mut process = busy_process();
    process.writer.mark("load", 200, 70);
    process.writer.end_epoch(finished(7));
    process.writer.begin_epoch(8, 1000);
    process.writer.mark("run", 1100, 70);
    let seen = Sighting::new(HEAP, Kind::Read, Method::AccessedBit);
    process.writer.record(None, seen);
    process.writer.mark("save", 1200, 70);
    process.writer.end_epoch(finished(8));
    process.writer.begin_epoch(9, 2000);
    process.writer.mark("end", 2100, 71);
    process.writer.finish(End::Exited(0));
    let first = ["map [heap]", "page 7", "mark load", "epoch 7"];
    let rest = ["page 8", "mark run", "mark save", "epoch 8", "mark end"];
    let expected = [&first[..], &rest].concat();
    assert_eq!(order(&dump(&process, false, Format::Json)), expected);
    let followed = order(&dump(&process, true, Format::Json));
    assert_eq!(followed, [&expected[..], &["end"]].concat());
    let text = dump(&process, false, Format::Json);
    let pid = process.pid();
    let line = format!(
        r#"{{"type":"mark","pid":{pid},"name":"end","epoch":9,"time_ns":2100,"thread":71}}"#
    );
    assert_eq!(text.lines().last(), Some(&*line));
}

#[test]
fn each_mark_is_printed_once_and_what_is_lost_is_said() {
    let mut process = busy_process();
    let consumer = Consumer::attach(process.pid()).unwrap();
    let mut output = Vec::new();
    let mut dump = Dump::new(consumer, Format::Text, &mut output);
    process.writer.mark("clear\u{1b}[2J\n", 1 << 62, 70);
    dump.drain().unwrap();
    for _ in 0..16_385 {
        process.writer.mark("frame", 1 << 62, 70);
    }
    dump.drain().unwrap();
    dump.drain().unwrap();
    let text = String::from_utf8(output).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[1].starts_with(r"mark  clear\u{1b}[2J\n  epoch 7  "),
        "{}",
        lines[1]
    );
    assert!(lines[1].ends_with(" s  thread 70"), "{}", lines[1]);
    assert_eq!(lines[2], "lost  8193 marks");
    assert_eq!(lines.len(), 3 + 8192);
}

fn regions(process: &Process, format: Format) -> String {
    let mut output = Vec::new();
    let config = DumpConfig {
        pid: Some(process.pid()),
        follow: false,
        regions: true,
        format,
    };
    run(&config, &mut output).unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn regions_show_how_much_of_them_was_touched() {
    let mut process = busy_process();
    for page in 0..512 {
        let addr = HEAP + HugePage::BYTES * 2 + page * 4096;
        let index = process.writer.region(addr, Kind::Read);
        let seen = Sighting::new(addr, Kind::Read, Method::AccessedBit);
        process.writer.record(index, seen);
    }
    let text = regions(&process, Format::Text);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].ends_with("prog (2 regions of 2 MiB touched since the start)"),
        "{text}"
    );
    assert_eq!(
        lines[1..],
        [
            "region  0x555500000000    1 of 512  [#               ]    1 written    0 read    0 by \
             the kernel  [heap]",
            "region  0x555500400000  512 of 512  [################]    0 written  512 read    0 by \
             the kernel  (not mapped any more)",
        ]
    );
    let pid = process.pid();
    let first = format!(
        concat!(
            r#"{{"type":"region","pid":{pid},"addr":"0x555500000000","pages":512,"touched":1,"#,
            r#""written":1,"read":0,"kernel":0,"name":"[heap]","mapping":4,"mappings":1}}"#
        ),
        pid = pid
    );
    let text = regions(&process, Format::Json);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], first);
    assert!(
        lines[1].contains(r#""name":null,"mapping":0,"mappings":0"#),
        "{text}"
    );
}
