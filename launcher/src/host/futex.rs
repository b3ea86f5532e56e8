//! Waiting for a number to change, and for nobody else to (futex(2)).

use std::sync::atomic::AtomicU32;

use super::relay;

/// Sleeps while `word` is `value`, until somebody wakes who waits there, or for less: a signal ends it too.
pub(crate) fn sleep_while(word: &AtomicU32, value: u32) {
    let wait = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as u64;
    let args = [word.as_ptr() as u64, wait, value.into(), 0, 0, 0];
    // SAFETY: the number is readable for the call.
    unsafe { relay::raw(libc::SYS_futex, args) };
}

/// Wakes who sleeps there.
pub(crate) fn wake(word: &AtomicU32) {
    let wake = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as u64;
    let args = [word.as_ptr() as u64, wake, i32::MAX as u64, 0, 0, 0];
    // SAFETY: the call takes the address only to find who waits there.
    unsafe { relay::raw(libc::SYS_futex, args) };
}
