//! Why vmmload did not do what it was told.

use core::error::Error;
use core::fmt;

/// vmmload has refused. Natively nothing is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(i32);

impl Refused {
    pub(crate) fn with(errno: i32) -> Self {
        Self(errno)
    }

    /// Linux's number of the error, as `std::io::Error::from_raw_os_error` takes it.
    #[must_use]
    pub fn errno(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // asm-generic/errno-base.h and errno.h
        let reason = match self.0 {
            12 => "the memory is not mapped",
            14 => "the name cannot be read",
            22 => "the name or the memory is empty",
            36 => "the name is longer than 255 bytes",
            errno => return write!(f, "vmmload has refused with error {errno}"),
        };
        write!(f, "vmmload has refused: {reason}")
    }
}

impl Error for Refused {}
