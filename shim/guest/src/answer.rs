//! Whether there is a vmmload around this program: asked once, and looked at before everything that is told to it.

use core::num::NonZeroU64;
use core::sync::atomic::{AtomicI32, Ordering};

use crate::{Refused, protocol};

/// Not asked yet.
const UNKNOWN: i32 = 0;
const NATIVE: i32 = -1;
const INSIDE: i32 = 1;

/// Relaxed wherever it is used: two threads that find it unknown both ask, and are told the same.
static ANSWER: AtomicI32 = AtomicI32::new(UNKNOWN);

#[inline]
pub(crate) fn is_inside() -> bool {
    match ANSWER.load(Ordering::Relaxed) {
        NATIVE => false,
        UNKNOWN => ask(),
        _ => true,
    }
}

#[cold]
fn ask() -> bool {
    let is_inside = protocol::ask() > 0;
    let answer = if is_inside { INSIDE } else { NATIVE };
    ANSWER.store(answer, Ordering::Relaxed);
    is_inside
}

/// Calls a function whose answer says only whether it was done.
#[cold]
pub(crate) fn tell(function: u64, arguments: [u64; 3]) -> Result<(), Refused> {
    // SAFETY: the callers take what these arguments point to as references, or as addresses that are not read.
    match unsafe { protocol::call(function, arguments) } {
        0.. => Ok(()),
        error => Err(Refused::with(-error as i32)),
    }
}

/// Calls a function without arguments whose answer is a number.
#[cold]
pub(crate) fn number(function: u64) -> Option<NonZeroU64> {
    // SAFETY: the function takes no arguments.
    let answer = unsafe { protocol::call(function, [0; 3]) };
    NonZeroU64::new(answer.max(0) as u64)
}
