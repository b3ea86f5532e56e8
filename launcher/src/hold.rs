//! `vmmload run --hold FD`: whoever started this process looks at its segment before the program does anything.
//!
//! The other end of the pipe is with that process alone. When it is closed, on purpose or because the process is no more,
//! the program begins.

use std::io;
use std::os::fd::RawFd;

use crate::host::descriptors::Parked;

/// The end of a pipe that is waited for.
#[derive(Debug)]
pub(crate) struct Hold(Parked);

impl Hold {
    /// Takes over a descriptor that this process was started with, out of the program's way.
    ///
    /// # Errors
    /// EBADF if it is not open; else what keeps it from being moved.
    pub(crate) fn take(descriptor: RawFd) -> io::Result<Self> {
        Parked::moved(descriptor).map(Self)
    }

    /// Sleeps until nobody can write to the pipe any more, and closes it. What cannot be waited for is not.
    pub(crate) fn wait(self) {
        // Goes on when a signal interrupts it.
        let _ = io::copy(&mut self.0.file(), &mut io::sink());
    }
}
