//! When the harvester looks at the rings.

use std::time::Duration;

use crate::host::clock;

/// With an interval of zero: how soon it looks again after it has found something, and how late it does
/// after it has long found nothing.
const SHORTEST_NS: u64 = 1_000_000;
const LONGEST_NS: u64 = 16_000_000;

/// Moments an interval apart; those that were missed are left out. An interval of zero: as soon as makes
/// sense.
pub(super) struct Ticks {
    interval_ns: u64,
    /// For an interval of zero: the present pause.
    pause_ns: u64,
    next_ns: u64,
}

impl Ticks {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval_ns: u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX / 4),
            pause_ns: SHORTEST_NS,
            next_ns: clock::monotonic_ns(),
        }
    }

    /// The middle of the way to the next one, and the next one. `found`: whether there was anything at the
    /// last.
    pub(super) fn next(&mut self, found: bool) -> (u64, u64) {
        let now = clock::monotonic_ns();
        let interval_ns = match self.interval_ns {
            0 => self.next_pause(found),
            interval_ns => interval_ns,
        };
        let missed = now.saturating_sub(self.next_ns) / interval_ns;
        self.next_ns = self
            .next_ns
            .saturating_add((missed + 1).saturating_mul(interval_ns));
        (self.next_ns - interval_ns / 2, self.next_ns)
    }

    fn next_pause(&mut self, found: bool) -> u64 {
        self.pause_ns = match found {
            true => SHORTEST_NS,
            false => (2 * self.pause_ns).min(LONGEST_NS),
        };
        self.pause_ns
    }
}
