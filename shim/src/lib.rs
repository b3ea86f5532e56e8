//! Preload library of vmmload: says that it cannot hand the program over yet, and lets it run natively.
//!
//! It runs inside somebody else's program before that program's own first instruction. So it
//! allocates nothing, opens nothing, changes no environment and no errno, and cannot end the program.

use libc::{c_int, sigset_t, timespec};
use std::mem::MaybeUninit;
use std::ptr;

/// The one line on standard error.
const MESSAGE: &[u8] =
    b"vmmload: the preload library cannot hand a program over yet; the program runs \
natively. Use: vmmload run COMMAND\n";

/// Runs when the library is loaded.
///
/// # Safety
/// Called once by the dynamic loader, while the program has no other thread.
#[ctor::ctor]
unsafe fn on_load() {
    let _errno = Errno::keep();
    if !has_more_rights_than_its_user() {
        say(MESSAGE);
    }
}

/// Puts errno back when dropped: C programs may count on finding it zero.
struct Errno(c_int);

impl Errno {
    fn keep() -> Self {
        // SAFETY: gives the address of the calling thread's errno, which lives as long as the thread.
        Self(unsafe { *libc::__errno_location() })
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        // SAFETY: as in `keep`.
        unsafe { *libc::__errno_location() = self.0 };
    }
}

/// Set-user-ID and its like: such a program must not do anything on behalf of a variable of its user's.
fn has_more_rights_than_its_user() -> bool {
    // SAFETY: reads the auxiliary vector that the C library keeps; touches no other memory.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Writes to standard error as far as that goes. A standard error that nobody reads any more would
/// raise SIGPIPE and end the program, so that signal is held off and taken back.
fn say(message: &[u8]) {
    let mut pipe = MaybeUninit::<sigset_t>::uninit();
    let mut before = MaybeUninit::<sigset_t>::uninit();
    let mut pending = MaybeUninit::<sigset_t>::uninit();
    // SAFETY: every set is filled by the call that gets it before another reads it, and `message` is
    // readable for its length. The signals are those of the calling thread, the only one there is.
    unsafe {
        libc::sigemptyset(pipe.as_mut_ptr());
        libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
        libc::sigpending(pending.as_mut_ptr());
        libc::sigprocmask(libc::SIG_BLOCK, pipe.as_ptr(), before.as_mut_ptr());
        let written = libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        let already_waiting = libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1;
        if written < 0 && !already_waiting {
            let at_once = timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            libc::sigtimedwait(pipe.as_ptr(), ptr::null_mut(), &raw const at_once);
        }
        libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
    }
}
