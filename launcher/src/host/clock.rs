//! Clocks, read by system call: the program may unmap or move the vDSO, which libc would go through.

use std::time::Duration;

use super::relay;

/// CLOCK_MONOTONIC in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    read_ns(libc::CLOCK_MONOTONIC)
}

/// Time since `start_ns`, which was read off the monotonic clock.
pub(crate) fn since(start_ns: u64) -> Duration {
    Duration::from_nanos(monotonic_ns().saturating_sub(start_ns))
}

fn read_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let args = [clock as u64, &raw mut now as u64, 0, 0, 0, 0];
    // SAFETY: `now` is writable for the call. For a clock that is gone it stays zero.
    unsafe { relay::raw(libc::SYS_clock_gettime, args) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
