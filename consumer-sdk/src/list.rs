//! Finding the segments there are.

use crate::consumer::{Consumer, Status};
use crate::info::Info;
use crate::memory::path_of;
use crate::sys;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};

/// What the name of every segment begins with; the pid follows in decimal.
const PREFIX: &str = "vmmload-";

/// The name of a process's segment: its file in /dev/shm.
pub fn segment_name(pid: u32) -> String {
    format!("{PREFIX}{pid}")
}

fn pid_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(PREFIX)?;
    let pid = digits.parse().ok()?;
    (segment_name(pid) == name).then_some(pid)
}

/// Pid and inode of every file that is named like a segment.
pub(crate) fn segments() -> impl Iterator<Item = (u32, u64)> {
    let files = fs::read_dir(path_of("")).into_iter().flatten().flatten();
    files.filter_map(|file| Some((pid_of(file.file_name().to_str()?)?, file.ino())))
}

/// The pids of them all, in order.
pub(crate) fn pids() -> Vec<u32> {
    let mut pids: Vec<u32> = segments().map(|(pid, _)| pid).collect();
    pids.sort_unstable();
    pids
}

/// Pid and inode of every file that is named like a segment, ordered by pid: everybody's, those of processes that are no
/// more and those that this user may not read included. None is opened: who looks for new ones often attaches to
/// those that it has not seen.
pub fn segment_files() -> Vec<(u32, u64)> {
    let mut files: Vec<_> = segments().collect();
    files.sort_unstable();
    files
}

/// This user's segments whose process still runs, ordered by pid; for root, everybody's.
pub fn list() -> Vec<Info> {
    consumers(|status| status == Status::Running)
        .iter()
        .map(Consumer::info)
        .collect()
}

/// Consumers of this user's segments with a status that `wanted` accepts, ordered by pid; for root, of
/// everybody's. Files that are no segments are passed over.
pub fn consumers(wanted: impl Fn(Status) -> bool) -> Vec<Consumer> {
    let user = sys::effective_uid();
    let is_own = |pid: &u32| {
        let facts = fs::symlink_metadata(path_of(&segment_name(*pid)));
        user == 0 || facts.is_ok_and(|facts| facts.uid() == user)
    };
    consumers_of(pids().into_iter().filter(is_own), wanted)
}

/// As [`consumers`], and of those segments that other users share with this one.
pub fn readable_consumers(wanted: impl Fn(Status) -> bool) -> Vec<Consumer> {
    consumers_of(pids().into_iter(), wanted)
}

fn consumers_of(pids: impl Iterator<Item = u32>, wanted: impl Fn(Status) -> bool) -> Vec<Consumer> {
    let attached = pids.filter_map(|pid| Consumer::attach(pid).ok());
    attached
        .filter(|consumer| wanted(consumer.status()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_made_from_a_pid_are_segments() {
        assert_eq!(pid_of("vmmload-17"), Some(17));
        for name in [
            "vmmload-",
            "vmmload-017",
            "vmmload-+1",
            "vmmload-1x",
            "other-1",
            "vmmload--1",
        ] {
            assert_eq!(pid_of(name), None, "{name}");
        }
    }
}
