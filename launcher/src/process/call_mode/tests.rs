//! When a thread's calls go through the page, and when not.

use super::*;

const MHZ: u64 = 1000;
const US: u64 = MHZ;
const EXIT: u64 = 10 * US;

/// A thread in `auto` mode whose calls leave the guest, one each `pace` cycles.
struct Thread {
    way: Way,
    now: u64,
}

impl Thread {
    fn new(mode: CallMode) -> Self {
        Self {
            way: Way::new(mode, 1000 * MHZ as u32),
            now: 1,
        }
    }

    fn calls_outside(&mut self, pace: u64) {
        for _ in 0..2 * CALLS + 2 {
            self.now += pace;
            self.way.left_guest(EXIT, self.now);
        }
    }

    /// A phase with a call each `pace` cycles until the first look; whether it goes on.
    fn phase(&mut self, pace: u64, change: impl FnOnce(&mut Way, &mut Seen)) -> bool {
        if !self.way.is_in_page() {
            self.way.begin(0, self.now);
        }
        let began = self.now;
        loop {
            self.now += pace;
            if self.way.called(self.now) {
                break;
            }
        }
        let mut seen = Seen {
            runner_ns: (self.now - began) * 1000 / US,
            has_budget: true,
        };
        change(&mut self.way, &mut seen);
        self.way.look(&seen, self.now)
    }

    /// Microseconds until it would try again.
    fn pause(&self) -> u64 {
        self.way.not_before.saturating_sub(self.now) / US
    }
}

#[test]
fn dense_calls_are_worth_a_trial_and_sparse_ones_are_not() {
    let mut thread = Thread::new(CallMode::Auto);
    assert!(!thread.way.wants_page(thread.now));
    thread.calls_outside(5 * EXIT);
    assert!(!thread.way.wants_page(thread.now));
    thread.calls_outside(2 * EXIT);
    assert!(thread.way.wants_page(thread.now));
    assert_eq!(thread.way.exit(), EXIT);
}

#[test]
fn a_phase_with_faster_calls_goes_on() {
    let mut thread = Thread::new(CallMode::Auto);
    thread.calls_outside(EXIT);
    assert!(thread.phase(US, |_, _| ()));
    assert!(thread.way.is_in_page());
    // Once on its way, it need not get faster still.
    assert!(thread.phase(EXIT, |_, seen| seen.runner_ns *= 2));
}

#[test]
fn a_phase_without_gain_ends_for_longer_each_time() {
    let mut thread = Thread::new(CallMode::Auto);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        thread.now = thread.now.max(thread.way.not_before);
        thread.calls_outside(EXIT);
        assert!(thread.way.wants_page(thread.now));
        assert!(!thread.phase(EXIT * 9 / 10, |_, _| ()));
        assert!(!thread.way.wants_page(thread.now));
        pauses.push(thread.pause());
    }
    assert_eq!(pauses[..3], [10_000, 20_000, 40_000]);
    assert_eq!(pauses[9], LONGEST_PAUSE_US);
}

#[test]
fn a_phase_ends_where_a_thread_waits_for_a_processor() {
    type Change = fn(&mut Way, &mut Seen);
    let starved: [Change; 2] = [
        |way, _| way.lost(WINDOW_US * US / 5),
        |_, seen| seen.runner_ns /= 2,
    ];
    for change in starved {
        let mut thread = Thread::new(CallMode::Auto);
        thread.calls_outside(EXIT);
        assert!(!thread.phase(EXIT / 2, change));
        assert!(thread.pause() > 0);
        // Unless calls are much faster even so.
        let mut thread = Thread::new(CallMode::Auto);
        thread.calls_outside(EXIT);
        assert!(thread.phase(US, change));
        assert!(!thread.phase(EXIT / 2, change));
    }
}

#[test]
fn a_phase_ends_where_the_guest_does_not_wait_for_its_calls() {
    let mut thread = Thread::new(CallMode::Auto);
    thread.calls_outside(EXIT);
    let leave = |way: &mut Way, _: &mut Seen| (0..600).for_each(|_| way.left_page());
    assert!(!thread.phase(EXIT / 2, leave));
}

#[test]
fn a_phase_that_has_cost_its_budget_or_became_sparse_ends_without_a_pause() {
    let mut thread = Thread::new(CallMode::Auto);
    thread.calls_outside(EXIT);
    assert!(!thread.phase(US, |_, seen| seen.has_budget = false));
    assert_eq!(thread.pause(), 0);
    thread.calls_outside(EXIT);
    assert!(thread.phase(US, |_, _| ()));
    assert!(!thread.phase(9 * EXIT, |_, seen| seen.runner_ns *= 2));
    assert_eq!(thread.pause(), 0);
}

#[test]
fn the_other_modes_never_ask_whether_it_pays() {
    let mut exit = Thread::new(CallMode::Exit);
    exit.calls_outside(EXIT);
    assert!(!exit.way.wants_page(exit.now));
    let mut spin = Thread::new(CallMode::Spin);
    assert!(spin.way.wants_page(spin.now));
    assert!(spin.phase(20 * EXIT, |_, seen| seen.runner_ns = 0));
    spin.way.cannot(spin.now);
    assert!(!spin.way.wants_page(spin.now));
}

#[test]
fn a_trial_that_no_call_comes_in_is_no_gain() {
    let mut thread = Thread::new(CallMode::Auto);
    thread.calls_outside(EXIT);
    thread.way.begin(0, thread.now);
    thread.way.idle(thread.now);
    assert_eq!(thread.pause(), SHORTEST_PAUSE_US);
    thread.now = thread.way.not_before;
    thread.calls_outside(EXIT);
    assert!(thread.phase(US, |_, _| ()));
    thread.way.idle(thread.now);
    assert_eq!(thread.pause(), 0);
}

#[test]
fn a_guest_that_stops_again_and_again_without_a_call_is_idle_all_the_same() {
    let mut thread = Thread::new(CallMode::Auto);
    thread.calls_outside(EXIT);
    assert!(thread.phase(US, |_, _| ()));
    // A call that takes long.
    thread.now += 100 * IDLE_EXITS * EXIT;
    thread.way.waits(thread.now);
    for _ in 0..IDLE_EXITS {
        assert!(!thread.way.is_idle(thread.now));
        thread.now += EXIT + 1;
        thread.way.waits(thread.now);
    }
    assert!(thread.way.is_idle(thread.now));
    thread.way.called(thread.now);
    assert!(!thread.way.is_idle(thread.now));
    thread.way.end();
    assert!(!thread.way.is_idle(u64::MAX));
}
