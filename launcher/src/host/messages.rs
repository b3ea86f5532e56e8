//! Lines of ours on standard error while the program runs, which must not notice them otherwise.

use super::{relay, signals};

/// What a write can send to its thread: SIGPIPE where nobody reads, SIGXFSZ beyond a size limit.
const SENT_BY_WRITE: u64 = 1 << (libc::SIGPIPE - 1) | 1 << (libc::SIGXFSZ - 1);

/// Writes one line. A standard error that is closed, full or broken swallows it: the program's own
/// course goes on.
pub(crate) fn say(text: &str) {
    let line = format!("vmmload: {text}\n");
    let mask = signals::set_mask(u64::MAX);
    let waiting = pending() & SENT_BY_WRITE;
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        let args = [2, rest.as_ptr() as u64, rest.len() as u64, 0, 0, 0];
        // SAFETY: `rest` is readable for the call.
        match unsafe { relay::raw(libc::SYS_write, args) } {
            written @ 1.. => rest = &rest[written as usize..],
            _ => break,
        }
    }
    forget(SENT_BY_WRITE & !waiting);
    signals::set_mask(mask);
}

fn pending() -> u64 {
    let mut set = 0u64;
    // SAFETY: `set` is writable for the call.
    unsafe {
        relay::raw(
            libc::SYS_rt_sigpending,
            [&raw mut set as u64, 8, 0, 0, 0, 0],
        )
    };
    set
}

/// Takes the blocked signals of `set` off the queue.
fn forget(set: u64) {
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let args = [&raw const set as u64, 0, &raw const now as u64, 8, 0, 0];
    // SAFETY: set and time are readable for the call; the siginfo is not asked for.
    while unsafe { relay::raw(libc::SYS_rt_sigtimedwait, args) } > 0 {}
}
