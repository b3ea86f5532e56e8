//! Clocks, read by system call: the program may unmap or move the vDSO, which libc would go through.

use std::sync::atomic::{AtomicU32, Ordering};
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

/// Processor time that a thread of this process has had, in nanoseconds; None where there is no such thread.
pub(crate) fn thread_ns(tid: i32) -> Option<u64> {
    // CPUCLOCK_PERTHREAD and CPUCLOCK_SCHED of the kernel's include/linux/posix-timers_types.h.
    try_read_ns(!tid << 3 | 6)
}

fn read_ns(clock: libc::clockid_t) -> u64 {
    // A clock that is gone stands still.
    try_read_ns(clock).unwrap_or(0)
}

fn try_read_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let args = [clock as u64, &raw mut now as u64, 0, 0, 0, 0];
    // SAFETY: `now` is writable for the call.
    let answer = unsafe { relay::raw(libc::SYS_clock_gettime, args) };
    (answer == 0).then_some(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Something that a waiting thread is told.
#[derive(Debug, Default)]
pub(crate) struct Notice(AtomicU32);

impl Notice {
    /// Tells it.
    pub(crate) fn give(&self) {
        self.0.store(1, Ordering::Release);
        let wake = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as u64;
        let all = i32::MAX as u64;
        // SAFETY: the call takes the address only to find who waits there.
        unsafe { relay::raw(libc::SYS_futex, [self.address(), wake, all, 0, 0, 0]) };
    }

    /// As if it had not been told.
    pub(crate) fn take_back(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Waits until it is told or the monotonic clock shows `ns`; whether it was told.
    pub(crate) fn wait_until(&self, ns: u64) -> bool {
        let until = libc::timespec {
            tv_sec: (ns / 1_000_000_000) as i64,
            tv_nsec: (ns % 1_000_000_000) as i64,
        };
        let wait = (libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG) as u64;
        let until = &raw const until as u64;
        let any = libc::FUTEX_BITSET_MATCH_ANY as u32;
        while self.0.load(Ordering::Acquire) == 0 {
            let args = [self.address(), wait, 0, until, 0, any.into()];
            // SAFETY: the number and the time are readable for the call.
            if unsafe { relay::raw(libc::SYS_futex, args) } == -i64::from(libc::ETIMEDOUT) {
                return false;
            }
        }
        true
    }

    fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_or_gives_up() {
        let notice = Notice::default();
        assert!(!notice.wait_until(monotonic_ns() + 1_000_000));
        let far = monotonic_ns() + 60_000_000_000;
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| notice.wait_until(far));
            notice.give();
            assert!(waits.join().unwrap());
        });
        notice.take_back();
        assert!(!notice.wait_until(0));
    }
}
