//! What the threads of a process may spend on waiting for calls without leaving the guest.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::host::placement::Load;
use crate::host::processor;

/// What may be spent ahead, in cycles: some milliseconds.
const AHEAD: u64 = 16_000_000;

/// The budget of one process, and what it has spent.
pub(crate) struct SpinBudget {
    /// Processor time in per cent of one processor's.
    per_cent: u32,
    /// Threads that spend now.
    spending: AtomicU32,
    /// Cycles spent so far.
    spent: AtomicU64,
    since: u64,
    load: Load,
    /// The process has something that would show it.
    is_closed: AtomicBool,
}

impl SpinBudget {
    /// Of a process that has spent nothing yet.
    pub(crate) fn new(per_cent: u32) -> Self {
        Self {
            per_cent,
            spending: AtomicU32::new(0),
            spent: AtomicU64::new(0),
            since: processor::tsc(),
            load: Load::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Closes it for good.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Whether there is nobody to spend it on: no processor is free.
    pub(crate) fn are_processors_short(&self) -> bool {
        self.load.are_processors_short()
    }

    /// Whether there is anything left.
    pub(crate) fn has_left(&self, now: u64) -> bool {
        let earned = u128::from(now.wrapping_sub(self.since)) * u128::from(self.per_cent) / 100;
        let spent = u128::from(self.spent.load(Ordering::Relaxed));
        !self.is_closed.load(Ordering::Relaxed)
            && self.per_cent > 0
            && spent < earned + u128::from(AHEAD)
    }

    /// Takes a place among those that spend; whether there was one.
    fn enter(&self, now: u64) -> bool {
        let most = self.per_cent.div_ceil(100);
        let place = |spending| (spending < most).then_some(spending + 1);
        self.has_left(now)
            && self
                .spending
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, place)
                .is_ok()
    }

    /// Notes cycles that were spent: by two processors, where leaving the guest would have taken one.
    pub(crate) fn spend(&self, cycles: u64) {
        self.spent.fetch_add(cycles, Ordering::Relaxed);
    }

    fn leave(&self) {
        self.spending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One thread's place among those that spend. Its owner takes it; its runner gives it back when it goes to sleep, since
/// nobody waits for anything then.
pub(crate) struct Place {
    budget: &'static SpinBudget,
    is_taken: AtomicBool,
}

impl Place {
    /// None yet.
    pub(crate) fn new(budget: &'static SpinBudget) -> Self {
        Self {
            budget,
            is_taken: AtomicBool::new(false),
        }
    }

    /// Takes the place, if it is not taken; whether it is.
    pub(crate) fn take(&self, now: u64) -> bool {
        if self.is_taken.load(Ordering::Relaxed) {
            return true;
        }
        let taken = self.budget.enter(now);
        if taken {
            self.is_taken.store(true, Ordering::Relaxed);
        }
        taken
    }

    /// Gives it back.
    pub(crate) fn give(&self) {
        if self.is_taken.swap(false, Ordering::Relaxed) {
            self.budget.leave();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_threads_spend_than_are_paid_for() {
        let budget = SpinBudget::new(150);
        let now = processor::tsc();
        assert!(budget.enter(now) && budget.enter(now));
        assert!(!budget.enter(now));
        budget.leave();
        assert!(budget.enter(now));
    }

    #[test]
    fn a_place_is_given_back_once() {
        let budget: &'static SpinBudget = Box::leak(Box::new(SpinBudget::new(100)));
        let now = processor::tsc();
        let (one, other) = (Place::new(budget), Place::new(budget));
        assert!(one.take(now) && one.take(now));
        assert!(!other.take(now));
        one.give();
        one.give();
        assert!(other.take(now));
        assert!(!one.take(now));
        drop(other);
        assert!(one.take(now));
    }

    #[test]
    fn what_is_spent_must_have_been_earned() {
        let budget = SpinBudget::new(50);
        let now = budget.since;
        assert!(budget.has_left(now));
        budget.spend(AHEAD + 1000);
        assert!(!budget.has_left(now + 1000));
        assert!(!budget.enter(now + 1000));
        assert!(budget.has_left(now + 2002));
    }

    #[test]
    fn without_a_budget_nobody_spends() {
        let none = SpinBudget::new(0);
        assert!(!none.enter(processor::tsc()));
        let closed = SpinBudget::new(100);
        closed.close();
        assert!(!closed.enter(processor::tsc()));
    }
}
