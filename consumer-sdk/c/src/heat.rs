//! Totals of pages since the process started.

use crate::pointers::{array, fill};
use crate::types::Heat;
use sdk::Consumer;

/// Copies the totals of all touched pages since the process started into the array out of so many elements, in no
/// particular order. A page that was touched in two ways comes twice.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied, and out may be NULL to
/// ask for the number alone. Between two calls there may be more of them. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_heat_read(
    consumer: Option<&Consumer>,
    out: *mut Heat,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for NULL or room for `capacity` totals.
    let slots = unsafe { array(out, capacity) };
    consumer.map_or(0, |consumer| fill(slots, consumer.heat().map(Heat::from)))
}
