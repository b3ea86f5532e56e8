//! Directories under /proc that list what a wrapped process has: without the launcher's descriptors,
//! threads and mappings.

use std::ops::Range;
use std::os::fd::RawFd;

use super::proc_self::{is_helper, is_launchers, wrapped};
use super::{Outcome, check};
use crate::host::relay::Call;
use crate::host::{guest_memory, proc_files};
use crate::process::thread::GuestThread;
use crate::process::view::Owned;

/// struct linux_dirent64: inode and offset, the entry's length, its type, its name.
const LENGTH_64: usize = 16;
const NAME_64: usize = 19;
/// struct linux_dirent: the type is behind the name.
const NAME_OLD: usize = 18;

/// What a directory lists.
enum Listing {
    Descriptors(u32),
    Threads(u32),
    Mappings(Owned),
}

impl Listing {
    fn of(thread: &GuestThread, fd: RawFd) -> Option<Self> {
        if proc_files::kind(fd) != proc_files::Kind::Virtual {
            return None;
        }
        let file = proc_files::of_descriptor(fd)?;
        let pid = wrapped(&file)?;
        match &*file.name {
            "fd" | "fdinfo" => Some(Self::Descriptors(pid)),
            "task" => Some(Self::Threads(pid)),
            "map_files" if pid == std::process::id() => {
                let table = thread.process.memory.read();
                Some(Self::Mappings(Owned::of_table(&table)))
            }
            "map_files" => Some(Self::Mappings(Owned::of_process(pid)?)),
            _ => None,
        }
    }

    /// Whether the entry `name` is the launcher's.
    fn hides(&self, name: &str) -> bool {
        match self {
            Self::Descriptors(pid) => name.parse().is_ok_and(|fd| is_launchers(*pid, fd)),
            Self::Threads(pid) => is_helper(*pid, name),
            Self::Mappings(owned) => addresses(name).is_some_and(|range| !owned.touches(&range)),
        }
    }
}

fn addresses(name: &str) -> Option<Range<u64>> {
    let (start, end) = name.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some(hex(start)?..hex(end)?)
}

/// getdents64(2) and getdents(2).
pub(super) fn getdents(thread: &mut GuestThread, call: &Call) -> Outcome {
    loop {
        let outcome = thread.relay(call);
        let Outcome::Return(value) = outcome else {
            return outcome;
        };
        let length = match check(value as i64) {
            Ok(length) if length > 0 => length as usize,
            _ => return outcome,
        };
        let Some(listing) = Listing::of(thread, call.args[0] as RawFd) else {
            return outcome;
        };
        let name_at = match call.nr as libc::c_long {
            libc::SYS_getdents64 => NAME_64,
            _ => NAME_OLD,
        };
        let mut entries = vec![0; length];
        if guest_memory::read_bytes(call.args[1], &mut entries).is_err() {
            return outcome;
        }
        let kept = without(&entries, name_at, |name| listing.hides(name));
        if kept.is_empty() {
            // No entry would mean the end.
            continue;
        }
        return match guest_memory::write_bytes(call.args[1], &kept) {
            Ok(()) => Outcome::Return(kept.len() as u64),
            Err(_) => outcome,
        };
    }
}

/// The entries that are not hidden.
fn without(mut entries: &[u8], name_at: usize, hides: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut kept = Vec::with_capacity(entries.len());
    while let Some(length) = entries.get(LENGTH_64..LENGTH_64 + 2) {
        let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
        let Some((entry, rest)) = entries.split_at_checked(length.max(name_at)) else {
            break;
        };
        let name = entry[name_at..].split(|&b| b == 0).next();
        let name = name.and_then(|n| std::str::from_utf8(n).ok()).unwrap_or("");
        if !hides(name) {
            kept.extend(entry);
        }
        entries = rest;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_entries_are_left_out_and_the_rest_stays_in_order() {
        let entry = |name: &[u8]| {
            let mut bytes = vec![0; 24];
            bytes[LENGTH_64] = 24;
            bytes[NAME_64..NAME_64 + name.len()].copy_from_slice(name);
            bytes
        };
        let all = [entry(b"1"), entry(b"900"), entry(b"2")].concat();
        let kept = without(&all, NAME_64, |name| name == "900");
        assert_eq!(kept, [entry(b"1"), entry(b"2")].concat());
        assert!(without(&all, NAME_64, |_| true).is_empty());
    }
}
