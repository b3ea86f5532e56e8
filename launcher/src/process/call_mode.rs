//! Which way a thread's system calls take: out of the guest, each of them, or through the request page while a
//! runner runs the vCPU.
//!
//! In `auto` mode it is found out by trying. A thread whose calls come so often that leaving the guest is a good part of
//! its time tries the page for a moment; it goes on if its calls got faster, if neither of its two threads had to wait
//! for a processor, and as long as both stays so. Otherwise it leaves, and does not come back for a while, twice as
//! long each time. So where no processor is free, next to nothing is lost by trying.
//!
//! All times here are cycles of the time-stamp counter.

use crate::cli::CallMode;

/// Calls by which the pace is measured outside.
const CALLS: u32 = 16;

/// The same after a phase that was a gain.
const CALLS_AGAIN: u32 = 4;

/// Calls that come closer than so many exits cost are worth a trial: then more than a quarter of the time is exits'.
const DENSE_EXITS: u64 = 4;

/// Calls that come further apart in the page than so many exits cost are not worth a second processor.
const SPARSE_EXITS: u64 = 8;

/// After so many exits' time without a call, the owner takes the vCPU back: about what it costs to come back.
const IDLE_EXITS: u64 = 32;

/// A phase that was no gain, of one that was short of processors: per cent of the time that it waited for them.
const LOST_PER_CENT: u64 = 10;

/// How much faster calls must get in the page, in per cent of the time that they take outside.
const GAIN_PER_CENT: u64 = 75;

/// Calls that are so many times faster than outside are worth it even where the threads wait for processors.
const LARGE_GAIN: u64 = 2;

/// Microseconds after which a look is taken at how it goes.
const WINDOW_US: u64 = 4_000;

/// The shortest and the longest time outside after a phase that was no gain, in microseconds.
const SHORTEST_PAUSE_US: u64 = 10_000;
const LONGEST_PAUSE_US: u64 = 500_000;

/// What changes by the moment is asked again after so many microseconds.
const MOMENT_US: u64 = 5_000;

/// What an exit is taken to cost until some were seen, and what it is taken to cost at least, in microseconds.
const EXIT_US: u64 = 20;
const SHORTEST_EXIT_US: u64 = 1;

/// The longest that the owner, always in the page, looks for a call, in microseconds.
const ALWAYS_IDLE_US: u64 = 10_000;

/// How often a guest looks for an answer at least.
const FEWEST_LOOKS: u64 = 100;

/// A thread's way, and by what it is chosen.
pub(crate) struct Way {
    mode: CallMode,
    us: u64,
    outside: Outside,
    /// Calls after which a phase may begin.
    needed: u32,
    exit: u64,
    /// What one look at the page takes.
    pause: u64,
    phase: Option<Phase>,
    not_before: u64,
    pause_us: u64,
}

/// Calls that left the guest, since the last look.
#[derive(Default)]
struct Outside {
    calls: u32,
    since: u64,
    shortest: u64,
    /// Cycles from call to call in the last look, if they were dense.
    pace: Option<u64>,
}

/// A time during which a runner runs the vCPU.
struct Phase {
    /// The pace outside, before it.
    pace: Option<u64>,
    /// A trial: it ends where it turns out to be no better.
    on_trial: bool,
    window: Window,
    /// Since when the guest has run without a call.
    idle_since: u64,
    /// A call has come, or the phase has begun, since the owner last began to wait.
    was_called: bool,
}

/// Since the last look.
#[derive(Default)]
struct Window {
    since: u64,
    calls: u64,
    /// Calls for whose answer the guest did not wait long enough.
    left: u64,
    /// Time that the owner did not get a processor.
    lost: u64,
    /// Processor time that the runner had had.
    runner_ns: u64,
}

/// What is known of the two threads at the end of a window.
pub(crate) struct Seen {
    /// Processor time that the runner has had, in nanoseconds.
    pub runner_ns: u64,
    /// The budget has something left.
    pub has_budget: bool,
}

impl Way {
    /// Of a new thread. `tsc_khz`: the time-stamp counter's frequency.
    pub(crate) fn new(mode: CallMode, tsc_khz: u32) -> Self {
        let us = u64::from(tsc_khz / 1000).max(1);
        Self {
            mode,
            us,
            outside: Outside::default(),
            needed: CALLS,
            exit: EXIT_US * us,
            pause: us / 20 + 1,
            phase: None,
            not_before: 0,
            pause_us: SHORTEST_PAUSE_US,
        }
    }

    /// What an exit costs, as far as is known.
    pub(crate) fn exit(&self) -> u64 {
        self.exit
    }

    /// How often a guest looks for an answer before it leaves: for as long as leaving takes.
    pub(crate) fn limit(&self) -> u64 {
        (self.exit / self.pause).max(FEWEST_LOOKS)
    }

    /// One look at the page takes so many cycles.
    pub(crate) fn set_pause(&mut self, cycles: u64) {
        self.pause = cycles.max(1);
    }

    /// Whether a runner is to run the vCPU, as before.
    pub(crate) fn is_in_page(&self) -> bool {
        self.phase.is_some()
    }

    /// Whether a phase is to begin now, if there can be one.
    pub(crate) fn wants_page(&self, now: u64) -> bool {
        match self.mode {
            CallMode::Exit => false,
            _ if now < self.not_before => false,
            CallMode::Spin => true,
            CallMode::Auto => self.outside.pace.is_some(),
        }
    }

    /// Notes a call that left the guest, after this many cycles in it.
    pub(crate) fn left_guest(&mut self, ran: u64, now: u64) {
        if self.mode == CallMode::Exit {
            return;
        }
        let outside = &mut self.outside;
        if outside.calls == 0 {
            (outside.since, outside.shortest) = (now, ran);
        }
        outside.shortest = outside.shortest.min(ran);
        outside.calls += 1;
        if outside.calls <= self.needed {
            return;
        }
        self.exit = outside.shortest.max(SHORTEST_EXIT_US * self.us);
        let pace = now.saturating_sub(outside.since) / u64::from(self.needed);
        outside.pace = (pace < DENSE_EXITS * self.exit).then_some(pace);
        outside.calls = 0;
    }

    /// No phase can begin at the moment.
    pub(crate) fn not_now(&mut self, now: u64) {
        self.not_before = now + MOMENT_US * self.us;
    }

    /// No phase can begin: not before a while.
    pub(crate) fn cannot(&mut self, now: u64) {
        self.not_before = now + self.pause_us * self.us;
        self.pause_us = (2 * self.pause_us).min(LONGEST_PAUSE_US);
        self.needed = CALLS;
        self.outside = Outside::default();
    }

    /// A phase begins. `runner_ns`: processor time that its runner has had.
    pub(crate) fn begin(&mut self, runner_ns: u64, now: u64) {
        let window = Window {
            since: now,
            runner_ns,
            ..Window::default()
        };
        self.phase = Some(Phase {
            pace: self.outside.pace,
            on_trial: true,
            window,
            idle_since: now,
            was_called: true,
        });
    }

    /// Notes a call in the page; whether it is time to look how it goes.
    pub(crate) fn called(&mut self, now: u64) -> bool {
        let Some(phase) = &mut self.phase else {
            return false;
        };
        phase.window.calls += 1;
        phase.was_called = true;
        now.saturating_sub(phase.window.since) > WINDOW_US * self.us
    }

    /// Notes that the guest did not wait for an answer.
    pub(crate) fn left_page(&mut self) {
        if let Some(phase) = &mut self.phase {
            phase.window.left += 1;
        }
    }

    /// Notes cycles in which the owner would have looked for calls if it had had a processor.
    pub(crate) fn lost(&mut self, cycles: u64) {
        if let Some(phase) = &mut self.phase {
            phase.window.lost += cycles;
        }
    }

    /// More cycles than these between two looks at the page mean that the owner had no processor.
    pub(crate) fn gap(&self) -> u64 {
        20 * self.us
    }

    /// Notes that the owner begins to wait for the guest. That a call took long is no idleness, but what stops the guest
    /// between calls, such as a fault, ends none.
    pub(crate) fn waits(&mut self, now: u64) {
        if let Some(phase) = &mut self.phase
            && std::mem::take(&mut phase.was_called)
        {
            phase.idle_since = now;
        }
    }

    /// Whether no call has come for so long that the owner takes the vCPU back.
    pub(crate) fn is_idle(&self, now: u64) -> bool {
        let idle = |phase: &Phase| now.saturating_sub(phase.idle_since) > self.patience();
        self.phase
            .as_ref()
            .is_some_and(|phase| !phase.was_called && idle(phase))
    }

    /// How long the owner looks for the next call before it takes the vCPU back.
    pub(crate) fn patience(&self) -> u64 {
        match self.mode {
            CallMode::Spin => ALWAYS_IDLE_US * self.us,
            _ => IDLE_EXITS * self.exit,
        }
    }

    /// Looks how it goes; whether the phase goes on.
    pub(crate) fn look(&mut self, seen: &Seen, now: u64) -> bool {
        let Some(phase) = &mut self.phase else {
            return false;
        };
        let window = std::mem::take(&mut phase.window);
        (phase.window.since, phase.window.runner_ns) = (now, seen.runner_ns);
        if self.mode == CallMode::Spin {
            return true;
        }
        let lasted = now.saturating_sub(window.since).max(1);
        let outside = phase.pace.unwrap_or(0) * window.calls;
        let is_gain = !phase.on_trial || lasted * 100 < outside * GAIN_PER_CENT;
        let is_large_gain = lasted * LARGE_GAIN < outside;
        phase.on_trial = false;
        let is_waited_for = window.calls > 2 * window.left;
        let is_dense = window.calls * self.exit * SPARSE_EXITS > lasted;
        let is_at_ease = is_waited_for && !self.is_short(&window, seen, lasted);
        let goes_on = is_gain && (is_at_ease || is_large_gain);
        if goes_on && is_dense && seen.has_budget {
            self.pause_us = SHORTEST_PAUSE_US;
            self.needed = CALLS_AGAIN;
            return true;
        }
        if !goes_on {
            self.cannot(now);
        }
        self.end();
        false
    }

    /// Whether the two threads had to wait for processors.
    fn is_short(&self, window: &Window, seen: &Seen, lasted: u64) -> bool {
        let ran = seen.runner_ns.saturating_sub(window.runner_ns) * self.us / 1000;
        // A runner whose guest leaves sleeps of its own will.
        let runner_lost = match window.left {
            0 => lasted.saturating_sub(ran),
            _ => 0,
        };
        (window.lost.max(runner_lost)) * 100 > lasted * LOST_PER_CENT
    }

    /// No call has come for long, so the phase ends. One that has not proved yet to be a gain was none.
    pub(crate) fn idle(&mut self, now: u64) {
        let on_trial = self.phase.as_ref().is_some_and(|phase| phase.on_trial);
        if on_trial && self.mode == CallMode::Auto {
            self.cannot(now);
        }
        self.end();
    }

    /// Ends the phase.
    pub(crate) fn end(&mut self) {
        self.phase = None;
        self.outside = Outside::default();
    }
}

#[cfg(test)]
mod tests;
