//! Files by their directory's descriptor, and what a file system has left.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, RawFd};

/// Bytes that this user may still write to the file system of `path`.
///
/// # Errors
/// What statvfs(3) says.
pub(crate) fn room(path: &CStr) -> io::Result<u64> {
    // SAFETY: all-zero is a valid statvfs, which holds numbers only.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is a NUL-terminated string and `stat` is writable for the call.
    match unsafe { libc::statvfs(path.as_ptr(), &mut stat) } {
        0 => Ok(stat.f_bavail.saturating_mul(stat.f_frsize)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Where the link `name` in `directory` leads, as far as 256 bytes hold it.
///
/// # Errors
/// What readlinkat(2) says.
pub(crate) fn read_link_at(directory: RawFd, name: &CStr) -> io::Result<Vec<u8>> {
    let mut target = vec![0u8; 256];
    let room = target.as_mut_ptr().cast();
    // SAFETY: `name` is a string and `target` is writable for its length for the call.
    match unsafe { libc::readlinkat(directory, name.as_ptr(), room, target.len()) } {
        len if len >= 0 => {
            target.truncate(len as usize);
            Ok(target)
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// Opens the file `name` in `directory` for reading.
///
/// # Errors
/// What openat(2) says.
pub(crate) fn open_at(directory: RawFd, name: &CStr) -> io::Result<File> {
    // SAFETY: `name` is a string for the call; a descriptor that is returned is new.
    unsafe {
        match libc::openat(directory, name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(File::from_raw_fd(fd)),
        }
    }
}
