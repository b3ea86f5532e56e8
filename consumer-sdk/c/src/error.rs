//! Codes of errors, and the text of the calling thread's last one.

use core::cell::Cell;
use core::ffi::{c_char, c_int};
use sdk::{AttachError, WrittenError};
use std::error::Error;
use std::io::ErrorKind::PermissionDenied;

/// An argument is NULL that must not be, or makes no sense.
pub const VMMLOAD_E_ARGUMENT: c_int = 1;
/// There is no such process in vmmload, or no such file.
pub const VMMLOAD_E_NOT_FOUND: c_int = 2;
/// The segment cannot be opened or mapped, for a reason that the text has.
pub const VMMLOAD_E_OPEN: c_int = 3;
/// The file is not one that only the user in question can have written, so it is not trusted.
pub const VMMLOAD_E_FOREIGN: c_int = 4;
/// The segment is being made: try again in a moment.
pub const VMMLOAD_E_NOT_READY: c_int = 5;
/// The file is no segment.
pub const VMMLOAD_E_MAGIC: c_int = 6;
/// The segment is of another major version than this library.
pub const VMMLOAD_E_VERSION: c_int = 7;
/// The segment contradicts itself: it is damaged.
pub const VMMLOAD_E_LAYOUT: c_int = 8;
/// The process was started with `--track none`, so nobody watches what it writes.
pub const VMMLOAD_E_NOT_TRACKED: c_int = 9;
/// Events are missing from the heat table, for want of room: what was written cannot be told.
pub const VMMLOAD_E_TABLE_FULL: c_int = 10;
/// The epoch has not ended yet.
pub const VMMLOAD_E_FUTURE: c_int = 11;
/// The process changed its mappings too often to be copied: try again.
pub const VMMLOAD_E_BUSY: c_int = 12;
/// This process has as many segments attached as one can.
pub const VMMLOAD_E_TOO_MANY: c_int = 13;
/// Something else, which a later library may have a number for.
pub const VMMLOAD_E_OTHER: c_int = 14;

/// This user may not open the segment: only the one who started the process, and root, may, unless it is shared
/// (vmmload run --ring-mode, --ring-group).
pub const VMMLOAD_E_DENIED: c_int = 15;

/// Bytes of the text of an error, with its NUL.
const TEXT_BYTES: usize = 1024;

thread_local! {
    /// No allocation and no destructor: the text stays where it is until the thread is gone.
    static TEXT: Cell<[u8; TEXT_BYTES]> = const { Cell::new([0; TEXT_BYTES]) };
}

/// What a function could not do: its code, with the text left for the calling thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure(c_int);

impl Failure {
    /// Leaves an error's own text and those of its causes.
    pub(crate) fn of(code: c_int, error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self::new(code, &text)
    }

    pub(crate) fn new(code: c_int, text: &str) -> Self {
        let mut bytes = [0; TEXT_BYTES];
        // A NUL would end it early, and the last byte is one.
        let written = text.bytes().filter(|&byte| byte != 0).take(TEXT_BYTES - 1);
        bytes
            .iter_mut()
            .zip(written)
            .for_each(|(to, from)| *to = from);
        TEXT.set(bytes);
        Self(code)
    }

    /// For an argument that is NULL.
    pub(crate) fn null(name: &str) -> Self {
        Self::new(VMMLOAD_E_ARGUMENT, &format!("{name} is NULL"))
    }

    /// What the function returns.
    pub(crate) fn code(self) -> c_int {
        -self.0
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        let code = match &error {
            AttachError::NotFound { .. } => VMMLOAD_E_NOT_FOUND,
            AttachError::Open { source, .. } if source.kind() == PermissionDenied => {
                VMMLOAD_E_DENIED
            }
            AttachError::Open { .. } => VMMLOAD_E_OPEN,
            AttachError::Foreign { .. } => VMMLOAD_E_FOREIGN,
            AttachError::NotReady { .. } => VMMLOAD_E_NOT_READY,
            AttachError::Magic { .. } => VMMLOAD_E_MAGIC,
            AttachError::Version { .. } => VMMLOAD_E_VERSION,
            AttachError::Layout { .. } => VMMLOAD_E_LAYOUT,
            AttachError::TooMany { .. } => VMMLOAD_E_TOO_MANY,
            _ => VMMLOAD_E_OTHER,
        };
        Self::of(code, &error)
    }
}

impl From<WrittenError> for Failure {
    fn from(error: WrittenError) -> Self {
        let code = match error {
            WrittenError::NotTracked => VMMLOAD_E_NOT_TRACKED,
            WrittenError::TableFull { .. } => VMMLOAD_E_TABLE_FULL,
            WrittenError::Future { .. } => VMMLOAD_E_FUTURE,
            _ => VMMLOAD_E_OTHER,
        };
        Self::of(code, &error)
    }
}

/// The code that a C function returns.
pub(crate) fn code_of(result: Result<c_int, Failure>) -> c_int {
    result.unwrap_or_else(Failure::code)
}

/// What went wrong in the last function of this library that failed in the calling thread, in English, with
/// what to do about it. UTF-8, ended by a NUL, at most 1,023 bytes; empty where nothing has failed yet. A
/// function that succeeds does not change it.
///
/// The text is valid until a function of this library fails in the same thread, or the thread ends.
///
/// Threads: any; each has a text of its own.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_last_error() -> *const c_char {
    TEXT.with(|text| text.as_ptr().cast())
}

/// The version of this library, such as "0.1.0". Valid for ever.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The VMMLOAD_ABI_MAJOR that this library was built with, also the number in the shared library's name. Within
/// one number, functions and constants are added and none is changed or taken away.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_abi_major() -> u32 {
    crate::types::VMMLOAD_ABI_MAJOR
}
