//! Who this process is to those who look from where vmmload was started.
//!
//! Readers find a segment by its process's id. In a namespace of its own (pid_namespaces(7)) a process
//! has another id than outside, and so may have other processes at the same time. The `/proc` that was
//! there at the start tells the outer one, whatever is mounted later.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::{io, str};

use vmmload_consumer::ProcessId;

use super::descriptors::Parked;
use super::{descriptors, filesystem};

/// `/proc` as it was when vmmload started.
static PROC: OnceLock<OwnedFd> = OnceLock::new();

/// Where the start is in /proc/PID/stat, counted from the state behind the command's name.
const START_FIELD: usize = 22 - 3;

/// Opens `/proc`. Without it, the process goes by the id that it has for itself.
pub(crate) fn remember() {
    let open = || {
        File::options()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open("/proc")
    };
    if let Ok(fd) = descriptors::open_parked::<io::Error, _>(open) {
        remember_as(fd);
    }
}

/// Goes on with what an earlier image of this process has opened.
pub(crate) fn remember_as(proc: OwnedFd) {
    let _ = PROC.set(proc);
}

/// The open `/proc`, if there is one.
pub(crate) fn descriptor() -> Option<RawFd> {
    PROC.get().map(AsRawFd::as_raw_fd)
}

/// This process's id.
pub(crate) fn pid() -> u32 {
    let own = descriptor().and_then(|proc| filesystem::read_link_at(proc, c"self").ok());
    own.and_then(|link| str::from_utf8(&link).ok()?.parse().ok())
        .unwrap_or_else(std::process::id)
}

/// When this process started, in clock ticks since boot; 0 if that cannot be told.
pub(crate) fn start() -> u64 {
    start_of("self").unwrap_or(0)
}

/// The user namespace that this process is in: users and groups have other numbers in each.
pub(crate) fn user_namespace() -> Option<u64> {
    let link = filesystem::read_link_at(descriptor()?, c"self/ns/user").ok()?;
    let number = str::from_utf8(&link).ok()?.strip_prefix("user:[")?;
    number.strip_suffix(']')?.parse().ok()
}

/// This process.
pub(crate) fn own() -> ProcessId {
    let (pid, start) = (pid(), start());
    ProcessId { pid, start }
}

/// The child of the calling thread that goes by `pid` where this process is. Its id is 0 if it cannot be told, its
/// start is if it is gone.
pub(crate) fn child(pid: i32) -> ProcessId {
    let pid = match depth() {
        0 => pid.unsigned_abs(),
        depth => outer_pid(pid, depth).unwrap_or(0),
    };
    let start = (pid != 0).then(|| start_of(&pid.to_string()));
    ProcessId {
        pid,
        start: start.flatten().unwrap_or(0),
    }
}

/// How many namespaces further in this process is; 0 if its ids are the same there.
fn depth() -> usize {
    ids("self").map_or(0, |ids| ids.len() - 1)
}

/// The id there of the calling thread's child that is `pid` here: one of its latest.
fn outer_pid(pid: i32, depth: usize) -> Option<u32> {
    const LOOKED_AT: usize = 16;
    let children = read("thread-self/children")?;
    let mut latest = children.split_ascii_whitespace().rev().take(LOOKED_AT);
    let is_it = |child: &&str| ids(child).is_some_and(|ids| ids.get(depth) == Some(&pid));
    latest.find(is_it)?.parse().ok()
}

/// The ids of a process in each namespace, from there inwards; never empty.
fn ids(process: &str) -> Option<Vec<i32>> {
    let status = read(&format!("{process}/status"))?;
    let ids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    let ids: Option<Vec<i32>> = ids
        .split_ascii_whitespace()
        .map(|id| id.parse().ok())
        .collect();
    ids.filter(|ids| !ids.is_empty())
}

fn start_of(process: &str) -> Option<u64> {
    let stat = read(&format!("{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let start = fields.split_ascii_whitespace().nth(START_FIELD)?;
    start.parse().ok()
}

/// A file of that `/proc`.
fn read(name: &str) -> Option<String> {
    let (proc, name) = (descriptor()?, CString::new(name).ok()?);
    let file = Parked::open(|| filesystem::open_at(proc, &name)).ok()?;
    io::read_to_string(file.file()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_namespaces_a_process_is_who_it_is() {
        remember();
        assert_eq!(pid(), std::process::id());
        assert!(start() > 0 && user_namespace().is_some());
        assert_eq!(
            own(),
            ProcessId {
                pid: pid(),
                start: start()
            }
        );
    }

    #[test]
    fn a_child_is_told_by_what_it_is_called_here_and_there() {
        remember();
        let mut sleep = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let told = child(sleep.id() as i32);
        assert_eq!(told.pid, sleep.id());
        assert!(told.start >= start());
        // As where this process is in a namespace within that of `/proc`.
        assert_eq!(outer_pid(sleep.id() as i32, 0), Some(sleep.id()));
        assert_eq!(outer_pid(sleep.id() as i32, 1), None);
        sleep.kill().unwrap();
        sleep.wait().unwrap();
        assert_eq!(child(sleep.id() as i32).start, 0, "it is gone");
    }

    /// What telling the readers of a child takes. For people: `--ignored --nocapture`.
    #[test]
    #[ignore = "prints a time for people, and asserts nothing about it"]
    fn telling_of_a_child() {
        remember();
        let start = std::time::Instant::now();
        (0..1000).for_each(|_| assert!(child(1).start > 0 || pid() == 1));
        println!("{:?} for each child", start.elapsed() / 1000);
    }
}
