//! Time on a processor.

use std::fs;

/// Parts that work is done in.
pub(crate) const PARTS: u64 = 5;

/// Nanoseconds of this thread's time on a processor for each of `count`, in the quickest of [`PARTS`] parts: a
/// processor that is shared with others makes as little difference as it can. `work` is given the number of the
/// part, and does `count` divided by the number of parts.
pub(crate) fn quickest(count: u64, mut work: impl FnMut(u64)) -> f64 {
    let part = |number| {
        let started = cpu_ns();
        work(number);
        (cpu_ns() - started) as f64
    };
    let least = (0..PARTS).map(part).min_by(f64::total_cmp);
    least.unwrap_or_default() / (count / PARTS) as f64
}

/// This thread's time on a processor (proc_pid_schedstat(5)), as of the last tick of the clock.
fn cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(0)
}
