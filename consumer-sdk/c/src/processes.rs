//! Finding the processes.

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
