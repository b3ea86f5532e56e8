//! Time on a processor.

use std::fs;

/// This thread's time on a processor (proc_pid_schedstat(5)), as of the last tick of the clock.
pub(crate) fn cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(0)
}
