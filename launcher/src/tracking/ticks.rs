//! The moments at which the harvester looks, and how it is told to stop.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::host::clock;

/// Asks the harvester's thread to end.
#[derive(Debug, Default)]
pub(super) struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Asks.
    pub(super) fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }

    /// Waits for `longest`, or until asked; whether it was asked.
    fn wait(&self, longest: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(asked, longest, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Moments an interval apart; those that were missed are left out.
pub(super) struct Ticks {
    interval_ns: u64,
    next_ns: u64,
}

impl Ticks {
    /// The first comes in one `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        let interval_ns = u64::try_from(interval.as_nanos())
            .unwrap_or(u64::MAX / 4)
            .max(1);
        Self {
            interval_ns,
            next_ns: clock::monotonic_ns(),
        }
    }

    /// Waits for the next moment; false when `stop` came first.
    pub(super) fn wait(&mut self, stop: &Stop) -> bool {
        let now = clock::monotonic_ns();
        let missed = now.saturating_sub(self.next_ns) / self.interval_ns;
        self.next_ns = self
            .next_ns
            .saturating_add((missed + 1).saturating_mul(self.interval_ns));
        !stop.wait(Duration::from_nanos(self.next_ns.saturating_sub(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_long_interval_ends_when_a_stop_is_asked_for() {
        let stop = Arc::new(Stop::default());
        let asked = stop.clone();
        let waiting =
            std::thread::spawn(move || Ticks::new(Duration::from_secs(3600)).wait(&asked));
        stop.ask();
        assert!(!waiting.join().unwrap());
    }

    #[test]
    fn without_a_stop_the_moment_comes() {
        assert!(Ticks::new(Duration::from_millis(1)).wait(&Stop::default()));
    }
}
