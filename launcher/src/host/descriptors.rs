//! Keeps the launcher's descriptors out of the program's numbers.
//!
//! A program may count on the lowest free descriptor, close all of them, or give each a meaning.
//! So ours lie above its limit (RLIMIT_NOFILE), where natively no descriptor can be: the limit
//! binds when a number is handed out, not while it is in use. Where the limit cannot be raised
//! even for that moment, they lie at its upper end.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Numbers in use by the launcher. The lock also covers the moments in which the limit is raised,
/// so whoever shows RLIMIT_NOFILE to the program takes it too.
static OURS: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// How many numbers above the program's limit are asked for: one VM and one vCPU for each thread.
const ROOM: u64 = 8192;

/// Where a limit is higher than this, ours lie from here on: the kernel's table of descriptors is
/// as long as the highest number, and few programs get this far.
const HIGHEST_BASE: u64 = 65_536;

fn lock() -> MutexGuard<'static, BTreeSet<RawFd>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `f` while RLIMIT_NOFILE is what the program set.
pub(crate) fn with_true_limit<T>(f: impl FnOnce() -> T) -> T {
    let _guard = lock();
    f()
}

/// Our descriptors within `first..=last`, in order.
pub(crate) fn ours_between(first: u32, last: u32) -> Vec<RawFd> {
    let clamp = |v: u32| RawFd::try_from(v).unwrap_or(RawFd::MAX);
    lock().range(clamp(first)..=clamp(last)).copied().collect()
}

/// Whether `fd` is one of ours.
pub(crate) fn is_ours(fd: u64) -> bool {
    // The kernel takes a descriptor as 32 bits and ignores the rest of the register.
    lock().contains(&(fd as u32 as RawFd))
}

/// Moves a descriptor out of the program's way.
///
/// # Errors
/// What fcntl(F_DUPFD_CLOEXEC) says: usually EMFILE.
pub(crate) fn park(fd: OwnedFd) -> io::Result<OwnedFd> {
    park_copy(&fd)
}

/// Makes a close-on-exec copy of a descriptor, out of the program's way.
///
/// # Errors
/// As [`park`].
pub(crate) fn park_copy(fd: &impl AsRawFd) -> io::Result<OwnedFd> {
    let mut ours = lock();
    let limit = nofile()?;
    if limit.rlim_cur > HIGHEST_BASE {
        let copy = duplicate(fd.as_raw_fd(), HIGHEST_BASE)?;
        ours.insert(copy.as_raw_fd());
        return Ok(copy);
    }
    let copy = match raised(&limit, || duplicate(fd.as_raw_fd(), limit.rlim_cur)) {
        Some(copy) => copy?,
        None => duplicate_below(fd.as_raw_fd(), limit.rlim_cur, &ours)?,
    };
    ours.insert(copy.as_raw_fd());
    Ok(copy)
}

/// Runs `f` with a soft limit that leaves room above the program's own, and puts that back.
/// None where neither the hard limit nor a privilege allows it.
fn raised<T>(limit: &libc::rlimit, f: impl FnOnce() -> T) -> Option<T> {
    let wanted = limit.rlim_cur.checked_add(ROOM)?;
    let higher = libc::rlimit { rlim_cur: wanted, rlim_max: limit.rlim_max.max(wanted) };
    set_nofile(&higher).ok()?;
    let result = f();
    // Lowering a soft limit, and a hard limit to what it was, is always allowed.
    set_nofile(limit).ok()?;
    Some(result)
}

/// The highest free number below the limit.
fn duplicate_below(fd: RawFd, limit: u64, ours: &BTreeSet<RawFd>) -> io::Result<OwnedFd> {
    let lowest_ours = ours.first().map_or(limit, |&fd| fd as u64).min(limit);
    for number in (3..lowest_ours).rev().take(1024) {
        let copy = duplicate(fd, number)?;
        if copy.as_raw_fd() as u64 == number {
            return Ok(copy);
        }
    }
    duplicate(fd, 3)
}

fn duplicate(fd: RawFd, lowest: u64) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_DUPFD_CLOEXEC reads no memory; a copy that it returns is ours alone.
    unsafe {
        match libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) {
            -1 => Err(io::Error::last_os_error()),
            copy => Ok(OwnedFd::from_raw_fd(copy)),
        }
    }
}

fn nofile() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a writable rlimit for the whole call.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_nofile(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: `limit` is a readable rlimit for the whole call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
