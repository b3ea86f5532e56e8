//! Lets a program tell vmmload, from inside, what it is doing: which phase begins, what a piece of memory is called,
//! and where one epoch ends and the next begins.
//!
//! ```
//! let mut table = vec![0_u64; 100_000];
//! vmmload_guest::name_region(&table[..], c"table")?;
//! vmmload_guest::mark(c"fill")?;
//! table.fill(1);
//! vmmload_guest::mark(c"sum")?;
//! assert_eq!(table.iter().sum::<u64>(), 100_000);
//! # Ok::<(), vmmload_guest::Refused>(())
//! ```
//!
//! No dependencies, no allocation, no C library, no `std`: the preload library uses it before anything else in its
//! process has run.
//!
//! Whether the program runs in vmmload is asked at the first use of any function, by a [system call](protocol) that every
//! kernel refuses and only vmmload answers. The answer is kept, for every function is to cost nothing where there is no
//! vmmload: a load and a branch, with the arguments not looked at. It stays over fork(2), and a program that is
//! executed asks anew. So [`inside`] before a seccomp(2) filter that forbids prctl(2) is enough for all that follows.
//!
//! All functions may be called by any thread, at any time, also in a signal handler. Inside, each is a system call; marks
//! and epochs belong to the whole process, whichever thread makes them.
//!
//! Names are `&CStr`, which a literal like `c"fill"` is: its address goes to vmmload as it stands, and nothing is copied or
//! looked for here. A name that is put together needs a `CString`, which is worth making only [`inside`]. Names have 1 to
//! 255 bytes; vmmload copies them before the call returns.

#![no_std]

mod answer;
pub mod protocol;
mod refused;

use core::ffi::CStr;
use core::num::NonZeroU64;

pub use refused::Refused;

/// Whether this program runs in vmmload.
///
/// Costs one system call at the first use, and a load and a branch from then on, inside as natively.
#[inline]
#[must_use]
pub fn inside() -> bool {
    answer::is_inside()
}

/// Says that a phase of the program begins now, and with it that the one before has ended. Readers get the mark with the
/// time and the number of the epoch that it falls into. The epoch goes on: to have every store before the mark in other
/// epochs than every store behind it, end the [`epoch`] right after it.
///
/// ```
/// # fn step(number: u32) {}
/// for number in 0..3 {
///     if vmmload_guest::inside() {
///         let name = std::ffi::CString::new(format!("step {number}"))?;
///         vmmload_guest::mark(&name)?;
///     }
///     step(number);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// None natively. Inside, `EINVAL`: the name is empty; `ENAMETOOLONG`: it is longer than 255 bytes.
#[inline]
pub fn mark(phase: &CStr) -> Result<(), Refused> {
    if !inside() {
        return Ok(());
    }
    answer::tell(protocol::MARK, [phase.as_ptr() as u64, 0, 0])
}

/// Gives a name to memory, for readers to show instead of that of the file or the heap that it is a part of. The name holds
/// for the whole pages, of 4,096 bytes, that any of the bytes lie in; a later name of a page replaces an earlier one, and
/// what is unmapped loses it: it is the memory that has the name, not the object.
///
/// Nothing is read from the memory, so a pointer will do, and `&vec[..]` becomes one by itself. Without a slice there is
/// [`core::ptr::slice_from_raw_parts`].
///
/// ```
/// let words = [0_u64; 100];
/// vmmload_guest::name_region(&words, c"words")?;
/// let (address, bytes) = (words.as_ptr().cast::<u8>(), size_of_val(&words));
/// vmmload_guest::name_region(std::ptr::slice_from_raw_parts(address, bytes), c"words")?;
/// # Ok::<(), vmmload_guest::Refused>(())
/// ```
///
/// # Errors
/// None natively. Inside, `EINVAL`: name or memory is empty; `ENAMETOOLONG`: the name is longer than 255 bytes; `ENOMEM`:
/// nothing of the memory is mapped.
#[inline]
pub fn name_region<T>(memory: *const [T], name: &CStr) -> Result<(), Refused> {
    if !inside() {
        return Ok(());
    }
    let address = memory.cast::<u8>() as u64;
    let bytes = memory.len().saturating_mul(size_of::<T>());
    let arguments = [address, bytes as u64, name.as_ptr() as u64];
    answer::tell(protocol::NAME, arguments)
}

/// Ends the epoch now, whatever is left of its interval: what is written from here on counts for the next one. All that the
/// program has stored before is published when it returns. (Of another thread that computes meanwhile and gets no processor for
/// 20 ms, the last two pages that it has stored to may be in the later epoch.)
///
/// Gives the number of the epoch that begins; `None` natively, or where vmmload refuses.
///
/// ```
/// # fn step(number: u32) {}
/// for number in 0..3 {
///     // The pages of one epoch are those of one step.
///     let epoch = vmmload_guest::epoch();
///     assert_eq!(epoch.is_some(), vmmload_guest::inside());
///     step(number);
/// }
/// ```
#[inline]
pub fn epoch() -> Option<NonZeroU64> {
    if !inside() {
        return None;
    }
    answer::number(protocol::EPOCH)
}

/// Its program is a test, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
