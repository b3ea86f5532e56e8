//! Sessions: processes that come, execute other programs, and go.

use super::{path_of, small};
use crate::{
    Change, Child, End, ProcessId, SegmentConfig, SegmentWriter, Session, Status, Woken,
    segment_name,
};
use std::os::unix::fs::FileExt;
use std::process::{Child as Process, Command};
use std::time::Duration;

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

/// A process that lives until it is dropped; the segment is written for it.
struct Living(Process);

impl Living {
    fn start() -> Self {
        let process = Command::new("sleep").arg("60").spawn();
        Self(process.expect("sleep is everywhere"))
    }

    fn program(&self, session: Option<ProcessId>) -> SegmentWriter {
        let pid = self.0.id();
        let config = SegmentConfig {
            pid,
            session,
            ..small(64)
        };
        // One that a killed process of the same pid has left.
        let _ = std::fs::remove_file(path_of(&segment_name(pid)));
        SegmentWriter::create(&config).expect("/dev/shm has room")
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ended(status: u8) -> Status {
    Status::Ended(End::Exited(status))
}

#[test]
fn a_session_is_not_over_between_two_programs_of_a_process() {
    let process = Living::start();
    let mut writer = process.program(None);
    let mut session = Session::of(process.0.id()).unwrap();
    let id = session.id();
    assert_eq!(id.pid, process.0.id());
    for _ in 0..2 {
        writer.finish(End::Replaced);
        drop(writer);
        assert_eq!(session.wait(None), Woken::News);
        let replaced = Status::Ended(End::Replaced);
        assert_eq!(session.refresh(), [Change::Went(id, replaced)]);
        session.refresh();
        assert_eq!(session.members().count(), 0);
        // Other tests make segments, too, which is news that may be of a member.
        while session.wait(AT_ONCE) == Woken::News {
            assert_eq!(session.refresh(), []);
        }
        assert_eq!(session.wait(AT_ONCE), Woken::TimedOut);
        writer = process.program(Some(id));
        while !session.refresh().contains(&Change::Came(id)) {
            assert_eq!(session.wait(None), Woken::News);
        }
    }
    writer.finish(End::Exited(4));
    assert_eq!(session.refresh(), [Change::Went(id, ended(4))]);
    drop(writer);
    while session.wait(None) == Woken::News {
        assert_eq!(session.refresh(), []);
    }
    assert_eq!((session.wait(None), session.missed()), (Woken::Over, 0));
}

#[test]
fn a_session_is_not_over_while_a_child_is_about_to_come() {
    let (parent, child) = (Living::start(), Living::start());
    let mut writer = parent.program(None);
    let mut session = Session::of(parent.0.id()).unwrap();
    let id = session.id();
    let start = child.program(None);
    let other = crate::Consumer::attach(child.0.id()).unwrap().id();
    drop(start);
    let time_ns = 0;
    writer.child(Child {
        process: other,
        time_ns,
    });
    // Never came: its process is none that lives.
    writer.child(Child {
        process: ProcessId {
            pid: other.pid,
            start: other.start + 1,
        },
        time_ns,
    });
    writer.finish(End::Exited(0));
    assert_eq!(session.refresh(), [Change::Went(id, ended(0))]);
    assert_eq!(session.missed(), 1);
    while session.wait(AT_ONCE) == Woken::News {
        assert_eq!(session.refresh(), []);
    }
    assert_eq!(session.wait(AT_ONCE), Woken::TimedOut);
    let mut late = child.program(Some(id));
    assert_eq!(session.refresh(), [Change::Came(other)]);
    late.finish(End::Exited(1));
    assert_eq!(session.refresh(), [Change::Went(other, ended(1))]);
    while session.wait(None) == Woken::News {
        assert_eq!(session.refresh(), []);
    }
    assert_eq!((session.wait(None), session.missed()), (Woken::Over, 1));
}

#[test]
fn a_segment_that_was_not_ready_at_the_first_look_is_looked_at_again() {
    let (first, second) = (Living::start(), Living::start());
    let _writer = first.program(None);
    let mut session = Session::of(first.0.id()).unwrap();
    let id = session.id();
    let _ready = second.program(Some(id));
    let path = path_of(&segment_name(second.0.id()));
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let version = 8;
    let word = 1u64 << 32;
    file.write_all_at(&[0; 8], version).unwrap();
    assert_eq!(session.refresh(), []);
    while session.wait(AT_ONCE) == Woken::News {
        assert_eq!(session.refresh(), []);
    }
    // Nothing tells.
    file.write_all_at(&word.to_le_bytes(), version).unwrap();
    assert_eq!(session.wait(None), Woken::News);
    assert_eq!(session.refresh().len(), 1);
}
