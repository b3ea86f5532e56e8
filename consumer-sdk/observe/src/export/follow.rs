//! Follows one process: what has come since the last look.

use super::classes::Classes;
use super::counts::{CLASSES, Count, Counts, HeaderCounts, class_index};
use super::labels::Labels;
use std::sync::Arc;
use std::time::Duration;
use vmmload_consumer::{Consumer, Event, Info, Mappings, PAGE_SIZE, ProcessId, Track};

/// Most reads of a buffer in one look at a process that runs: one that is faster than its reader has the others wait no
/// longer than that.
const MOST_READS: usize = 64;

/// Most epochs that are read in one look: as many as their ring holds.
const MOST_EPOCHS: usize = 4096;

/// What is kept of a process between two looks.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) labels: Arc<Labels>,
    /// It has series of its own.
    pub(crate) is_own: bool,
    header: HeaderCounts,
    classes: Classes,
    /// Number of the last finished epoch that was read.
    finished: u32,
    pub(crate) gauges: Gauges,
}

/// Numbers of a process that go up and down, and facts. Sizes are bytes, times nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges {
    /// Touched in the last finished epoch, and in the one with the most.
    pub(crate) working_set: u64,
    pub(crate) working_set_peak: u64,
    /// Not watched for stores in the last finished epoch.
    pub(crate) left_alone: u64,
    /// Touched since the process started.
    pub(crate) touched: u64,
    /// Mapped, by class.
    pub(crate) mapped: [u64; CLASSES.len()],
    /// Length of the last finished epoch.
    pub(crate) epoch: u64,
    pub(crate) interval: u64,
    /// Since 1970.
    pub(crate) started: Duration,
    pub(crate) track: &'static str,
    pub(crate) uid: u32,
    pub(crate) parent: Option<ProcessId>,
}

impl Gauges {
    /// Adds those of another process, as far as they can be added.
    pub(crate) fn add(&mut self, more: &Self) {
        let sizes = [
            (&mut self.working_set, more.working_set),
            (&mut self.left_alone, more.left_alone),
            (&mut self.touched, more.touched),
        ];
        let mapped = self.mapped.iter_mut().zip(more.mapped);
        for (size, by) in sizes.into_iter().chain(mapped) {
            *size = size.saturating_add(by);
        }
    }
}

impl Followed {
    /// Of a process that is new here.
    pub(crate) fn new(consumer: &Consumer) -> Self {
        let info = consumer.info();
        Self {
            labels: Arc::new(Labels::of(&info)),
            is_own: false,
            header: HeaderCounts::default(),
            classes: Classes::default(),
            finished: 0,
            gauges: Gauges {
                interval: saturated_ns(info.interval),
                started: info.started,
                track: info.track.map_or("unknown", Track::name),
                uid: info.uid,
                parent: info.parent,
                ..Gauges::default()
            },
        }
    }

    /// Reads what has come, and gives it. `ended`: the process has, and everything that is left is read.
    pub(crate) fn follow(
        &mut self,
        consumer: &mut Consumer,
        buffer: &mut [Event],
        ended: bool,
    ) -> Counts {
        let mut counts = Counts::default();
        let info = consumer.info();
        self.header.catch_up(&info, &mut counts);
        self.gauges.touched = pages_to_bytes(info.pages);
        self.read_epochs(consumer, &mut counts);
        self.read_events(consumer, buffer, ended, &mut counts);
        self.look_at_mappings(consumer);
        // All mappings of finished epochs are in the table by now, and of all that there will ever be.
        let finished = if ended { u32::MAX } else { self.finished };
        self.classes.settle(finished, &mut counts.classes);
        let mapped = self.gauges.mapped.iter().enumerate();
        for (class, _) in mapped.filter(|&(_, &bytes)| bytes > 0) {
            counts.present |= 1 << class;
        }
        counts
    }

    fn read_epochs(&mut self, consumer: &mut Consumer, counts: &mut Counts) {
        for epoch in std::iter::from_fn(|| consumer.next_epoch()).take(MOST_EPOCHS) {
            let touched = pages_to_bytes(epoch.touched.into());
            counts.grow(Count::Epochs, 1);
            counts.grow(Count::EpochBytes, touched);
            counts.grow(Count::Tracking, epoch.cost_ns);
            self.finished = self.finished.max(epoch.number);
            let gauges = &mut self.gauges;
            gauges.working_set = touched;
            gauges.working_set_peak = gauges.working_set_peak.max(touched);
            gauges.left_alone = pages_to_bytes(epoch.left_alone.into());
            gauges.epoch = epoch.end_ns.saturating_sub(epoch.start_ns);
        }
    }

    fn read_events(
        &mut self,
        consumer: &mut Consumer,
        buffer: &mut [Event],
        ended: bool,
        counts: &mut Counts,
    ) {
        for _ in 0..if ended { usize::MAX } else { MOST_READS } {
            let batch = consumer.read(buffer);
            counts.grow(Count::Lost, batch.lost);
            self.look_at_mappings(consumer);
            for event in &buffer[..batch.read] {
                self.classes.count(event, &mut counts.classes);
            }
            if batch.read < buffer.len() {
                return;
            }
        }
    }

    /// Copies the table of mappings if it has changed. Where it changes all the time, the last copy stays in use until
    /// the next look.
    fn look_at_mappings(&mut self, consumer: &Consumer) {
        if self.classes.is_current(consumer.mappings_version()) {
            return;
        }
        if let Some(mappings) = consumer.mappings() {
            self.classes.renew(&mappings);
            self.gauges.mapped = mapped(&mappings);
        }
    }
}

fn mapped(mappings: &Mappings) -> [u64; CLASSES.len()] {
    let mut bytes = [0_u64; CLASSES.len()];
    for mapping in &mappings.entries {
        let size = mapping.end.saturating_sub(mapping.start);
        let sum = &mut bytes[class_index(mapping.class)];
        *sum = sum.saturating_add(size);
    }
    bytes
}

fn pages_to_bytes(pages: u64) -> u64 {
    pages.saturating_mul(PAGE_SIZE as u64)
}

fn saturated_ns(length: Duration) -> u64 {
    length.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// Events of a process so far, all kinds: what decides who gets series of its own.
pub(crate) fn events(info: &Info) -> u64 {
    info.totals.iter().fold(0, |sum, &n| sum.saturating_add(n))
}
