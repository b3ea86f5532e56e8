//! What the kernel has started the program with, and the variables that are meant for this library.

use core::ffi::CStr;

use crate::kernel::{Auxv, Bytes, Errno};
use crate::launcher::Library;
use crate::problem::Problem;

/// Marks what the launcher is started with: whatever runs on the way to it is not to be handed over. The
/// launcher takes it away.
pub(crate) const HANDOVER: &[u8] = b"VMMLOAD_HANDOVER=";

/// Set by the launcher for a program that it could not wrap, to that process's id.
const NATIVE: &[u8] = b"VMMLOAD_NATIVE=";
const LAUNCHER: &[u8] = b"VMMLOAD_LAUNCHER=";
const REQUIRE: &[u8] = b"VMMLOAD_REQUIRE=";
const PRELOAD: &[u8] = b"LD_PRELOAD=";

/// Whether a program that cannot be wrapped may run natively.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Required {
    /// It may not.
    Yes,
    /// It may.
    No,
}

/// The environment, as the kernel passed it.
pub(crate) struct Environment(Bytes);

impl Environment {
    /// This process's.
    pub(crate) fn read() -> Result<Self, Errno> {
        Bytes::of_file(c"/proc/self/environ").map(Self)
    }

    /// Its strings, in order.
    pub(crate) fn strings(&self) -> impl Iterator<Item = &CStr> {
        strings(&self.0)
    }

    /// The value of the first variable of that name, unless that is empty.
    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let mut values = self
            .strings()
            .filter_map(|s| s.to_bytes().strip_prefix(name));
        values.next().filter(|value| !value.is_empty())
    }

    /// The launcher that the user has named.
    pub(crate) fn launcher(&self) -> Option<&[u8]> {
        self.value(LAUNCHER)
    }

    /// Whether the user insists on the program's being wrapped.
    pub(crate) fn required(&self) -> Result<Required, Problem<'_>> {
        match self.value(REQUIRE) {
            None | Some(b"0") => Ok(Required::No),
            Some(b"1") => Ok(Required::Yes),
            Some(other) => Err(Problem::Requirement(other)),
        }
    }

    /// Whether this process was handed over before, on its way to the launcher or back from it.
    pub(crate) fn was_handed_over(&self, process: usize) -> bool {
        let back = self
            .value(NATIVE)
            .is_some_and(|id| number(id) == Some(process));
        back || self.strings().any(|s| s.to_bytes().starts_with(HANDOVER))
    }

    /// Whether LD_PRELOAD names `library`: one that the program has opened later finds it in the middle of its work.
    pub(crate) fn preloads(&self, library: &Library) -> Result<bool, Errno> {
        let lists = self
            .strings()
            .filter_map(|s| s.to_bytes().strip_prefix(PRELOAD));
        for entry in lists.flat_map(|list| list.split(|b| matches!(b, b':' | b' '))) {
            if library.is_named(entry)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the user insists, where the environment cannot be read as a file.
pub(crate) fn required_on_stack(auxv: &Auxv) -> Required {
    let mut strings = auxv.strings().split(|&b| b == 0);
    let is_set = |s: &[u8]| s.strip_prefix(REQUIRE) == Some(b"1");
    match strings.any(is_set) {
        true => Required::Yes,
        false => Required::No,
    }
}

/// Strings that lie one behind the other.
pub(crate) fn strings(bytes: &Bytes) -> impl Iterator<Item = &CStr> {
    let each = bytes.split_inclusive(|&b| b == 0);
    each.filter_map(|string| CStr::from_bytes_with_nul(string).ok())
}

/// A decimal number.
fn number(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}
