//! A session of one process whose segment the test writes.

use super::*;
use crate::recording::writer::testing::Process;
use vmmload_consumer::{End, Epoch, Kind, MappingEntry, Method, PROT_READ, Sighting};

/// Keeps what it is told.
#[derive(Default)]
struct Kept {
    events: Vec<Event>,
    epochs: Vec<(u32, u64)>,
    marks: Vec<String>,
    mappings: Vec<u32>,
    came: Vec<u64>,
    went: Vec<Status>,
    lost: u64,
    marks_lost: u64,
    last_ns: u64,
}

impl Sink for Kept {
    fn push(&mut self, message: Message) -> Result<(), Closed> {
        match message {
            Message::Came(_, origin, _) => self.came.push(origin.before),
            Message::Events(_, events) => self.events.extend(events),
            Message::Looked(_, look) => {
                let epochs = look.epochs.iter();
                self.epochs
                    .extend(epochs.map(|row| (row.epoch.number, row.lost)));
                self.marks
                    .extend(look.marks.into_iter().map(|mark| mark.name));
                let mappings = look.mappings.iter();
                self.mappings.extend(mappings.map(|row| row.mapping.id));
                self.lost = look.counts.lost;
                self.marks_lost = look.counts.marks_lost;
                self.last_ns = look.counts.last_ns;
            }
            Message::Went(_, status) => self.went.push(status),
        }
        Ok(())
    }
}

fn follow(process: &Process) -> Follower {
    Follower::new(Session::of(process.pid()).unwrap())
}

fn touch(process: &mut Process, pages: u64) {
    for page in 0..pages {
        let seen = Sighting::new(page * 4096, Kind::Write, Method::DirtyRing);
        process.writer.record(None, seen);
    }
}

fn finish_epoch(process: &mut Process, number: u32) {
    process.writer.end_epoch(Epoch {
        number,
        start_ns: u64::from(number) << 50,
        end_ns: u64::from(number + 1) << 50,
        ..Epoch::default()
    });
    process
        .writer
        .begin_epoch(number + 1, u64::from(number + 1) << 50);
}

#[test]
fn everything_is_told_once_and_the_end_behind_it() {
    let mut process = Process::start(65_536);
    let (mut follower, mut kept) = (follow(&process), Kept::default());
    process.writer.begin_epoch(1, 1 << 50);
    let entry = MappingEntry {
        end: 0x5000,
        prot: PROT_READ,
        id: 7,
        ..MappingEntry::default()
    };
    process.writer.publish_mappings([entry].into_iter());
    touch(&mut process, 40_000);
    process.writer.mark("load", 5, 70);
    finish_epoch(&mut process, 1);
    follower.look(&mut kept).unwrap();
    follower.look(&mut kept).unwrap();
    touch(&mut process, 3);
    process.writer.mark("done", 6, 70);
    finish_epoch(&mut process, 2);
    process.writer.finish(End::Exited(3));
    follower.look(&mut kept).unwrap();
    assert_eq!(follower.running(), 0);
    follower.look(&mut kept).unwrap();
    assert_eq!(kept.events.len(), 40_003);
    assert_eq!(kept.epochs, [(1, 0), (2, 0)]);
    assert_eq!(kept.marks, ["load", "done"]);
    assert_eq!(kept.mappings, [7]);
    assert_eq!(kept.came, [0]);
    assert_eq!(kept.went, [Status::Ended(End::Exited(3))]);
    assert_eq!((kept.lost, kept.marks_lost), (0, 0));
    assert_eq!(kept.last_ns, 3 << 50);
}

#[test]
fn what_a_slow_reader_loses_is_told_with_the_epoch_that_it_belongs_to() {
    let mut process = Process::start(1024);
    let (mut follower, mut kept) = (follow(&process), Kept::default());
    process.writer.begin_epoch(1, 1 << 50);
    touch(&mut process, 100);
    finish_epoch(&mut process, 1);
    follower.look(&mut kept).unwrap();
    touch(&mut process, 50_000);
    finish_epoch(&mut process, 2);
    finish_epoch(&mut process, 3);
    follower.look(&mut kept).unwrap();
    let read = kept.events.len() as u64;
    assert!(read < 2000, "{read}");
    assert_eq!(kept.lost, 50_100 - read);
    assert_eq!(
        kept.epochs.iter().map(|epoch| epoch.1).sum::<u64>(),
        kept.lost
    );
    assert_eq!(kept.epochs[0], (1, 0));
}

#[test]
fn what_was_over_before_the_recorder_came_is_no_loss_of_its() {
    let mut process = Process::start(1024);
    process.writer.begin_epoch(1, 1 << 50);
    touch(&mut process, 50_000);
    let (mut follower, mut kept) = (follow(&process), Kept::default());
    follower.look(&mut kept).unwrap();
    let [before] = kept.came[..] else {
        panic!("{:?}", kept.came);
    };
    assert!(before > 48_000, "{before}");
    assert_eq!(before + kept.events.len() as u64 + kept.lost, 50_000);
    assert_eq!(kept.lost, 0);
}
