//! What the program sees of itself under /proc: its own executable and mappings, not the launcher's.
//!
//! Emulated for absolute paths (/proc/self, /proc/thread-self, /proc/PID): `exe` and `maps`. Files
//! that describe each mapping in detail are refused by name; everything else is the kernel's.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;

use super::unsupported;
use super::{Outcome, check, errno};
use crate::host::guest_memory;
use crate::host::relay::{self, Call};
use crate::process::mappings::Mappings;
use crate::process::thread::GuestThread;

/// Longest path that is looked at; longer ones are not ours.
const LONGEST: usize = 64;

/// A file that tells about the issuing process itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Executable,
    Maps,
    Refused(&'static str),
}

const REFUSED: [&str; 4] = ["smaps", "smaps_rollup", "numa_maps", "map_files"];

/// Which of these `path` names, for a process `pid` in its thread `tid`.
fn classify(path: &str, pid: u32, tid: i32) -> Option<Own> {
    let rest = path.strip_prefix("/proc/")?;
    let (who, mut file) = rest.split_once('/')?;
    let ours = |name: &str| name.parse() == Ok(pid) || name.parse() == Ok(tid);
    if !matches!(who, "self" | "thread-self") && !ours(who) {
        return None;
    }
    if let Some(task) = file.strip_prefix("task/") {
        let (id, rest) = task.split_once('/')?;
        id.parse::<u32>().ok()?;
        file = rest;
    }
    let first = file.split('/').next()?;
    match file {
        "exe" => Some(Own::Executable),
        "maps" => Some(Own::Maps),
        _ => REFUSED
            .into_iter()
            .find(|&name| name == first)
            .map(Own::Refused),
    }
}

fn own_file(addr: u64) -> Option<Own> {
    let mut buffer = [0u8; LONGEST];
    let path = guest_memory::read_string(addr, &mut buffer)?;
    if !path.starts_with(b"/proc/") {
        return None;
    }
    // SAFETY: gettid touches nothing.
    let tid = unsafe { libc::gettid() };
    classify(std::str::from_utf8(path).ok()?, std::process::id(), tid)
}

/// Whether the path at `addr` is the link to the program's own executable.
pub(super) fn names_own_executable(addr: u64) -> bool {
    own_file(addr) == Some(Own::Executable)
}

/// readlink(2) and readlinkat(2).
pub(super) fn readlink(thread: &mut GuestThread, call: &Call) -> Outcome {
    let at = (call.nr as libc::c_long == libc::SYS_readlinkat) as usize;
    let [path, buffer, size] = [call.args[at], call.args[at + 1], call.args[at + 2]];
    if own_file(path) != Some(Own::Executable) {
        return thread.relay(call);
    }
    if size as i32 <= 0 {
        return Outcome::Return(errno(libc::EINVAL));
    }
    let target = thread.process.lineage.executable.as_bytes();
    let target = &target[..target.len().min(size as usize)];
    match guest_memory::write_bytes(buffer, target) {
        Ok(()) => Outcome::Return(target.len() as u64),
        Err(_) => Outcome::Return(errno(libc::EFAULT)),
    }
}

/// open(2), openat(2), openat2(2).
pub(super) fn open(thread: &mut GuestThread, call: &Call) -> Outcome {
    let at = (call.nr as libc::c_long != libc::SYS_open) as usize;
    match own_file(call.args[at]) {
        None => thread.relay(call),
        Some(Own::Executable) => {
            let mut call = *call;
            call.args[at] = thread.process.lineage.executable.as_ptr() as u64;
            thread.relay(&call)
        }
        Some(Own::Maps) => {
            let cloexec = match call.nr as libc::c_long {
                libc::SYS_openat2 => true,
                _ => call.args[at + 1] & libc::O_CLOEXEC as u64 != 0,
            };
            let text = maps_text(&thread.process.memory.read());
            Outcome::from_result(file_of(&text, cloexec))
        }
        Some(Own::Refused(name)) => unsupported::own_view(name),
    }
}

/// The table as /proc/PID/maps writes it (proc(5)).
fn maps_text(table: &Mappings) -> String {
    let mut text = String::new();
    for (range, mapping) in table.iter() {
        let bits = mapping.prot.bits() as i32;
        let right = |bit: i32, letter: char| if bits & bit != 0 { letter } else { '-' };
        let (device, inode) = identity(mapping.name());
        let start = text.len();
        let _ = write!(
            text,
            "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {inode} ",
            range.start,
            range.end,
            right(libc::PROT_READ, 'r'),
            right(libc::PROT_WRITE, 'w'),
            right(libc::PROT_EXEC, 'x'),
            if mapping.shared { 's' } else { 'p' },
            mapping.offset_at(range.start),
            libc::major(device),
            libc::minor(device),
        );
        // The kernel pads to the column where names begin.
        while !mapping.name().is_empty() && text.len() - start < 73 {
            text.push(' ');
        }
        text.push_str(mapping.name());
        text.push('\n');
    }
    text
}

fn identity(name: &str) -> (u64, u64) {
    let file = name
        .starts_with('/')
        .then(|| std::fs::metadata(name).ok())
        .flatten();
    file.map_or((0, 0), |m| (m.dev(), m.ino()))
}

/// A descriptor, the lowest free one as open(2) gives, from which `text` can be read.
fn file_of(text: &str, cloexec: bool) -> Result<u64, i32> {
    let flags = if cloexec { libc::MFD_CLOEXEC } else { 0 };
    let name = c"maps";
    // SAFETY: name and text are readable for the calls; the descriptor is the program's from here.
    unsafe {
        let args = [name.as_ptr() as u64, flags.into(), 0, 0, 0, 0];
        let fd = check(relay::raw(libc::SYS_memfd_create, args))?;
        let args = [fd, text.as_ptr() as u64, text.len() as u64, 0, 0, 0];
        check(relay::raw(libc::SYS_pwrite64, args))?;
        Ok(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::mappings::{Backing, Mapping, Prot};

    #[test]
    fn only_the_processs_own_files_are_recognised() {
        let own = |path| classify(path, 42, 43);
        assert_eq!(own("/proc/self/exe"), Some(Own::Executable));
        assert_eq!(own("/proc/42/maps"), Some(Own::Maps));
        assert_eq!(own("/proc/self/task/43/maps"), Some(Own::Maps));
        assert_eq!(own("/proc/thread-self/smaps"), Some(Own::Refused("smaps")));
        assert_eq!(own("/proc/1/exe"), None);
        assert_eq!(own("/proc/self/status"), None);
        assert_eq!(own("/proc/self/exec"), None);
    }

    #[test]
    fn a_mapping_is_written_as_the_kernel_writes_it() {
        let mut table = Mappings::default();
        let heap = Mapping {
            backing: Backing::Heap,
            ..Mapping::anonymous(Prot::from_bits(3))
        };
        table.insert(0x5555_0000_0000..0x5555_0002_1000, heap);
        let expected = "555500000000-555500021000 rw-p 00000000 00:00 0 ";
        let text = maps_text(&table);
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with(" [heap]\n"), "{text}");
        assert_eq!(text.find("[heap]"), Some(73));
    }
}
