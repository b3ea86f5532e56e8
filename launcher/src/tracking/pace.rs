//! How long an epoch lasts, so that the program keeps most of its time.
//!
//! Where KVM takes a fault for the first store to an armed page, a program that writes many pages can
//! need longer than an epoch for those faults alone; armed again at every tick, it would do
//! nothing else. So an epoch goes on, over one tick after the other, until the faults that its
//! pages will take make up no more than the share of the program's time that the user allows. Nothing is
//! lost: the rings keep the pages.
//!
//! The program's time is the processor time of its threads: while one waits for a processor it pays for
//! nothing. But a thread that sleeps nearly all the time would never have paid for the few pages that it touches when it
//! wakes up, and keep everybody's epoch from ending: what is a hundredth of the time that has passed, or less, is a trifle.

use std::time::Duration;

use super::vcpu_log::VcpuLog;
use crate::host::clock;
use crate::machine::Arming;

/// So much of the time that has passed, its reciprocal, nobody notices.
const TRIFLE: u128 = 100;

/// Why an epoch has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It was time, and paid for.
    Time,
    /// The program has asked for it: what it has not paid for yet stays to be paid.
    Asked,
}

/// When the present epoch may end.
pub(super) struct Pace {
    arming: Arming,
    /// Per cent of the program's time that faults may take.
    max_overhead: u64,
    /// Processor time that all threads together are to have first, for pages armed for loads.
    reads_due_ns: u64,
    /// The longest that any thread is to run first.
    longest_due_ns: u64,
    /// When that began to count, CLOCK_MONOTONIC nanoseconds.
    armed_ns: u64,
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
            reads_due_ns: 0,
            longest_due_ns: 0,
            armed_ns: clock::monotonic_ns(),
            ticks: 0,
            stretched: 0,
        }
    }

    /// Whether the threads have run for long enough since pages were armed, as far as they run at all: nothing
    /// that is armed costs anything before they do.
    pub(super) fn is_paid(&self, logs: &mut [VcpuLog]) -> bool {
        let mut paid = true;
        let mut all_ran_ns = 0u64;
        let mut idle = true;
        for log in logs {
            if log.is_idle() {
                continue;
            }
            idle = false;
            if self.longest_due_ns == 0 {
                continue;
            }
            let ran_ns = log.ran_ns().unwrap_or(u64::MAX);
            paid &= ran_ns >= log.due_ns() || self.is_trifle(log.due_ns());
            all_ran_ns = all_ran_ns.saturating_add(ran_ns);
        }
        idle || paid && all_ran_ns >= self.reads_due_ns
    }

    /// Whether the faults that a thread has to run for so long for take a hundredth of the time since pages were
    /// armed, or less.
    fn is_trifle(&self, due_ns: u64) -> bool {
        let cost_ns = u128::from(due_ns) * u128::from(self.max_overhead) / 100;
        cost_ns * TRIFLE <= clock::since(self.armed_ns).as_nanos()
    }

    /// Whether the epoch ends at this tick: it does when it is `paid`.
    pub(super) fn ends(&mut self, paid: bool) -> bool {
        self.stretched += u64::from(!paid);
        self.ticks += 1;
        paid
    }

    /// Whether the present epoch has to go on for longer than an interval.
    pub(super) fn must_stretch(&self, interval: Duration) -> bool {
        let shortest = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        self.longest_due_ns > shortest
    }

    /// Notes that pages were armed again just now: those that each vCPU has stored to, and where loads are
    /// watched, all `touched` ones; `fresh` of them for the first time. Returns what arming has cost the program
    /// in the epoch that ended, in nanoseconds, and the ticks of that epoch.
    pub(super) fn armed(
        &mut self,
        logs: &mut [VcpuLog],
        touched: u64,
        fresh: u64,
        why: Reason,
    ) -> (u64, u32) {
        let mut carried = self.carried_ns(logs, why);
        let (mut most, mut longest) = (0, 0);
        for log in logs {
            let unpaid = match why {
                Reason::Time => 0,
                Reason::Asked => log.unpaid_ns(),
            };
            let stored = log.take_stored();
            most = most.max(stored);
            let due = self.due_ns(self.stores_ns(stored)).saturating_add(unpaid);
            longest = due.max(longest);
            log.owe(due);
        }
        carried = carried.saturating_add(self.due_ns(self.loads_ns(touched)));
        self.armed_ns = clock::monotonic_ns();
        self.reads_due_ns = carried;
        self.longest_due_ns = longest.max(self.reads_due_ns);
        let again = |pages: u64| pages.saturating_sub(fresh);
        let cost_ns = self.stores_ns(again(most)) + self.loads_ns(again(touched));
        (cost_ns, std::mem::take(&mut self.ticks))
    }

    /// What is left to be paid for loads after an epoch that has ended like this.
    fn carried_ns(&self, logs: &[VcpuLog], why: Reason) -> u64 {
        if why == Reason::Time || self.reads_due_ns == 0 {
            return 0;
        }
        let ran = logs.iter().filter_map(VcpuLog::ran_ns);
        let ran_ns = ran.fold(0, u64::saturating_add);
        self.reads_due_ns.saturating_sub(ran_ns)
    }

    fn stores_ns(&self, pages: u64) -> u64 {
        pages.saturating_mul(self.arming.store_ns)
    }

    fn loads_ns(&self, pages: u64) -> u64 {
        let reads = self.arming.reads.map_or(0, |reads| reads.access_ns);
        pages.saturating_mul(reads)
    }

    /// Processor time of which `cost_ns` is the allowed share.
    fn due_ns(&self, cost_ns: u64) -> u64 {
        match self.max_overhead {
            100 => 0,
            share => cost_ns.saturating_mul(100) / share,
        }
    }

    /// Ticks over which an epoch went on.
    pub(super) fn stretched(&self) -> u64 {
        self.stretched
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::host::threads;
    use crate::probes::rearm::{Outcome, Rearm};
    use crate::process::state::VcpuStats;

    const ARMING: Arming = Arming {
        store_ns: 25_000,
        reads: None,
    };

    /// The log of a vCPU that this thread uses, in the guest or not.
    fn log(in_guest: bool) -> VcpuLog {
        let stats = Arc::new(VcpuStats::default());
        stats.thread.store(threads::id(), Ordering::Relaxed);
        stats.set_in_guest(in_guest);
        VcpuLog::new(0, None, stats)
    }

    #[test]
    fn epochs_go_on_until_the_threads_have_had_their_time() {
        let mut logs = [log(true)];
        let mut pace = Pace::new(ARMING, 50);
        logs[0].owe(20_000_000);
        pace.longest_due_ns = 20_000_000;
        assert!(!pace.is_paid(&mut logs));
        // Time alone pays nothing.
        std::thread::sleep(Duration::from_millis(30));
        assert!(!pace.is_paid(&mut logs));
        while logs[0].ran_ns().unwrap() < 20_000_000 {}
        assert!(pace.is_paid(&mut logs));
    }

    #[test]
    fn a_thread_that_sleeps_pays_for_a_trifle_by_sleeping() {
        let mut logs = [log(true)];
        let mut pace = Pace::new(ARMING, 50);
        // 0.5 ms of faults.
        logs[0].owe(1_000_000);
        pace.longest_due_ns = 1_000_000;
        assert!(!pace.is_paid(&mut logs));
        std::thread::sleep(Duration::from_millis(50));
        assert!(logs[0].ran_ns().unwrap() < 1_000_000);
        assert!(pace.is_paid(&mut logs));
    }

    #[test]
    fn idle_threads_and_those_that_are_gone_owe_nothing() {
        for gone in [false, true] {
            let mut logs = [log(gone)];
            let mut pace = Pace::new(ARMING, 50);
            logs[0].owe(u64::MAX);
            pace.longest_due_ns = u64::MAX;
            if gone {
                logs[0].stats.thread.store(0, Ordering::Relaxed);
            }
            assert!(pace.is_paid(&mut logs));
        }
    }

    #[test]
    fn ticks_are_counted() {
        let mut pace = Pace::new(ARMING, 33);
        assert!(!pace.ends(false));
        assert!(!pace.ends(false));
        assert!(pace.ends(true));
        assert_eq!(pace.stretched(), 2);
        assert_eq!(pace.armed(&mut [], 0, 0, Reason::Time), (0, 3));
    }

    #[test]
    fn an_epoch_that_was_asked_for_leaves_what_is_unpaid() {
        let mut logs = [log(true)];
        let reads = Some(Outcome {
            rearm: Rearm::Drop,
            access_ns: 1_000_000_000,
        });
        let mut pace = Pace::new(Arming { reads, ..ARMING }, 50);
        logs[0].owe(1_000_000_000);
        pace.armed(&mut logs, 10, 0, Reason::Asked);
        // A thread runs for less than that between two lines.
        assert!(logs[0].due_ns() > 500_000_000, "{}", logs[0].due_ns());
        let once = pace.reads_due_ns;
        pace.armed(&mut logs, 10, 0, Reason::Asked);
        assert!(pace.reads_due_ns > once + once / 2);
        pace.armed(&mut logs, 0, 0, Reason::Time);
        assert_eq!((logs[0].due_ns(), pace.longest_due_ns), (0, 0));
    }

    #[test]
    fn the_limit_is_a_share_of_the_time_and_can_be_lifted() {
        for (max_overhead, due_ns) in [(100, 0), (50, 2_000_000), (1, 100_000_000)] {
            assert_eq!(Pace::new(ARMING, max_overhead).due_ns(1_000_000), due_ns);
        }
    }

    #[test]
    fn where_loads_are_watched_every_page_that_was_armed_before_has_its_price() {
        let reads = Some(Outcome {
            rearm: Rearm::Drop,
            access_ns: 1_000,
        });
        let mut pace = Pace::new(Arming { reads, ..ARMING }, 50);
        assert_eq!(pace.armed(&mut [], 30, 10, Reason::Time), (20_000, 0));
        assert_eq!(pace.longest_due_ns, 60_000);
        assert!(pace.must_stretch(Duration::from_micros(59)));
        assert!(!pace.must_stretch(Duration::from_micros(60)));
    }
}
