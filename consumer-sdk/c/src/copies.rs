//! Copies: of a consumer, and of the finished epochs.

use crate::pointers;
use crate::types::Epoch;
use sdk::Consumer;

/// Another consumer of the same segment, which goes on from the same place with a cursor of its own: for another
/// thread, for example one that waits. It shares the first one's memory, needs no file to be there, and outlives it: also
/// a member of a session. Give it back with vmmload_detach.
///
/// Returns NULL for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_clone(consumer: Option<&Consumer>) -> Option<Box<Consumer>> {
    consumer.cloned().map(Box::new)
}

/// Copies the finished epochs that are still in their ring, oldest first, into the array out of so many elements, whatever
/// was read: vmmload_next_epoch goes on where it was.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_epochs(
    consumer: Option<&Consumer>,
    out: *mut Epoch,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for NULL or room for `capacity` epochs.
    let slots = unsafe { pointers::array(out, capacity) };
    let epochs = consumer.map(Consumer::epochs).unwrap_or_default();
    pointers::fill(slots, epochs.into_iter().map(Epoch::from))
}
