//! Fifty million records through one ring, and readers of every kind and language: none is torn, stale or out of
//! order, and each reader accounts for every one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Session, machine, ring};

/// Many laps of the ring.
const EVENTS: u64 = 50_000_000;

/// A writer in a process of its own, which begins when it is told to.
struct Writer {
    process: Session,
    file: PathBuf,
}

impl Writer {
    fn start(name: &str, events: u64) -> Self {
        let name = format!("vmmload-stress-{name}-{}", std::process::id());
        let mut command = Command::new(ring::program());
        command.args(["write", &name, &events.to_string()]);
        let mut process = Session::start(command);
        assert_eq!(process.line(), "ready");
        let file = Path::new("/dev/shm").join(name);
        Self { process, file }
    }

    fn begin(&mut self) {
        self.process.send("go\n");
    }

    fn is_done_within(&mut self, limit: Duration) -> bool {
        self.process.line_within(limit).is_ok()
    }

    fn end(&mut self) {
        assert!(self.process.finish().success());
    }
}

/// Starts a reader, and waits until it is attached.
fn start(command: Command) -> Session {
    let mut reader = Session::start(command);
    assert_eq!(reader.line(), "attached");
    reader
}

fn rust_reader(writer: &Writer, pace: &[&str]) -> Command {
    let mut command = Command::new(ring::program());
    command.arg("follow").arg(&writer.file).args(pace);
    command
}

/// What a reader says at its end: it has failed before, if a record was wrong.
fn assert_accounts_for(mut reader: Session, events: u64) {
    let line = reader.line();
    let words: Vec<&str> = line.split(' ').collect();
    let &[
        "start",
        start,
        "read",
        read,
        "lost",
        lost,
        "published",
        published,
    ] = words.as_slice()
    else {
        panic!("{line}");
    };
    let [start, read, lost, published]: [u64; 4] =
        [start, read, lost, published].map(|number| number.parse().expect("a number"));
    assert_eq!(published, events, "{line}");
    assert_eq!(start + read + lost, events, "{line}");
    assert!(read > 0, "{line}");
    assert!(reader.finish().success());
}

/// Small steps that look random, so that readers are killed anywhere.
fn pauses() -> impl Iterator<Item = Duration> {
    let mut state = 1u64;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        Duration::from_micros(500 + (state >> 33) % 20_000)
    })
}

#[test]
fn readers_of_every_kind_see_whole_records_in_order_and_account_for_all() {
    let events = machine::work(EVENTS);
    let mut writer = Writer::start("rust", events);
    let mut readers = vec![
        start(rust_reader(&writer, &["polling"])),
        start(rust_reader(&writer, &[])),
        start(rust_reader(&writer, &["slow"])),
    ];
    let mut killed = start(rust_reader(&writer, &[]));
    writer.begin();
    let (mut kills, mut late) = (0, None);
    for pause in pauses() {
        if writer.is_done_within(pause) {
            break;
        }
        killed.signal(libc::SIGKILL);
        killed = start(rust_reader(&writer, &[]));
        kills += 1;
        if kills == 5 {
            late = Some(start(rust_reader(&writer, &[])));
        }
    }
    assert!(kills >= 5, "{kills}");
    readers.push(killed);
    readers.extend(late);
    for reader in readers {
        assert_accounts_for(reader, events);
    }
    writer.end();
}

#[test]
fn readers_in_c_and_python_see_whole_records_in_order_and_account_for_all() {
    let events = machine::work(EVENTS);
    let scratch = Scratch::new();
    let program = ring::c_reader(&scratch, "follow");
    let c_reader = |writer: &Writer| {
        let mut command = Command::new(&program);
        command.arg(&writer.file);
        command
    };
    let python_reader = |writer: &Writer| {
        let mut command = ring::python_reader(&scratch, "follow");
        command.arg(&writer.file);
        command
    };
    let mut writer = Writer::start("others", events);
    let mut readers = vec![start(c_reader(&writer)), start(python_reader(&writer))];
    let mut killed = start(c_reader(&writer));
    writer.begin();
    for (kills, pause) in pauses().enumerate() {
        if writer.is_done_within(pause) {
            break;
        }
        killed.signal(libc::SIGKILL);
        killed = start(c_reader(&writer));
        if kills == 3 {
            readers.push(start(c_reader(&writer)));
            readers.push(start(python_reader(&writer)));
        }
    }
    readers.push(killed);
    for reader in readers {
        assert_accounts_for(reader, events);
    }
    writer.end();
}

#[test]
fn a_reader_that_only_sleeps_is_told_of_the_end() {
    let mut writer = Writer::start("idle", machine::work(4 << 20));
    let mut command = Command::new(ring::program());
    command.arg("idle").arg(&writer.file);
    let mut idle = start(command);
    writer.begin();
    assert!(writer.is_done_within(machine::patience(Duration::from_secs(20))));
    assert!(idle.finish().success());
    writer.end();
}
