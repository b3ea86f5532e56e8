//! Watches all live processes, and says how things stand after each look.

use super::counts::Counts;
use super::follow::{Followed, Gauges, events};
use super::labels::Labels;
use super::ledger::Ledger;
use super::missed::{Missed, is_alive};
use crate::fleet::{Fleet, Scope};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use vmmload_consumer::{End, Event, Status, monotonic_ns};

/// Children of a process that are looked at in one look.
const MOST_CHILDREN: usize = 4096;

/// Records that are read at a time.
const BUFFER: usize = 4096;

/// All live processes, and what they have been counted for.
#[derive(Debug)]
pub(crate) struct Watch {
    fleet: Fleet<Followed>,
    ledger: Ledger,
    missed: Missed,
    buffer: Vec<Event>,
    most: usize,
    seen: u64,
    ended: u64,
}

/// How things stand.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Processes with series of their own, ordered by pid.
    pub(crate) own: Vec<Row>,
    /// All others. Their [`Row::gauges`] are sums over those that live.
    pub(crate) other: Row,
    /// All, those that have ended included.
    pub(crate) all: Counts,
    /// Processes that live, and those of them that have series of their own.
    pub(crate) live: usize,
    pub(crate) live_own: usize,
    /// Most that may have.
    pub(crate) most: usize,
    /// Processes since the start, each program that one executes for itself; and how many have ended.
    pub(crate) seen: u64,
    pub(crate) ended: u64,
    /// Those that came and went between two looks, and are not among them.
    pub(crate) missed: u64,
    /// When this was so.
    pub(crate) looked: SystemTime,
}

/// One process, or all others.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) labels: Arc<Labels>,
    pub(crate) counts: Counts,
    /// `None` when it has ended.
    pub(crate) gauges: Option<Gauges>,
}

impl Watch {
    /// Of the processes in scope, `most` of which get series of their own.
    pub(crate) fn new(scope: Scope, most: usize) -> Self {
        Self {
            fleet: Fleet::new(scope),
            ledger: Ledger::new(most),
            missed: Missed::since(monotonic_ns()),
            buffer: vec![Event::default(); BUFFER],
            most,
            seen: 0,
            ended: 0,
        }
    }

    /// Looks which processes there are and what they have done.
    pub(crate) fn look(&mut self) -> Snapshot {
        let (seen, missed) = (&mut self.seen, &mut self.missed);
        self.fleet.refresh(|consumer| {
            *seen += 1;
            missed.meet(consumer.id());
            Followed::new(consumer)
        });
        // Those that have ended make room for others.
        self.follow_all(true);
        self.open_accounts();
        self.follow_all(false);
        self.ledger.tidy(Instant::now());
        self.settle_missed();
        self.snapshot()
    }

    /// Counts what those have done that have ended, or those that have not.
    fn follow_all(&mut self, ended: bool) {
        for member in self.fleet.members_mut() {
            if (member.status != Status::Running) != ended {
                continue;
            }
            let kept = &mut member.kept;
            let more = kept.follow(&mut member.consumer, &mut self.buffer, ended);
            self.ledger.count(&kept.labels, kept.is_own, &more);
            for child in std::iter::from_fn(|| member.consumer.next_child()).take(MOST_CHILDREN) {
                self.missed.tell(child);
            }
            if ended {
                if member.status == Status::Ended(End::Replaced) {
                    self.missed.executes(member.consumer.id());
                }
                self.ended += 1;
                if kept.is_own {
                    self.ledger.close(&kept.labels, Instant::now());
                }
            }
        }
    }

    fn settle_missed(&mut self) {
        let members = self.fleet.members().iter();
        let running = members.filter(|member| member.status == Status::Running);
        let watched: HashSet<_> = running.map(|member| member.consumer.id()).collect();
        let is_watched = |process| watched.contains(&process);
        self.missed.settle(is_alive, is_watched);
    }

    /// Gives series to those with the most events, as long as there is room.
    fn open_accounts(&mut self) {
        let room = self.ledger.room();
        if room == 0 {
            return;
        }
        let members = self.fleet.members_mut().iter_mut();
        let mut waiting: Vec<_> = members
            .filter(|member| member.status == Status::Running && !member.kept.is_own)
            .collect();
        waiting.sort_by_cached_key(|member| Reverse(events(&member.consumer.info())));
        for member in waiting.into_iter().take(room) {
            member.kept.is_own = true;
            self.ledger.open(&member.kept.labels);
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut own_gauges = BTreeMap::new();
        let mut other_gauges = Gauges::default();
        let members = self.fleet.members().iter();
        let live: Vec<_> = members
            .filter(|member| member.status == Status::Running)
            .map(|member| &member.kept)
            .collect();
        for kept in &live {
            match kept.is_own {
                true => drop(own_gauges.insert(&kept.labels, &kept.gauges)),
                false => other_gauges.add(&kept.gauges),
            }
        }
        let row = |(labels, counts): (&Arc<Labels>, &Counts)| Row {
            labels: Arc::clone(labels),
            counts: counts.clone(),
            gauges: own_gauges.get(labels).copied().cloned(),
        };
        Snapshot {
            own: self.ledger.shown().map(row).collect(),
            other: Row {
                labels: Arc::new(Labels::other()),
                counts: self.ledger.other().clone(),
                gauges: Some(other_gauges),
            },
            all: self.ledger.all().clone(),
            live: live.len(),
            live_own: live.iter().filter(|kept| kept.is_own).count(),
            most: self.most,
            seen: self.seen,
            ended: self.ended,
            missed: self.missed.count(),
            looked: SystemTime::now(),
        }
    }
}
