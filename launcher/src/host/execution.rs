//! execve(2) of this process itself, while it is still an ordinary one.

use std::ffi::{CStr, CString, c_char};
use std::io;

/// Replaces this process by the program at `path`. Returns only why it could not.
pub(crate) fn execute(path: &CStr, argv: &[CString], envp: &[CString]) -> io::Error {
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: both vectors end with a null pointer and point to strings that live as long as the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let strings = strings.iter().map(|string| string.as_ptr());
    strings.chain([std::ptr::null()]).collect()
}
