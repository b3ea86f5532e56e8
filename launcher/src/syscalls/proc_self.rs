//! What the program sees of itself, and of other wrapped processes, under /proc: the program's mappings
//! and numbers, not the launcher's.
//!
//! A file is recognised once it is open, by what it is: so it does not matter by which path, link or
//! directory the program got there. The text that the program then reads is a copy in memory.

use std::ffi::CString;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::{Outcome, check, proc_links};
use crate::host::descriptors::{self, Parked};
use crate::host::proc_files::{self, Kind, ProcFile};
use crate::host::relay::{self, Call};
use crate::process::HELPERS;
use crate::process::thread::GuestThread;
use crate::process::view::{self, Owned};
use crate::process::view_counts::Counts;

/// How long to wait for another process to publish what it has mapped: twice the usual epoch.
const PATIENCE: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// open(2), openat(2), openat2(2).
pub(super) fn open(thread: &mut GuestThread, call: &Call) -> Outcome {
    let outcome = thread.relay(call);
    let Outcome::Return(value) = outcome else {
        return outcome;
    };
    let Ok(fd) = check(value as i64) else {
        return outcome;
    };
    match proc_files::kind(fd as RawFd) {
        Kind::Other => outcome,
        Kind::Virtual => {
            replace_by_view(thread, fd as RawFd);
            outcome
        }
        Kind::Launcher => proc_links::open_executable(thread, call, fd as RawFd),
    }
}

/// Puts the program's view in the place of the kernel's behind `fd`, if it is a file that has one.
fn replace_by_view(thread: &GuestThread, fd: RawFd) {
    let Some(file) = proc_files::of_descriptor(fd) else {
        return;
    };
    let Some(make) = maker(&file.name) else {
        return;
    };
    let pid = proc_files::process_of(file.pid);
    let Some(text) = read(fd).filter(|host| !host.is_empty()) else {
        return;
    };
    let view = View::of(thread, pid, &file.name, text);
    if let Some(text) = view.and_then(|view| make(&view)) {
        // Without memory for it, the kernel's view stays.
        let _ = put(&text, &file.name, fd);
    }
}

/// What is needed to make any of the views.
struct View<'a> {
    thread: &'a GuestThread,
    pid: u32,
    /// What the kernel shows in the file itself.
    host: String,
    /// What it shows in `maps`.
    maps: String,
    owned: Owned,
}

impl<'a> View<'a> {
    fn of(thread: &'a GuestThread, pid: u32, name: &str, host: String) -> Option<Self> {
        let maps = |host: &str| match name {
            "maps" => Some(host.to_owned()),
            _ => proc_files::text(&format!("/proc/{pid}/maps")),
        };
        let (owned, maps) = if pid == std::process::id() {
            // No mapping comes or goes while its lock is held.
            let table = thread.process.memory.read();
            (Owned::of_table(&table), maps(&host)?)
        } else if proc_files::executes_launcher(pid) {
            let maps = maps(&host)?;
            (published(thread, pid, &maps)?, maps)
        } else {
            return None;
        };
        Some(Self {
            thread,
            pid,
            host,
            maps,
            owned,
        })
    }

    fn counts(&self) -> Counts {
        let executable = proc_links::executable(self.thread, self.pid).unwrap_or_default();
        let mut counts = Counts::of(self.pid, &self.maps, &self.owned, &executable);
        counts.helpers = helpers(self.pid);
        counts.highest_descriptor = highest_descriptor(self.pid);
        if self.pid == std::process::id() {
            counts.caught = Some(self.thread.process.dispositions.caught());
            counts.heap = Some(self.thread.process.memory.heap().start);
        }
        counts
    }

    fn smaps(&self) -> Option<String> {
        let host = proc_files::text(&format!("/proc/{}/smaps", self.pid))?;
        Some(view::smaps(&host, &self.owned))
    }
}

/// What another wrapped process has published; where it lacks what `maps` shows already, one epoch later.
fn published(thread: &GuestThread, pid: u32, maps: &str) -> Option<Owned> {
    let table = Owned::of_table(&thread.process.memory.read());
    let usual = table.strange_files(&proc_files::text("/proc/self/maps")?);
    for _ in 0..PATIENCE {
        if Owned::of_process(pid)?.strange_files(maps) <= usual {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    Owned::of_process(pid)
}

/// How the view of a file is made; None for files that show nothing of the launcher.
fn maker(name: &str) -> Option<fn(&View) -> Option<String>> {
    Some(match name {
        "maps" => |v| Some(view::maps(&v.host, &v.owned)),
        "smaps" => |v| Some(view::smaps(&v.host, &v.owned)),
        "smaps_rollup" => |v| Some(view::rollup(&v.host, &v.smaps()?)),
        "numa_maps" => |v| Some(view::numa_maps(&v.host, &v.maps, &v.owned)),
        "stat" => |v| v.counts().stat(&v.host),
        "statm" => |v| v.counts().statm(&v.host),
        "status" => |v| Some(v.counts().status(&v.host)),
        _ => return None,
    })
}

/// Whether thread `tid` of process `pid` is the launcher's, not the program's.
pub(super) fn is_helper(pid: u32, tid: &str) -> bool {
    let comm = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm"));
    comm.is_ok_and(|name| HELPERS.contains(&name.trim_end()))
}

fn names_in(directory: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|e| e.file_name().into_string());
    names.filter_map(Result::ok).collect()
}

fn helpers(pid: u32) -> u64 {
    let threads = names_in(&format!("/proc/{pid}/task"));
    threads.iter().filter(|tid| is_helper(pid, tid)).count() as u64
}

fn highest_descriptor(pid: u32) -> Option<u64> {
    let all = names_in(&format!("/proc/{pid}/fd"));
    let numbers = all.iter().filter_map(|name| name.parse().ok());
    numbers.filter(|&fd| !is_launchers(pid, fd)).max()
}

/// Whether descriptor `fd` of the wrapped process `pid` is the launcher's: in another process, one that
/// lies where the program can have none, or that only the launcher would open.
pub(super) fn is_launchers(pid: u32, fd: u64) -> bool {
    if pid == std::process::id() {
        return descriptors::is_ours(fd);
    }
    let base = descriptors::first_parked(pid);
    if fd >= base {
        return true;
    }
    // Where the limit cannot be exceeded, they are the highest below it.
    let link = std::fs::read_link(format!("/proc/{pid}/fd/{fd}"));
    fd >= base / 2
        && link.is_ok_and(|link| {
            let name = link.as_os_str().as_encoded_bytes();
            let of_process = |file: &[u8]| name.starts_with(b"/proc/") && name.ends_with(file);
            name.starts_with(b"anon_inode:kvm-")
                || [&b"/dev/kvm"[..], b"/dev/shm", b"/proc", b"/proc/loadavg"].contains(&name)
                || of_process(b"/mem")
                || of_process(b"/pagemap")
                || std::fs::read_link("/proc/self/exe").is_ok_and(|launcher| launcher == link)
        })
}

fn read(fd: RawFd) -> Option<String> {
    let mut bytes = Vec::new();
    let mut part = vec![0u8; 64 << 10];
    loop {
        let args = [
            fd as u64,
            part.as_mut_ptr() as u64,
            part.len() as u64,
            bytes.len() as u64,
            0,
            0,
        ];
        // SAFETY: `part` is writable for the call, for as many bytes as are asked for.
        let count = check(unsafe { relay::raw(libc::SYS_pread64, args) }).ok()? as usize;
        if count == 0 {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        bytes.extend(&part[..count]);
    }
}

/// Replaces what `fd` is open on by a file in memory that can only be read, with `text`.
fn put(text: &str, name: &str, fd: RawFd) -> std::io::Result<()> {
    let memory = Parked::memory(&CString::new(name)?)?;
    memory.file().write_all_at(text.as_bytes(), 0)?;
    let path = format!("/proc/self/fd/{}", memory.file().as_raw_fd());
    let readable = Parked::open(|| std::fs::File::open(&path))?;
    let cloexec = match descriptors::closes_on_exec(fd) {
        true => libc::O_CLOEXEC,
        false => 0,
    };
    let new = readable.file().as_raw_fd();
    let args = [new as u64, fd as u64, cloexec as u64, 0, 0, 0];
    // SAFETY: the number is the program's, which does not know of it yet.
    check(unsafe { relay::raw(libc::SYS_dup3, args) })
        .map_err(std::io::Error::from_raw_os_error)?;
    Ok(())
}

/// Whether `file` is of a wrapped process; then which.
pub(super) fn wrapped(file: &ProcFile) -> Option<u32> {
    let pid = proc_files::process_of(file.pid);
    (pid == std::process::id() || proc_files::executes_launcher(pid)).then_some(pid)
}
