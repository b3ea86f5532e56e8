//! How long an epoch lasts, so that the program keeps most of its time.
//!
//! Where KVM takes a fault for the first store to an armed page, a program that writes many pages can
//! need longer than an epoch for those faults alone; armed again at every tick, it would do
//! nothing else. So an epoch goes on, over one tick after the other, until the faults that its
//! pages will take make up no more than the share of it that the user allows. Nothing is lost: the rings
//! keep the pages.

use std::time::Duration;

use crate::machine::Arming;

/// When the present epoch may end.
pub(super) struct Pace {
    arming: Arming,
    /// Per cent of an epoch that faults may take.
    max_overhead: u64,
    armed_ns: u64,
    due_ns: u64,
    /// Ticks of the present epoch.
    ticks: u32,
    stretched: u64,
}

impl Pace {
    /// For a KVM where arming costs what `arming` says. `max_overhead`: per cent; 100 is no limit.
    pub(super) fn new(arming: Arming, max_overhead: u32) -> Self {
        Self {
            arming,
            max_overhead: max_overhead.clamp(1, 100).into(),
            armed_ns: 0,
            due_ns: 0,
            ticks: 0,
            stretched: 0,
        }
    }

    /// Whether the epoch ends at this tick. It always does while no vCPU runs: nothing that is armed
    /// now costs anything before one does.
    pub(super) fn ends(&mut self, now_ns: u64, idle: bool) -> bool {
        let ends = idle || now_ns >= self.due_ns;
        self.stretched += u64::from(!ends);
        self.ticks += 1;
        ends
    }

    /// Whether the present epoch has to go on for longer than an interval.
    pub(super) fn must_stretch(&self, interval: Duration) -> bool {
        let shortest = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        self.due_ns.saturating_sub(self.armed_ns) > shortest
    }

    /// Nanoseconds that the program pays for `stored` armed pages that one vCPU stores to, and `touched`
    /// armed pages that all of them touch.
    pub(super) fn cost_ns(&self, stored: u64, touched: u32) -> u64 {
        let reads = self.arming.reads.map_or(0, |reads| reads.access_ns);
        let stores = stored.saturating_mul(self.arming.store_ns);
        stores.saturating_add(u64::from(touched).saturating_mul(reads))
    }

    /// Notes that pages were armed again just now, which cost `cost_ns` in the epoch that ended, and will
    /// do so again if the program goes on as it did. Returns the ticks of that epoch.
    pub(super) fn armed(&mut self, now_ns: u64, cost_ns: u64) -> u32 {
        self.armed_ns = now_ns;
        self.due_ns = match self.max_overhead {
            100 => now_ns,
            share => now_ns.saturating_add(cost_ns.saturating_mul(100) / share),
        };
        std::mem::take(&mut self.ticks)
    }

    /// Ticks over which an epoch went on.
    pub(super) fn stretched(&self) -> u64 {
        self.stretched
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::rearm::{Outcome, Rearm};

    const ARMING: Arming = Arming {
        store_ns: 25_000,
        reads: None,
    };

    #[test]
    fn few_pages_are_armed_at_every_tick() {
        let mut pace = Pace::new(ARMING, 33);
        pace.armed(0, pace.cost_ns(100, 100));
        assert!(pace.ends(100_000_000, false));
        assert_eq!(pace.stretched(), 0);
    }

    #[test]
    fn many_pages_stretch_the_epoch_unless_nothing_runs() {
        let mut pace = Pace::new(ARMING, 33);
        pace.armed(0, pace.cost_ns(10_000, 10_000));
        assert!(!pace.ends(100_000_000, false));
        assert!(pace.ends(100_000_000, true));
        assert!(pace.ends(758_000_000, false));
        assert_eq!(pace.stretched(), 1);
        assert_eq!(pace.armed(758_000_000, 0), 3);
    }

    #[test]
    fn the_limit_is_a_share_of_the_time_and_can_be_lifted() {
        for (max_overhead, due_ns) in [(100, 0), (50, 2_000_000), (1, 100_000_000)] {
            let mut pace = Pace::new(ARMING, max_overhead);
            pace.armed(0, 1_000_000);
            assert!(pace.ends(due_ns, false), "{max_overhead}");
            assert!(
                due_ns == 0 || !pace.ends(due_ns - 1, false),
                "{max_overhead}"
            );
        }
    }

    #[test]
    fn where_reads_are_watched_every_touched_page_has_its_price() {
        let reads = Some(Outcome {
            rearm: Rearm::Drop,
            access_ns: 1_000,
        });
        let pace = Pace::new(Arming { reads, ..ARMING }, 33);
        assert_eq!(pace.cost_ns(2, 30), 80_000);
    }
}
