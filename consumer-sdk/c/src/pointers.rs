//! Memory of the caller's: arrays, texts, and structs that may be shorter or longer than ours.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The array that a C caller names by its first element and its length; none where that is NULL.
///
/// # Safety
/// `start` is NULL, or there is memory for `capacity` values behind it, which nothing else uses during `'a`.
pub(crate) unsafe fn array<'a, T>(start: *mut T, capacity: usize) -> &'a mut [MaybeUninit<T>] {
    // An array that is larger than any memory, as when -1 was passed: as much as there could be.
    let capacity = capacity.min(isize::MAX as usize / size_of::<T>());
    if start.is_null() || !start.is_aligned() {
        return &mut [];
    }
    // SAFETY: the caller vouches for the memory; values that may be anything need not be initialised.
    unsafe { core::slice::from_raw_parts_mut(start.cast(), capacity) }
}

/// Fills an array from the front as far as it goes, and tells how many values there were.
pub(crate) fn fill<T>(array: &mut [MaybeUninit<T>], values: impl Iterator<Item = T>) -> usize {
    let mut slots = array.iter_mut();
    values
        .map(|value| slots.next().map(|slot| slot.write(value)))
        .count()
}

/// The path in a C string; `None` for NULL.
///
/// # Safety
/// `text` is NULL, or a string ended by a NUL that does not change during `'a`.
pub(crate) unsafe fn path<'a>(text: *const c_char) -> Option<&'a Path> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for the string.
    let text = unsafe { CStr::from_ptr(text) };
    Some(Path::new(OsStr::from_bytes(text.to_bytes())))
}

/// Plain data that C sees, without padding, which may be handed out in part.
///
/// # Safety
/// Every byte of a value is initialised.
pub(crate) unsafe trait Plain: Copy {}

/// Copies as much of a struct as the caller, who may have been built with an older header, knows of; what a newer
/// header has beyond it becomes zeroes. False where there is nowhere to copy to.
///
/// # Safety
/// `out` is NULL, or there are `size` bytes of memory behind it, which nothing else uses meanwhile.
pub(crate) unsafe fn copy_sized<T: Plain>(value: T, out: *mut T, size: usize) -> bool {
    if out.is_null() || size == 0 {
        return false;
    }
    let known = size.min(size_of::<T>());
    // SAFETY: the caller vouches for `size` bytes; `value` has `known` initialised ones, since `T` is `Plain`, and
    // is no memory of the caller's. Bytes have no alignment.
    unsafe {
        let out = out.cast::<u8>();
        core::ptr::copy_nonoverlapping((&raw const value).cast(), out, known);
        core::ptr::write_bytes(out.add(known), 0, size - known);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Pair(u32, u32);
    // SAFETY: two words without padding.
    unsafe impl Plain for Pair {}

    fn copied(size: usize) -> [u32; 4] {
        let mut memory = [7; 4];
        // SAFETY: `memory` has at least the bytes that the test asks for.
        let done = unsafe { copy_sized(Pair(1, 2), memory.as_mut_ptr().cast(), size) };
        assert_eq!(done, size > 0);
        memory
    }

    #[test]
    fn a_caller_gets_the_part_that_it_knows_and_zeroes_beyond_ours() {
        assert_eq!(copied(0), [7, 7, 7, 7]);
        assert_eq!(copied(4), [1, 7, 7, 7]);
        assert_eq!(copied(8), [1, 2, 7, 7]);
        assert_eq!(copied(12), [1, 2, 0, 7]);
    }

    #[test]
    fn an_array_takes_what_fits_and_the_rest_is_counted() {
        let mut memory = [9u32; 2];
        // SAFETY: room for two.
        let array = unsafe { array(memory.as_mut_ptr(), 2) };
        assert_eq!(fill(array, 1..=5), 5);
        assert_eq!(memory, [1, 2]);
    }

    #[test]
    fn no_memory_is_an_empty_array() {
        // SAFETY: NULL is allowed.
        let array = unsafe { array::<u64>(core::ptr::null_mut(), usize::MAX) };
        assert!(array.is_empty());
    }
}
