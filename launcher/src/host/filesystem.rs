//! What a file system has left.

use std::ffi::CStr;
use std::io;

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
