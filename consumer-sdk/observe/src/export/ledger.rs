//! Who has series of its own, and what is counted where.
//!
//! Everything is counted as it comes, once: in the account of its process if that has one, else in the account of the
//! others; and in the account of all. Accounts are never made smaller, so no counter goes back, wherever processes
//! come, go and move.

use super::counts::Counts;
use super::labels::Labels;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the counters of a process stay after its end, if there is room for them: a scrape, which is made once in a
/// minute where nothing else is said, has to find what they were at last.
const AFTER_THE_END: Duration = Duration::from_secs(120);

/// How many processes that have ended are remembered: a process with the same labels, as when a program executes itself,
/// goes on with their counters.
const REMEMBERED: usize = 1024;

/// All accounts.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Most processes with series of their own.
    most: usize,
    own: BTreeMap<Arc<Labels>, Account>,
    other: Counts,
    all: Counts,
}

/// What one process with series of its own has been counted for; or several, one after the other.
#[derive(Debug, Default)]
struct Account {
    counts: Counts,
    /// Processes that it belongs to now: two while one program takes the place of another.
    live: u32,
    /// When the last of them ended.
    ended: Option<Instant>,
    /// It is shown: has series.
    shown: bool,
}

impl Ledger {
    /// With series for `most` processes at most.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            own: BTreeMap::new(),
            other: Counts::default(),
            all: Counts::default(),
        }
    }

    /// How many more live processes can get series of their own.
    pub(crate) fn room(&self) -> usize {
        let live = self.own.values().filter(|account| account.live > 0);
        self.most.saturating_sub(live.count())
    }

    /// Gives a process that begins now, or was among the others, series of its own, until it ends.
    pub(crate) fn open(&mut self, labels: &Arc<Labels>) {
        let account = self.own.entry(Arc::clone(labels)).or_default();
        account.live += 1;
        account.ended = None;
        account.shown = true;
    }

    /// Counts what a process did: one with series of its own, or another.
    pub(crate) fn count(&mut self, labels: &Arc<Labels>, is_own: bool, more: &Counts) {
        self.all.add(more);
        match self.own.get_mut(labels).filter(|_| is_own) {
            Some(account) => account.counts.add(more),
            None => self.other.add(more),
        }
    }

    /// A process with series of its own has ended.
    pub(crate) fn close(&mut self, labels: &Arc<Labels>, now: Instant) {
        if let Some(account) = self.own.get_mut(labels) {
            account.live = account.live.saturating_sub(1);
            account.ended = (account.live == 0).then_some(now);
        }
    }

    /// Takes the series of processes that have ended away, where they have been there for long enough or others need
    /// the room, and forgets the oldest of them.
    pub(crate) fn tidy(&mut self, now: Instant) {
        let mut ended: Vec<(Instant, Arc<Labels>)> = self
            .own
            .iter()
            .filter_map(|(labels, account)| Some((account.ended?, Arc::clone(labels))))
            .collect();
        ended.sort();
        let mut excess = self.shown().count().saturating_sub(self.most);
        let mut forgotten = ended.len().saturating_sub(REMEMBERED);
        for (end, labels) in ended {
            let Some(account) = self.own.get_mut(&labels) else {
                continue;
            };
            let is_old = now.saturating_duration_since(end) >= AFTER_THE_END;
            if account.shown && (excess > 0 || is_old || forgotten > 0) {
                account.shown = false;
                excess = excess.saturating_sub(1);
            }
            if forgotten > 0 {
                self.own.remove(&labels);
                forgotten -= 1;
            }
        }
    }

    /// The accounts with series, ordered by pid.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&Arc<Labels>, &Counts)> {
        let shown = self.own.iter().filter(|(_, account)| account.shown);
        shown.map(|(labels, account)| (labels, &account.counts))
    }

    /// What was counted of processes while they had no series of their own.
    pub(crate) fn other(&self) -> &Counts {
        &self.other
    }

    /// What was counted of all processes.
    pub(crate) fn all(&self) -> &Counts {
        &self.all
    }
}
