//! Reads and writes the program's memory for calls that are emulated.
//!
//! The program's pointers may be wrong, or become so while we look. So the kernel does the copying
//! (process_vm_readv on ourselves), which answers EFAULT where a plain access would be our own crash.
//! Relayed calls need none of this: their pointers go to the kernel as they are.

use std::mem::MaybeUninit;

use zerocopy::{FromBytes, IntoBytes};

use crate::guest::layout::PAGE;

/// The address is not the program's, or not accessible so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadAddress;

/// Copies `into.len()` bytes from the program at `addr`.
pub(crate) fn read_bytes(addr: u64, into: &mut [u8]) -> Result<(), BadAddress> {
    copy(addr, into.as_mut_ptr(), into.len(), false)
}

/// Copies `from` to the program at `addr`.
pub(crate) fn write_bytes(addr: u64, from: &[u8]) -> Result<(), BadAddress> {
    copy(addr, from.as_ptr().cast_mut(), from.len(), true)
}

/// Reads one fixed-size value.
pub(crate) fn read<T: FromBytes>(addr: u64) -> Result<T, BadAddress> {
    let mut value = MaybeUninit::<T>::uninit();
    copy(addr, value.as_mut_ptr().cast(), size_of::<T>(), false)?;
    // SAFETY: the kernel filled every byte, and every bit pattern is a T (FromBytes).
    Ok(unsafe { value.assume_init() })
}

/// Writes one fixed-size value.
pub(crate) fn write<T: IntoBytes + zerocopy::Immutable>(addr: u64, value: &T) -> Result<(), BadAddress> {
    write_bytes(addr, value.as_bytes())
}

/// Reads a NUL-terminated string that fits `buffer`; None if it is longer or cannot be read.
pub(crate) fn read_string(addr: u64, buffer: &mut [u8]) -> Option<&[u8]> {
    // The string may end right before a page that is not there: first up to the page's end.
    let first = buffer.len().min((PAGE - addr % PAGE) as usize);
    read_bytes(addr, &mut buffer[..first]).ok()?;
    if !buffer[..first].contains(&0) && first < buffer.len() {
        read_bytes(addr + first as u64, &mut buffer[first..]).ok()?;
    }
    let end = buffer.iter().position(|&b| b == 0)?;
    Some(&buffer[..end])
}

fn copy(addr: u64, ours: *mut u8, len: usize, to_program: bool) -> Result<(), BadAddress> {
    if len == 0 {
        return Ok(());
    }
    let local = libc::iovec { iov_base: ours.cast(), iov_len: len };
    let remote = libc::iovec { iov_base: addr as *mut libc::c_void, iov_len: len };
    // SAFETY: `local` is `len` bytes of ours that the callers lend for the call; the kernel checks
    // every page of `remote`. Whether `remote` is the program's is checked by `Memory`.
    let copied = unsafe {
        // Our own thread, not the process: its leader may have ended already.
        let pid = libc::gettid();
        if to_program {
            libc::process_vm_writev(pid, &local, 1, &remote, 1, 0)
        } else {
            libc::process_vm_readv(pid, &local, 1, &remote, 1, 0)
        }
    };
    if copied == len as isize { Ok(()) } else { Err(BadAddress) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_both_ways_and_reports_a_bad_address() {
        let mut cell = 5u64;
        let addr = &raw mut cell as u64;
        assert_eq!(read::<u64>(addr), Ok(5));
        assert_eq!(write(addr, &7u64), Ok(()));
        assert_eq!(read::<u64>(addr), Ok(7));
        assert_eq!(read::<u64>(8), Err(BadAddress));
        assert_eq!(write(8, &7u64), Err(BadAddress));
    }
}
