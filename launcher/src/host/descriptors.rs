//! Keeps the launcher's descriptors out of the program's numbers.
//!
//! A program may count on the lowest free descriptor, close all of them, or give each a meaning.
//! So ours lie above its hard limit (RLIMIT_NOFILE), where it can have none itself: the limit binds
//! when a number is handed out, not while it is in use. Where the hard limit cannot be raised even
//! for that moment, or is huge, they lie as high as they can.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Numbers in use by the launcher. The lock also covers the moments in which the limit is raised,
/// so whoever shows RLIMIT_NOFILE to the program takes it too.
type Ours = Mutex<BTreeSet<RawFd>>;

static FIRST: Ours = Mutex::new(BTreeSet::new());

/// The numbers that the launcher uses in one table of descriptors. A process that shares its parent's
/// memory has a table of its own.
#[derive(Clone, Copy)]
pub(crate) struct Numbers(&'static Ours);

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

thread_local! {
    static NUMBERS: Cell<Numbers> = const { Cell::new(Numbers(&FIRST)) };
}

/// Those of the calling thread.
pub(crate) fn numbers() -> Numbers {
    NUMBERS.get()
}

/// Gives the calling thread others, after its table of descriptors has changed.
pub(crate) fn set_numbers(numbers: Numbers) {
    NUMBERS.set(numbers);
}

/// The numbers of a process that is about to start with a copy of this one's table of descriptors.
pub(crate) struct CopiedNumbers(Box<Ours>);

impl CopiedNumbers {
    /// A copy of the calling thread's.
    pub(crate) fn new() -> Self {
        Self(Box::new(Mutex::new(lock().clone())))
    }

    /// For [`set_numbers`].
    ///
    /// # Safety
    /// Nobody uses them once `self` is dropped.
    pub(crate) unsafe fn numbers(&self) -> Numbers {
        // SAFETY: the box stays where it is for as long as the caller promises.
        Numbers(unsafe { &*std::ptr::from_ref(self.0.as_ref()) })
    }
}

/// How many numbers above the program's limit are asked for: one VM and one vCPU for each thread.
const ROOM: u64 = 8192;

/// Where a hard limit is higher than this, ours lie from here on: the kernel's table of descriptors
/// is as long as the highest number, and few programs get this far.
const HIGHEST_BASE: u64 = 65_536;

fn lock() -> MutexGuard<'static, BTreeSet<RawFd>> {
    NUMBERS
        .get()
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Runs `f` while RLIMIT_NOFILE is what the program set.
pub(crate) fn with_true_limit<T>(f: impl FnOnce() -> T) -> T {
    let _guard = lock();
    f()
}

/// RLIMIT_NOFILE as the program set it.
pub(crate) struct TrueLimit(libc::rlimit);

impl TrueLimit {
    /// What it is now.
    ///
    /// # Errors
    /// What getrlimit(2) says.
    pub(crate) fn get() -> io::Result<Self> {
        with_true_limit(nofile).map(Self)
    }

    /// Puts it in place in a process that may have been started while it was raised.
    pub(crate) fn restore(&self) {
        // Lowering it is always allowed.
        let _ = set_nofile(&self.0);
    }
}

/// Opens a descriptor with `open` and moves it out of the program's way, even where the program's
/// own descriptors take up its whole limit.
///
/// # Errors
/// What `open` says, or fcntl(F_DUPFD_CLOEXEC): usually EMFILE.
pub(crate) fn open_parked<E: From<io::Error>, T: AsRawFd>(
    open: impl FnOnce() -> Result<T, E>,
) -> Result<OwnedFd, E> {
    let mut ours = lock();
    let limit = nofile()?;
    let base = limit.rlim_max.min(HIGHEST_BASE);
    let above = base + ROOM;
    let higher = libc::rlimit {
        rlim_cur: limit.rlim_cur.max(above),
        rlim_max: limit.rlim_max.max(above),
    };
    let highest = libc::rlimit {
        rlim_cur: limit.rlim_max,
        rlim_max: limit.rlim_max,
    };
    let raised = set_nofile(&higher).is_ok();
    if !raised {
        set_nofile(&highest)?;
    }
    let copy = open().and_then(|low| {
        let copy = match raised {
            true => duplicate(low.as_raw_fd(), base),
            false => duplicate_below(low.as_raw_fd(), base, &ours),
        };
        Ok(copy?)
    });
    // Lowering a soft limit, and a hard limit to what it was, is always allowed.
    set_nofile(&limit)?;
    let copy = copy?;
    ours.insert(copy.as_raw_fd());
    Ok(copy)
}

/// Where segments are, opened before the program could change its root.
static SEGMENTS: OnceLock<OwnedFd> = OnceLock::new();

/// /dev/shm as it was when this image started, if it could be opened.
pub(crate) fn segments() -> Option<BorrowedFd<'static>> {
    if SEGMENTS.get().is_none() {
        let open = || {
            File::options()
                .read(true)
                .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
                .open("/dev/shm")
        };
        let directory = open_parked::<io::Error, _>(open).ok()?;
        let _ = SEGMENTS.set(directory);
    }
    SEGMENTS.get().map(AsFd::as_fd)
}

/// In a forked child: closes ours, which were the parent's, but those in `keep`.
pub(crate) fn close_after_fork(keep: &[RawFd]) {
    let segments = SEGMENTS.get().map(AsRawFd::as_raw_fd);
    let mut ours = lock();
    let stays = |fd: &RawFd| keep.contains(fd) || segments == Some(*fd);
    for &fd in ours.iter().filter(|fd| !stays(fd)) {
        // SAFETY: the number is ours, and what owned it in the parent is never used in the child.
        unsafe { libc::close(fd) };
    }
    ours.retain(stays);
}

/// A file of ours whose number becomes free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Parked(File);

impl Parked {
    /// As [`open_parked`].
    ///
    /// # Errors
    /// As [`open_parked`].
    pub(crate) fn open<T: AsRawFd>(open: impl FnOnce() -> io::Result<T>) -> io::Result<Self> {
        Ok(Self(open_parked(open)?.into()))
    }

    /// As [`move_away`].
    ///
    /// # Errors
    /// As [`move_away`].
    pub(crate) fn moved(fd: RawFd) -> io::Result<Self> {
        Ok(Self(move_away(fd)?.into()))
    }

    /// A file in memory.
    ///
    /// # Errors
    /// What memfd_create(2) says, or parking.
    pub(crate) fn memory(name: &CStr) -> io::Result<Self> {
        Self::open(|| {
            // SAFETY: the name is a string for the call; a descriptor that is returned is new.
            unsafe {
                match libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) {
                    -1 => Err(io::Error::last_os_error()),
                    fd => Ok(OwnedFd::from_raw_fd(fd)),
                }
            }
        })
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        lock().remove(&self.0.as_raw_fd());
    }
}

/// Has `fd` stay open in the program that this process executes next.
pub(crate) fn keep_over_exec(fd: &impl AsRawFd) {
    // SAFETY: fcntl with F_SETFD reads no memory.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) };
}

/// Whether the program's descriptor `fd` is closed by execve(2).
pub(crate) fn closes_on_exec(fd: RawFd) -> bool {
    // SAFETY: fcntl with F_GETFD reads no memory.
    unsafe { libc::fcntl(fd, libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
}

/// Takes over a descriptor that was kept open for us by [`keep_over_exec`].
///
/// # Errors
/// EBADF if it is not open.
pub(crate) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_SETFD reads no memory; nothing else in this process knows the number.
    let fd = unsafe {
        if libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) == -1 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    lock().insert(fd.as_raw_fd());
    Ok(fd)
}

/// Moves a descriptor that was left open for us at a number of the program's.
///
/// # Errors
/// EBADF if it is not open, or as [`open_parked`].
pub(crate) fn move_away(fd: RawFd) -> io::Result<OwnedFd> {
    open_parked(|| {
        // SAFETY: fcntl with F_GETFD reads no memory; nothing else in this process knows the number.
        match unsafe { libc::fcntl(fd, libc::F_GETFD) } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: as above; it is open.
            _ => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        }
    })
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

/// From which number on the descriptors of another wrapped process are the launcher's.
pub(crate) fn first_parked(pid: u32) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is a writable rlimit for the whole call, and no new one is given.
    unsafe {
        libc::prlimit(
            pid as libc::pid_t,
            libc::RLIMIT_NOFILE,
            std::ptr::null(),
            &mut limit,
        )
    };
    limit.rlim_max.min(HIGHEST_BASE)
}

/// The highest free number below `base`.
fn duplicate_below(fd: RawFd, base: u64, ours: &BTreeSet<RawFd>) -> io::Result<OwnedFd> {
    let lowest_ours = ours.first().map_or(base, |&fd| fd as u64).min(base);
    for number in (3..lowest_ours).rev() {
        // Fails, or gives a higher number, while this one is in use.
        match duplicate(fd, number) {
            Ok(copy) if copy.as_raw_fd() as u64 == number => return Ok(copy),
            _ => {}
        }
    }
    Err(io::Error::from_raw_os_error(libc::EMFILE))
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
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
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
