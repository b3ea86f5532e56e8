//! The model against segments that the tests write themselves.

use super::Model;
use crate::fleet::Scope;
use crate::top::sample::{ProcessSample, Sample};
use std::process::{Child, Command};
use std::rc::Rc;
use std::time::Duration;
use vmmload_consumer::{
    Consumer, End, Epoch, Kind, MappingClass, MappingEntry, Method, PROT_READ, PROT_WRITE,
    SegmentConfig, SegmentWriter, Sighting, Status, monotonic_ns,
};

/// A process that does nothing, with a segment that tests write.
struct Process {
    child: Child,
    writer: SegmentWriter,
    epoch: u32,
    /// On the clock of records, which the tests turn on as they like.
    now_ns: u64,
}

impl Process {
    fn start(change: impl FnOnce(&mut SegmentConfig)) -> Self {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut config = SegmentConfig {
            command: b"/usr/bin/sleep\0a\x1b[2J\0".to_vec(),
            ..SegmentConfig::new(child.id())
        };
        change(&mut config);
        let mut writer = SegmentWriter::create(&config).unwrap();
        let now_ns = monotonic_ns();
        writer.begin_epoch(1, now_ns);
        Self {
            child,
            writer,
            epoch: 1,
            now_ns,
        }
    }

    fn scope(&self) -> Scope {
        Scope::Session(Consumer::attach(self.child.id()).unwrap().session())
    }

    /// An epoch of this length, with events in pages of mapping 7.
    fn epoch(&mut self, ms: u64, pages: &[(u64, Kind)]) {
        for &(page, kind) in pages {
            let index = self.writer.region(page << 12, kind);
            let seen = Sighting {
                mapping: 7,
                ..Sighting::new(page << 12, kind, Method::DirtyRing)
            };
            self.writer.record(index, seen);
        }
        let mut touched: Vec<u64> = pages.iter().map(|(page, _)| *page).collect();
        touched.sort_unstable();
        touched.dedup();
        let start_ns = self.now_ns;
        self.now_ns += ms * 1_000_000;
        self.writer.end_epoch(Epoch {
            number: self.epoch,
            start_ns,
            end_ns: self.now_ns,
            cost_ns: ms * 100_000,
            touched: touched.len() as u32,
            ..Epoch::default()
        });
        self.epoch += 1;
        self.writer.begin_epoch(self.epoch, self.now_ns);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.writer.unlink();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn writes(pages: std::ops::Range<u64>) -> Vec<(u64, Kind)> {
    pages.map(|page| (page, Kind::Write)).collect()
}

#[track_caller]
fn only(sample: &Sample) -> Rc<ProcessSample> {
    assert_eq!(sample.processes.len(), 1);
    Rc::clone(&sample.processes[0])
}

#[test]
fn rates_are_by_the_time_between_epochs_whenever_one_looks() {
    let mut process = Process::start(|_| {});
    // Before anybody looked: in the totals, but in no rate.
    process.epoch(100, &writes(0..50));
    let mut model = Model::new(process.scope());
    assert_eq!(only(&model.sample()).rates, None);
    for _ in 0..4 {
        process.epoch(500, &writes(100..150));
    }
    process.epoch(500, &[(1, Kind::Read), (2, Kind::Kernel)]);
    let sample = only(&model.sample());
    // In 2.5 seconds, however long ago the last look was.
    assert_eq!(sample.rates, Some([80.0, 0.4, 0.4]));
    assert_eq!(sample.activity[&7], [80.0, 0.4, 0.4]);
    // No epoch has ended since: what is known stays true.
    assert_eq!(only(&model.sample()).rates, sample.rates);
    process.epoch(500, &writes(0..5));
    assert_eq!(only(&model.sample()).rates, Some([10.0, 0.0, 0.0]));
    assert_eq!(sample.touched, 100);
}

#[test]
fn the_working_set_is_that_of_the_last_epoch_also_by_mapping() {
    let mut process = Process::start(|_| {});
    process.epoch(100, &writes(0..50));
    let mut model = Model::new(process.scope());
    let late = only(&model.sample());
    // Known from the ring of epochs, but not by mapping.
    assert_eq!((late.pages(), late.working_set.is_none()), (Some(50), true));
    process.epoch(100, &writes(0..5));
    process.epoch(100, &[(1, Kind::Write), (1, Kind::Kernel), (2, Kind::Read)]);
    let sample = only(&model.sample());
    let set = sample.working_set.as_ref().unwrap();
    assert_eq!((sample.pages(), set.pages[&7]), (Some(2), 2));
    assert!(!set.is_incomplete);
    process.epoch(100, &[]);
    let idle = only(&model.sample());
    assert_eq!(idle.pages(), Some(0));
    assert!(idle.working_set.as_ref().unwrap().pages.is_empty());
}

#[test]
fn what_this_viewer_lost_is_counted_and_what_came_before_it_is_not() {
    let mut process = Process::start(|config| config.ring_records = 64);
    process.epoch(100, &writes(0..1000));
    let mut model = Model::new(process.scope());
    assert_eq!(only(&model.sample()).lost, 0);
    process.epoch(100, &[]);
    model.drain();
    process.epoch(100, &writes(0..100));
    let sample = only(&model.sample());
    let set = sample.working_set.as_ref().unwrap();
    // Who is overtaken leaves some room before going on.
    assert!(sample.lost >= 36 && set.is_incomplete);
    assert_eq!(sample.lost + u64::from(set.pages[&7]), 100);
    // Totals do not depend on the ring.
    assert_eq!(sample.rates, Some([500.0, 0.0, 0.0]));
}

#[test]
fn each_refresh_is_a_column_of_the_picture() {
    let mut process = Process::start(|_| {});
    let mut model = Model::new(process.scope());
    process.epoch(100, &writes(10..13));
    model.drain();
    process.epoch(100, &writes(10..11));
    let first = only(&model.sample());
    let blocks = &first.history.back().unwrap().blocks;
    let found: Vec<_> = blocks.iter().map(|b| (b.start >> 12, b.events)).collect();
    assert_eq!(found, [(10, 2), (11, 1), (12, 1)]);
    assert!(blocks.iter().all(|block| block.mapping == 7));
    let second = only(&model.sample());
    assert_eq!(second.history.len(), first.history.len() + 1);
    assert!(second.history.back().unwrap().blocks.is_empty());
    // What was shown stays what it was.
    assert!(!first.history.back().unwrap().blocks.is_empty());
    for _ in 0..300 {
        model.sample();
    }
    let history = only(&model.sample()).history.len();
    assert_eq!(history, crate::top::sample::MOST_COLUMNS);
}

#[test]
fn who_looks_closely_sees_the_pages_and_mappings_since_the_start() {
    let mut process = Process::start(|_| {});
    let entry = MappingEntry {
        start: 0x1000,
        end: 0x9000,
        prot: PROT_READ | PROT_WRITE,
        name: "[heap]",
        id: 7,
        class: MappingClass::Heap,
        ..MappingEntry::default()
    };
    process.writer.publish_mappings([entry].into_iter());
    process.epoch(100, &writes(1..5));
    process.epoch(100, &[(1, Kind::Kernel), (8, Kind::Read)]);
    let mut model = Model::new(process.scope());
    let mut sample = model.sample();
    let key = only(&sample).key;
    assert!(sample.footprint_of(key).is_none());
    model.look_closely(Some(key));
    model.closer(&mut sample);
    let footprint = sample.footprint_of(key).unwrap();
    assert_eq!(footprint.pages_in(&(0x1000..0x9000)), 5);
    assert_eq!(only(&sample).mappings.entries[0].name, "[heap]");
    model.look_closely(None);
    assert!(model.sample().footprint.is_none());
}

#[test]
fn a_process_that_ended_is_seen_once_more_and_a_session_that_ended_stays() {
    let mut process = Process::start(|_| {});
    let mut model = Model::new(process.scope());
    process.epoch(100, &writes(1..5));
    assert!(!model.sample().is_over);
    process.epoch(100, &writes(1..4));
    process.writer.finish(End::Exited(3));
    let last = model.sample();
    let ended = only(&last);
    assert_eq!(ended.status, Status::Ended(End::Exited(3)));
    assert_eq!((ended.pages(), ended.rates), (Some(3), None));
    assert!(!last.is_over);
    let over = model.sample();
    assert!(over.is_over);
    assert_eq!(only(&over).key, ended.key);
}

#[test]
fn a_process_that_executes_another_program_is_followed() {
    let mut process = Process::start(|_| {});
    let mut model = Model::new(process.scope());
    let before = only(&model.sample());
    process.writer.finish(End::Replaced);
    process.writer.unlink();
    let config = SegmentConfig {
        command: b"true\0".to_vec(),
        ..SegmentConfig::new(process.child.id())
    };
    process.writer = SegmentWriter::create(&config).unwrap();
    let sample = model.sample();
    let now = sample.process(before.key).unwrap();
    assert_eq!(
        (now.command.as_str(), now.status),
        ("true", Status::Running)
    );
    assert!(now.key.is_same_process(before.key) && now.key != before.key);
}

#[test]
fn a_process_that_is_stopped_comes_to_rest() {
    let mut process = Process::start(|config| config.interval_ns = 1_000_000);
    let mut model = Model::new(process.scope());
    process.epoch(10, &writes(0..10));
    assert_eq!(only(&model.sample()).rates, Some([1000.0, 0.0, 0.0]));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(only(&model.sample()).rates, Some([0.0; 3]));
}
