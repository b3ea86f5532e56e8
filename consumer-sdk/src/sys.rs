//! The few things asked of the operating system: clocks, identity, whether a process lives, and to sleep.

use crate::sync::AtomicU64;
use std::fs;
use std::time::Duration;

/// `CLOCK_MONOTONIC` in nanoseconds: the clock of every time in a segment.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME` in nanoseconds since 1970.
pub(crate) fn realtime_ns() -> u64 {
    clock_ns(libc::CLOCK_REALTIME)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // By system call: the writer may live in a process whose vDSO has been unmapped.
    // SAFETY: `now` is a live timespec of our own that the call fills. It cannot fail for these clocks,
    // and would leave zero behind if it did.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Wakes all who sleep on the low half of `word` (futex(2)); it is shared with other processes.
pub(crate) fn futex_wake(word: &AtomicU64) {
    // SAFETY: FUTEX_WAKE takes the address of a live word as a key, and neither reads nor writes there.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

/// Sleeps until somebody wakes those on the low half of `word`, for `timeout` at most; not at all if that half is
/// not `expected` any more. May return for no reason.
pub(crate) fn futex_wait(word: &AtomicU64, expected: u32, timeout: Duration) {
    let timeout = timespec(timeout);
    // SAFETY: `word` and `timeout` live for the call. FUTEX_WAIT only reads the word, atomically, which works
    // on a read-only mapping of a file; on this (little-endian) processor its low half comes first.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            &raw const timeout,
        )
    };
}

/// Like [`futex_wait`], on any of several words with the value each is expected to have. Without
/// futex_waitv(2), Linux 5.16, or for more words than it takes, this sleeps for a hundredth of a second at most.
pub(crate) fn futex_wait_any(words: &[(&AtomicU64, u32)], timeout: Duration) {
    /// struct futex_waitv of linux/futex.h.
    #[repr(C)]
    struct Waiter {
        value: u64,
        address: u64,
        flags: u32,
        reserved: u32,
    }
    /// FUTEX2_SIZE_U32: a word of four bytes, shared between processes.
    const SIZE_U32: u32 = 2;
    /// FUTEX_WAITV_MAX.
    const MOST: usize = 128;
    let waiters: Vec<Waiter> = words
        .iter()
        .map(|(word, expected)| Waiter {
            value: (*expected).into(),
            address: word.as_ptr() as u64,
            flags: SIZE_U32,
            reserved: 0,
        })
        .collect();
    if !waiters.is_empty() && waiters.len() <= MOST {
        let end = timespec(Duration::from_nanos(monotonic_ns()) + timeout);
        // SAFETY: the waiters and the time live for the call, which reads them, and the words, which it only
        // loads from.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_futex_waitv,
                waiters.as_ptr(),
                waiters.len(),
                0,
                &raw const end,
                libc::CLOCK_MONOTONIC,
            )
        };
        let errno = std::io::Error::last_os_error().raw_os_error();
        let slept = [libc::EAGAIN, libc::ETIMEDOUT, libc::EINTR].map(Some);
        if outcome >= 0 || slept.contains(&errno) {
            return;
        }
    }
    std::thread::sleep(timeout.min(Duration::from_millis(10)));
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Effective user of this process.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: geteuid takes nothing, touches no memory and cannot fail.
    unsafe { libc::geteuid() }
}

/// What /proc/PID/stat says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    /// Start in clock ticks since boot (field 22): with the pid it names one process for good.
    pub(crate) start: u64,
    /// Everything has ended and only the status is left to be collected.
    pub(crate) is_zombie: bool,
}

/// Reads /proc/PID/stat; `None` when there is no such process or no /proc.
pub(crate) fn process_stat(pid: u32) -> Option<ProcessStat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Source: proc_pid_stat(5). The command in parentheses may itself contain spaces and parentheses.
fn parse_stat(stat: &str) -> Option<ProcessStat> {
    let after_command = &stat[stat.rfind(')')? + 1..];
    // The first field here is number 3, the state.
    let fields: Vec<&str> = after_command.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    // A leader that has exited shows as a zombie while its other threads run on.
    let threads: u64 = field(20)?.parse().ok()?;
    let is_zombie = matches!(field(3)?, "Z" | "X") && threads <= 1;
    Some(ProcessStat {
        start: field(22)?.parse().ok()?,
        is_zombie,
    })
}

/// The users of a process: real, effective, saved, and that of its files. `None` when there is no such
/// process, or none that can be seen.
pub(crate) fn users_of(pid: u32) -> Option<[u32; 4]> {
    parse_users(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// Source: proc_pid_status(5).
fn parse_users(status: &str) -> Option<[u32; 4]> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let mut users = users.split_ascii_whitespace().map(|user| user.parse().ok());
    Some([
        users.next()??,
        users.next()??,
        users.next()??,
        users.next()??,
    ])
}

/// Whether the process that started at `start` (zero: unknown) still runs under this pid.
pub(crate) fn is_alive(pid: u32, start: u64) -> bool {
    match process_stat(pid) {
        Some(stat) => !stat.is_zombie && (start == 0 || stat.start == start),
        None => !proc_is_mounted() && pid_exists(pid),
    }
}

fn proc_is_mounted() -> bool {
    fs::exists("/proc/self/stat").unwrap_or(false)
}

/// Whether there is such a process, even if `/proc` hides it.
pub(crate) fn pid_exists(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else {
        return false;
    };
    // SAFETY: signal 0 is sent to nobody; the call only checks, and touches no memory.
    let outcome = unsafe { libc::kill(pid, 0) };
    outcome == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_start_behind_a_command_with_parentheses() {
        let line = "12 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 17 9999 19 20";
        let expected = ProcessStat {
            start: 9999,
            is_zombie: false,
        };
        assert_eq!(parse_stat(line), Some(expected));
    }

    #[test]
    fn a_dead_leader_with_living_threads_is_no_zombie() {
        let line =
            |threads| format!("12 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 {threads} 0 7 0");
        assert_eq!(parse_stat(&line(2)).map(|stat| stat.is_zombie), Some(false));
        assert_eq!(parse_stat(&line(1)).map(|stat| stat.is_zombie), Some(true));
    }

    #[test]
    fn the_users_of_a_process_are_its_four() {
        let status = "Name:\tUid: 7\nUid:\t1\t2\t3\t4\nGid:\t5\t5\t5\t5\n";
        assert_eq!(parse_users(status), Some([1, 2, 3, 4]));
        assert_eq!(parse_users("Uid:\t1\t2\n"), None);
        let own = users_of(std::process::id()).unwrap();
        assert_eq!(own[1], effective_uid());
    }

    #[test]
    fn this_process_is_alive_and_another_start_is_not() {
        let pid = std::process::id();
        let start = process_stat(pid).unwrap().start;
        assert!(is_alive(pid, start));
        assert!(!is_alive(pid, start + 1));
    }
}
