//! How long an epoch lasts, so that the program keeps most of its time.
//!
//! Where KVM takes a fault for the first store to an armed page, a program that writes many pages can
//! need longer than an epoch for those faults alone; armed again at every tick, it would do
//! nothing else. So an epoch goes on, over one tick after the other, until the faults that its
//! pages will take make up no more than a share of it. Nothing is lost: the rings keep the pages.

/// An epoch lasts at least this many times as long as the faults of the pages armed at its
/// beginning: they may take a third of the program's time.
const TIMES: u64 = 3;

/// A write-protection fault stays in the kernel and takes about a quarter of an exit to user space,
/// within a factor of three on the kinds of KVM that were measured.
const FAULTS_PER_EXIT: u64 = 4;

/// When the present epoch may end.
pub(super) struct Pace {
    fault_ns: u64,
    due_ns: u64,
    stretched: u64,
}

impl Pace {
    /// For a KVM whose exit to user space takes `exit_ns`.
    pub(super) fn new(exit_ns: u64) -> Self {
        Self {
            fault_ns: exit_ns / FAULTS_PER_EXIT,
            due_ns: 0,
            stretched: 0,
        }
    }

    /// Whether the epoch ends at this tick. It always does while no vCPU runs: nothing that is armed
    /// now costs anything before one does.
    pub(super) fn ends(&mut self, now_ns: u64, idle: bool) -> bool {
        let ends = idle || now_ns >= self.due_ns;
        self.stretched += u64::from(!ends);
        ends
    }

    /// Notes that pages were armed again just now, `pages` at most of any one vCPU.
    pub(super) fn armed(&mut self, now_ns: u64, pages: u64) {
        let faults_ns = pages.saturating_mul(self.fault_ns);
        self.due_ns = now_ns.saturating_add(faults_ns.saturating_mul(TIMES));
    }

    /// Ticks over which an epoch went on.
    pub(super) fn stretched(&self) -> u64 {
        self.stretched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_pages_are_armed_at_every_tick() {
        let mut pace = Pace::new(100_000);
        pace.armed(0, 100);
        assert!(pace.ends(100_000_000, false));
        assert_eq!(pace.stretched(), 0);
    }

    #[test]
    fn many_pages_stretch_the_epoch_unless_nothing_runs() {
        let mut pace = Pace::new(100_000);
        pace.armed(0, 10_000);
        assert!(!pace.ends(100_000_000, false));
        assert!(pace.ends(100_000_000, true));
        assert!(pace.ends(750_000_000, false));
        assert_eq!(pace.stretched(), 1);
    }
}
