//! Follows the processes: reads what they publish, and says at each refresh how things stand.

mod epoch_pages;
pub(crate) mod footprint;
mod process;
mod spread;
#[cfg(test)]
mod tests;

use super::sample::{Key, ProcessSample, Sample};
use crate::fleet::{Fleet, Scope};
use footprint::Footprint;
use process::Watched;
use std::rc::Rc;
use std::time::{Duration, Instant};
use vmmload_consumer::{End, Event, Status};

/// Records that are read at a time.
const BATCH: usize = 4096;
/// Most blocks in the histories of all processes together: about 100 MB.
const MOST_BLOCKS: usize = 4 << 20;
/// A footprint is taken again when so many times as long has passed as it took: a process with a hundred gigabytes
/// must not keep its viewer busy.
const FOOTPRINT_REST: u32 = 20;

/// All processes in scope.
#[derive(Debug)]
pub(crate) struct Model {
    scope: Scope,
    fleet: Fleet<Watched>,
    buffer: Vec<Event>,
    /// Programs met so far.
    met: u64,
    /// The process that is looked at closely.
    close: Option<Key>,
    footprint: Option<(Key, Rc<Footprint>)>,
    footprint_due: Instant,
    /// Those of the last refresh in which there were any.
    last: Vec<Rc<ProcessSample>>,
    /// How the process looked at closely was last seen.
    last_close: Option<Rc<ProcessSample>>,
}

impl Model {
    /// Attaches to the processes in scope.
    pub(crate) fn new(scope: Scope) -> Self {
        let mut model = Self {
            scope,
            fleet: Fleet::new(scope),
            buffer: vec![Event::default(); BATCH],
            met: 0,
            close: None,
            footprint: None,
            footprint_due: Instant::now(),
            last: Vec::new(),
            last_close: None,
        };
        model.refresh(Instant::now());
        model
    }

    fn refresh(&mut self, now: Instant) {
        let met = &mut self.met;
        self.fleet.refresh(|consumer| {
            *met += 1;
            Watched::begin(consumer, *met, now)
        });
    }

    /// Reads the records that are there, so that the rings need not keep them until the next refresh.
    pub(crate) fn drain(&mut self) {
        for member in self.fleet.members_mut() {
            member.kept.drain(&mut member.consumer, &mut self.buffer);
        }
    }

    /// Tells which process's footprint is wanted.
    pub(crate) fn look_closely(&mut self, key: Option<Key>) {
        if self.close != key {
            self.close = key;
            self.footprint_due = Instant::now();
            self.last_close = None;
        }
    }

    /// Ends a refresh.
    pub(crate) fn sample(&mut self) -> Sample {
        let now = Instant::now();
        self.refresh(now);
        self.drain();
        let members = self.fleet.members_mut().iter_mut();
        let sample = members.map(|member| {
            let (consumer, status) = (&mut member.consumer, member.status);
            Rc::new(member.kept.sample(consumer, status, now))
        });
        let processes: Vec<Rc<ProcessSample>> = sample.collect();
        self.bound_histories();
        self.finish(processes, now)
    }

    /// Takes the footprint of the process that is looked at closely, without ending a refresh.
    pub(crate) fn closer(&mut self, sample: &mut Sample) {
        self.take_footprint(Instant::now());
        sample.footprint = self.footprint.clone();
    }

    fn finish(&mut self, processes: Vec<Rc<ProcessSample>>, now: Instant) -> Sample {
        let mut sample = Sample {
            processes,
            ..Sample::default()
        };
        if let Some(found) = self.close.and_then(|key| sample.process(key)) {
            self.last_close = Some(Rc::clone(found));
            // It may execute another program by now.
            self.close = Some(found.key);
        }
        sample.ended = self.last_close.clone();
        if !sample.processes.is_empty() {
            self.last.clone_from(&sample.processes);
        } else if matches!(self.scope, Scope::Session(_)) {
            sample.processes.clone_from(&self.last);
            // What executes another program comes again in a moment.
            let goes_on =
                |process: &Rc<ProcessSample>| process.status == Status::Ended(End::Replaced);
            sample.is_over = !self.last.iter().any(goes_on);
        }
        self.take_footprint(now);
        sample.footprint = self.footprint.clone();
        sample
    }

    fn take_footprint(&mut self, now: Instant) {
        let Some(key) = self.close else {
            self.footprint = None;
            return;
        };
        if now < self.footprint_due {
            return;
        }
        let members = self.fleet.members();
        let Some(member) = members.iter().find(|member| member.kept.key() == key) else {
            // What was seen of it last is what it was.
            return;
        };
        let began = Instant::now();
        self.footprint = Some((key, Rc::new(Footprint::of(&member.consumer))));
        let took = began.elapsed();
        let rest = took.checked_mul(FOOTPRINT_REST).unwrap_or(Duration::MAX);
        self.footprint_due = now.checked_add(rest).unwrap_or(now);
    }

    /// Makes the histories of processes that nobody looks at shorter where all together are too long.
    fn bound_histories(&mut self) {
        let close = self.close;
        let members = self.fleet.members_mut();
        let mut sum: usize = members.iter().map(|member| member.kept.blocks()).sum();
        for member in members {
            if sum <= MOST_BLOCKS {
                break;
            }
            if Some(member.kept.key()) != close {
                let before = member.kept.blocks();
                member.kept.forget();
                sum -= before - member.kept.blocks();
            }
        }
    }
}
