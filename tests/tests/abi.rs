//! The description of the segment is enough to write a reader from: one that was finds what the SDK finds.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vmmload_consumer::{Consumer, Event, segment_name};
use vmmload_tests::scratch::workspace;
use vmmload_tests::{Guest, Session, machine, packages};

/// What the reader in `tests/abi` says of a process's segment.
fn described(pid: u32) -> Value {
    let python = packages::program("/usr/bin/python3", "python3");
    let output = Command::new(python)
        .arg(workspace().join("tests/abi/reader.py"))
        .arg(Path::new("/dev/shm").join(segment_name(pid)))
        .output()
        .expect("python3 can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("the reader prints JSON")
}

/// What the SDK says, in the same form.
fn known(consumer: &mut Consumer) -> Value {
    let mut events = vec![Event::default(); 1 << 16];
    let batch = consumer.read(&mut events);
    let event = |event: &Event| {
        let Event {
            addr,
            time_ns,
            epoch,
            count,
            mapping,
            bytes,
            kind,
            ..
        } = *event;
        json!([addr, kind as u8, time_ns, epoch, count, mapping, bytes])
    };
    let info = consumer.info();
    let mappings = consumer.mappings().expect("nobody changes them");
    let mapping = |entry: &vmmload_consumer::Mapping| {
        json!([
            entry.start,
            entry.end,
            entry.name,
            entry.id,
            entry.class as u32
        ])
    };
    let mark =
        |mark: &vmmload_consumer::Mark| json!([mark.name, mark.time_ns, mark.epoch, mark.thread]);
    json!({
        "pid": info.pid,
        "session": info.session.pid,
        "command": String::from_utf8_lossy(&info.command),
        "events": events[..batch.read].iter().map(event).collect::<Vec<_>>(),
        "lost": batch.lost,
        "children": consumer.children().iter().map(|child| child.process.pid).collect::<Vec<_>>(),
        "marks": consumer.marks().iter().map(mark).collect::<Vec<_>>(),
        "heat": consumer.heat().map(|heat| json!([heat.addr, heat.kind as u8, heat.count, heat.epoch])).collect::<Vec<_>>(),
        "written": consumer.pages_written_since(0).expect("exact").pages,
        "mappings": mappings.entries.iter().map(mapping).collect::<Vec<_>>(),
        "end": 0,
    })
}

#[test]
fn a_reader_written_from_the_description_alone_finds_what_the_sdk_finds() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = Guest::new("marks/spoken").program();
    let guest = guest.option("--interval=20ms");
    let mut session = Session::start(guest.inside_command());
    assert_eq!(session.line(), "ready");
    let pid = u32::try_from(session.pid()).unwrap();
    let end = Instant::now() + machine::patience(Duration::from_secs(20));
    // It waits now, and with the last epochs that have events nothing changes any more.
    loop {
        let mut described = described(pid);
        let known = known(&mut Consumer::attach(pid).unwrap());
        let epochs = described
            .as_object_mut()
            .and_then(|all| all.remove("epochs"));
        if described == known {
            assert!(epochs.is_some_and(|epochs| epochs[0] == 1));
            assert!(
                known["events"]
                    .as_array()
                    .is_some_and(|events| events.len() > 20)
            );
            assert_eq!(known["children"].as_array().map(Vec::len), Some(1));
            let marks = known["marks"].as_array().expect("an array");
            let names: Vec<_> = marks.iter().map(|mark| &mark[0]).collect();
            assert_eq!(names, ["load", "run", "load"]);
            let mappings = known["mappings"].as_array().expect("an array");
            assert!(mappings.iter().any(|mapping| mapping[2] == "caf\u{e9}"));
            break;
        }
        assert!(Instant::now() < end, "{described:#}\n{known:#}");
    }
    session.send("go\n");
    assert!(session.finish().success());
}
