//! /proc/PID/exe of wrapped processes: the program's executable, not the launcher's.
//!
//! For calls that name it by a path, only paths that end in `exe` are looked at.

use std::ffi::{CStr, CString};
use std::os::fd::RawFd;

use super::proc_self::wrapped;
use super::{Outcome, errno};
use crate::host::relay::{self, Call};
use crate::host::{guest_memory, proc_files};
use crate::process::thread::GuestThread;
use crate::process::view;

/// Longest path that is looked at; longer ones are not ours.
const LONGEST: usize = 256;
/// The link's name.
const NAME: &[u8] = b"exe";
/// What the kernel puts behind the name of a file that is no more.
const DELETED: &str = " (deleted)";
/// AT_ENTRY of the auxiliary vector.
const AT_ENTRY: u64 = 9;

/// The wrapped process whose executable `path` names, relative to `directory`.
fn process_named(directory: RawFd, path: u64) -> Option<u32> {
    let mut buffer = [0u8; LONGEST];
    let path = guest_memory::read_string(path, &mut buffer)?;
    if path.rsplit(|&b| b == b'/').next() != Some(NAME) {
        return None;
    }
    let file = proc_files::of_path(directory, &CString::new(path).ok()?)?;
    (file.name.as_bytes() == NAME)
        .then(|| wrapped(&file))
        .flatten()
}

/// The executable of the wrapped process `pid`, as its link shows it.
pub(super) fn executable(thread: &GuestThread, pid: u32) -> Option<String> {
    let is_own = pid == std::process::id();
    let found = executable_from_maps(pid);
    if !is_own || found.is_some() {
        return found;
    }
    let known = thread.process.lineage.executable.to_str();
    known.ok().map(str::to_owned)
}

/// The file in which the program of `pid` begins: where the kernel shows the program's auxiliary vector.
fn executable_from_maps(pid: u32) -> Option<String> {
    let auxv = std::fs::read(format!("/proc/{pid}/auxv")).ok()?;
    let (entries, _) = auxv.as_chunks::<16>();
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    let entry = entries
        .iter()
        .find(|e| word(&e[..8]) == AT_ENTRY)
        .map(|e| word(&e[8..]))?;
    let maps = proc_files::text(&format!("/proc/{pid}/maps"))?;
    let file = view::file_at(&maps, entry)?;
    let launcher = std::fs::read_link("/proc/self/exe").ok()?;
    (launcher.to_str() != Some(file.name)).then(|| file.name.to_owned())
}

/// A path that leads to it, even when its name is gone.
fn path_to_executable(thread: &GuestThread, pid: u32) -> Option<CString> {
    let shown = executable(thread, pid)?;
    let path = match shown.strip_suffix(DELETED) {
        None => shown,
        Some(_) => {
            let maps = proc_files::text(&format!("/proc/{pid}/maps"))?;
            let area = view::areas(&maps).find(|a| a.name == shown)?;
            let (start, end) = (area.range.start, area.range.end);
            format!("/proc/{pid}/map_files/{start:x}-{end:x}")
        }
    };
    CString::new(path).ok()
}

/// If the path at `path` is the link to the executable of a wrapped process: a path to that.
pub(super) fn target(thread: &GuestThread, directory: RawFd, path: u64) -> Option<CString> {
    path_to_executable(thread, process_named(directory, path)?)
}

/// The call has opened `fd` on the launcher's executable: if it did so as the program's, opens that.
pub(super) fn open_executable(thread: &GuestThread, call: &Call, fd: RawFd) -> Outcome {
    let at = (call.nr as libc::c_long != libc::SYS_open) as usize;
    let directory = if at == 0 {
        libc::AT_FDCWD
    } else {
        call.args[0] as RawFd
    };
    let Some(target) = target(thread, directory, call.args[at]) else {
        return Outcome::Return(fd as u64);
    };
    // SAFETY: the descriptor is new, and the program does not know of it yet.
    unsafe { relay::raw(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]) };
    relay_with(thread, call, at, &target)
}

fn relay_with(thread: &GuestThread, call: &Call, at: usize, path: &CStr) -> Outcome {
    let mut call = *call;
    call.args[at] = path.as_ptr() as u64;
    thread.relay(&call)
}

/// readlink(2) and readlinkat(2).
pub(super) fn readlink(thread: &mut GuestThread, call: &Call) -> Outcome {
    let at = (call.nr as libc::c_long == libc::SYS_readlinkat) as usize;
    let [path, buffer, size] = [call.args[at], call.args[at + 1], call.args[at + 2]];
    let directory = if at == 0 {
        libc::AT_FDCWD
    } else {
        call.args[0] as RawFd
    };
    let shown = process_named(directory, path).and_then(|pid| executable(thread, pid));
    let Some(shown) = shown.filter(|_| size as i32 > 0) else {
        return thread.relay(call);
    };
    let shown = &shown.as_bytes()[..shown.len().min(size as usize)];
    match guest_memory::write_bytes(buffer, shown) {
        Ok(()) => Outcome::Return(shown.len() as u64),
        Err(_) => Outcome::Return(errno(libc::EFAULT)),
    }
}

/// stat(2), access(2): the path first.
pub(super) fn follow(thread: &mut GuestThread, call: &Call) -> Outcome {
    match target(thread, libc::AT_FDCWD, call.args[0]) {
        Some(target) => relay_with(thread, call, 0, &target),
        None => thread.relay(call),
    }
}

/// newfstatat(2), statx(2), faccessat(2), faccessat2(2): a directory, the path, and perhaps flags.
pub(super) fn follow_at(thread: &mut GuestThread, call: &Call) -> Outcome {
    let flags = match call.nr as libc::c_long {
        libc::SYS_statx => call.args[2],
        libc::SYS_faccessat => 0,
        _ => call.args[3],
    };
    if flags & libc::AT_SYMLINK_NOFOLLOW as u64 != 0 {
        return thread.relay(call);
    }
    match target(thread, call.args[0] as RawFd, call.args[1]) {
        Some(target) => relay_with(thread, call, 1, &target),
        None => thread.relay(call),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_not_wrapped_has_no_executable_of_its_own() {
        assert_eq!(executable_from_maps(std::process::id()), None);
    }
}
