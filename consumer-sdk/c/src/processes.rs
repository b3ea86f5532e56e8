//! Finding the processes, and what the library does to its own.

use crate::pointers::{array, fill};

/// Copies the pids of this user's processes that run in vmmload now into the array pids of so many elements, in ascending
/// order.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_list(pids: *mut u32, capacity: usize) -> usize {
    // SAFETY: the header asks for NULL or room for `capacity` pids.
    let slots = unsafe { array(pids, capacity) };
    fill(slots, sdk::list().iter().map(|info| info.pid))
}

/// Makes the library leave the signals of this program as they are; call it before anything is attached.
///
/// Otherwise the first attach installs a handler for SIGBUS, once: should somebody cut a segment's file short while it is
/// read, the reader finds zeroes, and vmmload_status is VMMLOAD_TRUNCATED. Without it, that ends the program. What does
/// not happen in a segment is passed on to the handler that was there before. A handler that is installed later takes the
/// place of this one, and has to call it for what is none of its own. No thread that reads may block SIGBUS.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_leave_sigbus_alone() {
    sdk::leave_sigbus_alone();
}
