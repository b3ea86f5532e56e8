//! Finds the launcher: where the user says, or near this library.

use core::ffi::CStr;

use crate::environment::Environment;
use crate::kernel::{self, Bytes, Errno};
use crate::problem::Problem;

/// Where it lies as seen from the library's directory: in a build, and as installed in `lib` or a directory of it.
const NEAR: [&[u8]; 3] = [b"/vmmload\0", b"/../bin/vmmload\0", b"/../../bin/vmmload\0"];

/// This library's own file.
pub(crate) struct Library(Bytes);

impl Library {
    /// Found by an address within it.
    pub(crate) fn containing(address: usize) -> Result<Self, Problem<'static>> {
        let maps = Bytes::of_file(c"/proc/self/maps").map_err(|e| Problem::Proc("maps", e))?;
        let mut lines = maps.split(|&b| b == b'\n');
        let line = lines
            .find(|line| range(line).is_some_and(|[start, end]| (start..end).contains(&address)));
        let path = line.and_then(|line| Some(&line[line.iter().position(|&b| b == b'/')?..]));
        let mut unescaped = Bytes::new().map_err(Problem::Memory)?;
        let mut rest = path.unwrap_or_default();
        while let Some((&first, behind)) = rest.split_first() {
            // The one character that is not shown as it is.
            let (byte, behind) = match rest.strip_prefix(b"\\012") {
                Some(behind) => (b'\n', behind),
                None => (first, behind),
            };
            unescaped.push(&[byte]).map_err(Problem::Memory)?;
            rest = behind;
        }
        Ok(Self(unescaped))
    }

    fn last_slash(&self) -> usize {
        self.0.iter().rposition(|&b| b == b'/').unwrap_or(0)
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &[u8] {
        &self.0[..self.last_slash()]
    }

    /// Whether `entry` names it, by its own name or by a link to it.
    pub(crate) fn is_named(&self, entry: &[u8]) -> Result<bool, Errno> {
        let name = self.0.get(self.last_slash() + 1..).unwrap_or_default();
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        if entry.rsplit(|&b| b == b'/').next() == Some(name) {
            return Ok(true);
        }
        let mut path = Bytes::new()?;
        path.push(entry)?;
        let [own, named] = [&self.0, &path].map(|path| kernel::identity(string(path)));
        Ok(own.is_ok_and(|own| named.is_ok_and(|named| named == own)))
    }
}

/// The first two numbers of a line of maps.
fn range(line: &[u8]) -> Option<[usize; 2]> {
    let line = &line[..line.iter().position(|&b| b == b' ')?];
    let dash = line.iter().position(|&b| b == b'-')?;
    Some([hex(&line[..dash])?, hex(&line[dash + 1..])?])
}

fn hex(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        number.checked_mul(16)?.checked_add(digit as usize)
    })
}

/// The launcher's path, as a string.
pub(crate) fn find<'a>(
    environment: &'a Environment,
    library: &'a Library,
) -> Result<Bytes, Problem<'a>> {
    let mut path = Bytes::new().map_err(Problem::Memory)?;
    if let Some(named) = environment.launcher() {
        if named[0] != b'/' {
            return Err(Problem::Relative(named));
        }
        [named, b"\0"]
            .iter()
            .try_for_each(|part| path.push(part))
            .map_err(Problem::Memory)?;
        let usable = kernel::check_executable(string(&path));
        return usable.map(|()| path).map_err(|e| Problem::Named(named, e));
    }
    for end in NEAR {
        let mut path = Bytes::new().map_err(Problem::Memory)?;
        let parts = [library.directory(), end];
        parts
            .iter()
            .try_for_each(|part| path.push(part))
            .map_err(Problem::Memory)?;
        if kernel::check_executable(string(&path)).is_ok() {
            return Ok(path);
        }
    }
    Err(Problem::NoneNear(library.directory()))
}

/// The one string in `bytes`, with its zero or that which follows.
pub(crate) fn string(bytes: &Bytes) -> &CStr {
    CStr::from_bytes_until_nul(bytes.with_zero()).unwrap_or_default()
}

/// Whether this process is the launcher itself.
pub(crate) fn is_running(launcher: &CStr) -> bool {
    let [own, its] = [c"/proc/self/exe", launcher].map(kernel::identity);
    let is_same = |own: [u64; 2]| its.is_ok_and(|its: [u64; 2]| its == own);
    own.is_ok_and(is_same)
}

/// Whether VMs can be made here, as far as opening the device tells.
pub(crate) fn check_kvm() -> Result<(), Problem<'static>> {
    let flags = kernel::READ_WRITE | kernel::CLOSE_ON_EXEC;
    let device = kernel::Descriptor::open(c"/dev/kvm", flags).map_err(Problem::Kvm)?;
    match device.kvm_version() {
        Ok(12) => Ok(()),
        Ok(_) | Err(Errno(_)) => Err(Problem::KvmVersion),
    }
}
