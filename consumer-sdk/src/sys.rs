//! The few facts asked of the operating system: clocks, identity, and whether a process lives.

use std::fs;

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

fn pid_exists(pid: u32) -> bool {
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
    fn this_process_is_alive_and_another_start_is_not() {
        let pid = std::process::id();
        let start = process_stat(pid).unwrap().start;
        assert!(is_alive(pid, start));
        assert!(!is_alive(pid, start + 1));
    }
}
