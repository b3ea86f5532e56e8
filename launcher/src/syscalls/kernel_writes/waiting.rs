//! Waiting for descriptors, signals and time.

use super::effect::Writes;
use super::sizes::TIMESPEC;
use crate::host::questions;

/// struct pollfd: descriptor, events, and then what was found.
const POLLFD: u64 = 8;
const REVENTS: u64 = 6;
/// personality(2): time limits are left as they are.
const STICKY_TIMEOUTS: u64 = 0x400_0000;

/// The call was interrupted by a signal that has a handler.
fn is_interrupted(w: &Writes<'_>) -> bool {
    w.result == Err(libc::EINTR)
}

/// poll(2) and ppoll(2): what was found of each descriptor, even if a signal came.
pub(super) fn poll(w: &mut Writes<'_>) {
    if w.returned().is_some() || is_interrupted(w) {
        w.strided(w.arg(0).wrapping_add(REVENTS), POLLFD, 2, w.arg(1));
        // poll(2) has a number there, and never a note of the time that is left.
        left_time(w, w.arg(2));
    }
}

/// select(2) and pselect6(2): the sets, in words of 64 descriptors, and the time that is left.
pub(super) fn select(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        let bytes = u64::from(w.arg(0) as u32).div_ceil(64) * 8;
        for set in 1..4 {
            w.span(w.arg(set), bytes);
        }
    }
    if w.returned().is_some() || is_interrupted(w) || w.result == Err(libc::EBADF) {
        left_time(w, w.arg(4));
    }
}

/// What is left of a time limit, unless that was zero from the start (poll_select_finish).
fn left_time(w: &mut Writes<'_>, at: u64) {
    if w.had_limit() && questions::personality() & STICKY_TIMEOUTS == 0 {
        w.span(at, 16);
    }
}

/// nanosleep(2): what is left, if a signal came.
pub(super) fn nanosleep(w: &mut Writes<'_>) {
    if is_interrupted(w) {
        w.span(w.arg(1), TIMESPEC.into());
    }
}

/// clock_nanosleep(2): the same, unless it was until a given time.
pub(super) fn clock_nanosleep(w: &mut Writes<'_>) {
    if is_interrupted(w) && w.arg(1) & libc::TIMER_ABSTIME as u64 == 0 {
        w.span(w.arg(3), TIMESPEC.into());
    }
}

/// rt_sigpending(2): as much of the set as was asked for.
pub(super) fn rt_sigpending(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        w.span(w.arg(0), w.arg(1));
    }
}
