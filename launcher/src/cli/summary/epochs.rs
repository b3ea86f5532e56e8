//! The summary's lines on epochs: how long they were, what they cost, how much was touched in each.

use super::line;
use crate::cli::numbers::{counted, grouped, median, pages, percent, time};
use std::fmt::{self, Formatter};
use std::time::Duration;
use vmmload_consumer::{Counter, Epoch, Info};

/// What became of the epochs, as far as they are still known.
pub(super) struct Epochs {
    interval: Duration,
    max_overhead: u32,
    /// How many there were.
    all: u64,
    /// How many of them the numbers below are of.
    known: u64,
    /// Earlier ones are known no more.
    forgotten: bool,
    /// Sorted, nanoseconds.
    lengths: Vec<u64>,
    cost_ns: u64,
    /// Epochs that went on beyond one interval.
    stretched: u64,
    /// Over how many intervals more, in all epochs.
    intervals_more: u64,
    /// Pages touched in each epoch in which any were, sorted.
    working_sets: Vec<u32>,
    /// The most pages that were not watched for stores in an epoch.
    left_alone: u32,
}

impl Epochs {
    pub(super) fn of(epochs: &[Epoch], info: &Info) -> Self {
        let length = |epoch: &Epoch| epoch.end_ns.saturating_sub(epoch.start_ns);
        let mut lengths: Vec<u64> = epochs.iter().map(length).collect();
        lengths.sort_unstable();
        let touched = epochs.iter().map(|epoch| epoch.touched);
        let mut working_sets: Vec<u32> = touched.filter(|&pages| pages > 0).collect();
        working_sets.sort_unstable();
        Self {
            interval: info.interval,
            max_overhead: info.max_overhead,
            all: u64::from(info.epoch).max(epochs.len() as u64),
            known: epochs.len() as u64,
            forgotten: epochs.first().is_some_and(|first| first.number > 1),
            lengths,
            cost_ns: epochs.iter().map(|epoch| epoch.cost_ns).sum(),
            stretched: epochs.iter().filter(|epoch| epoch.ticks > 1).count() as u64,
            intervals_more: info.counter(Counter::StretchedTicks),
            working_sets,
            left_alone: epochs.iter().map(|e| e.left_alone).max().unwrap_or(0),
        }
    }

    pub(super) fn write(&self, out: &mut Formatter<'_>) -> fmt::Result {
        line(out, "epochs", self.lengths())?;
        if self.known == 0 {
            return Ok(());
        }
        line(out, "tracking", self.cost())?;
        line(out, "working set", self.working_set())
    }

    /// How many epochs there were, and how long they lasted.
    fn lengths(&self) -> String {
        let count = grouped(self.all);
        if self.interval.is_zero() {
            let shown = |ns: Option<u64>| time(Duration::from_nanos(ns.unwrap_or(0)));
            let least = shown(self.lengths.first().copied());
            let middle = shown(median(&self.lengths));
            let most = shown(self.lengths.last().copied());
            let lengths = match self.known {
                0 => String::new(),
                _ => format!(
                    ": least {least}, median {middle}, most {most}{}",
                    self.of_the_last()
                ),
            };
            return format!("{count}, as short as the limit of tracking allowed{lengths}");
        }
        let interval = humantime::format_duration(self.interval);
        if self.stretched == 0 && self.intervals_more == 0 {
            return format!("{count}, of {interval}");
        }
        let stretched = match self.forgotten || self.stretched == 0 {
            true => "some".into(),
            false => grouped(self.stretched),
        };
        let more = counted(self.intervals_more, "interval");
        format!(
            "{count}, of {interval}; {stretched} went on for longer, by {more}, to keep tracking \
             within its limit"
        )
    }

    /// What tracking took.
    fn cost(&self) -> String {
        let whole: u64 = self.lengths.iter().sum();
        let [cost, spent] = [self.cost_ns, whole].map(|ns| time(Duration::from_nanos(ns)));
        let share = percent(self.cost_ns, whole);
        let limit = match self.max_overhead {
            100.. => "no limit".into(),
            percent => format!("limit {percent} %"),
        };
        let left_alone = match self.left_alone {
            0 => String::new(),
            pages => format!(
                "; up to {} pages at a time were written so often that they were not watched",
                grouped(pages.into())
            ),
        };
        let of_the_last = self.of_the_last();
        format!("took about {cost} of {spent}, {share} ({limit}){left_alone}{of_the_last}")
    }

    /// How many pages were touched in one epoch.
    fn working_set(&self) -> String {
        let of_the_last = self.of_the_last();
        let shown = |touched: Option<u32>| pages(touched.unwrap_or(0).into());
        let Some(middle) = median(&self.working_sets) else {
            return format!("no page was touched in any epoch{of_the_last}");
        };
        let least = shown(self.working_sets.first().copied());
        let most = shown(self.working_sets.last().copied());
        let middle = shown(Some(middle));
        let idle = match self.known - self.working_sets.len() as u64 {
            0 => String::new(),
            idle => format!("; {} touched none", counted(idle, "epoch")),
        };
        format!(
            "pages touched in an epoch: least {least}, median {middle}, most {most}{idle}{of_the_last}"
        )
    }

    /// Which epochs that is true of, if not of all.
    fn of_the_last(&self) -> String {
        match self.forgotten {
            false => String::new(),
            true => format!(" (known of the last {} epochs)", grouped(self.known)),
        }
    }
}
