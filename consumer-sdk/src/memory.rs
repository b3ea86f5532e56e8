//! The shared memory itself, seen as 64-bit atomic words: the writer's mapping and the readers'.
//!
//! Nothing here makes a reference to plain data in shared memory; other processes may change it at any
//! time, and atomics are the only type for which Rust allows that.

use crate::sync::AtomicU64;
use crate::wire::{PAGE_SIZE, WORD};
use core::ops::Range;
use memmap2::{Mmap, MmapOptions};
use shared_memory::{Shmem, ShmemConf, ShmemError};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::Arc;
use std::{fs, io};

/// Where named segments appear as files.
const SHM_DIR: &str = "/dev/shm";

/// The file of the segment with this name (without a slash).
pub(crate) fn path_of(name: &str) -> PathBuf {
    PathBuf::from(SHM_DIR).join(name)
}

/// The writer's mapping of a segment that it created. No descriptor stays open behind it.
#[derive(Debug)]
pub(crate) struct WriterMemory {
    start: NonNull<AtomicU64>,
    bytes: usize,
    /// Where the file is: in /dev/shm as it is named now, or in the directory that was.
    home: Home,
    /// Identity of the file, so that a successor with the same name is left alone.
    inode: u64,
    /// A forked child inherits the mapping but not the segment.
    creator: u32,
}

// SAFETY: the mapping belongs to the process, not to a thread, stays until drop, and is only reached
// through atomics; the other fields are plain data.
unsafe impl Send for WriterMemory {}
// SAFETY: as above: shared access hands out atomics only.
unsafe impl Sync for WriterMemory {}

impl WriterMemory {
    /// Creates the file /dev/shm/`name` with `bytes` of nothing, mode 0600, and maps it. `directory` is
    /// that directory as it was opened earlier: what counts where this process has another root by now.
    ///
    /// # Errors
    /// What `shared_memory` reports; `MappingIdExists` when the name is taken.
    pub(crate) fn create(
        name: &str,
        bytes: usize,
        directory: Option<BorrowedFd<'static>>,
    ) -> Result<Self, ShmemError> {
        match directory {
            Some(directory) if !is_shm_dir(directory) => Self::create_in(directory, name, bytes),
            _ => Self::create_by_name(name, bytes),
        }
    }

    fn create_in(
        directory: BorrowedFd<'static>,
        name: &str,
        bytes: usize,
    ) -> Result<Self, ShmemError> {
        let failed = |error: io::Error| match error.raw_os_error() {
            Some(libc::EEXIST) => ShmemError::MappingIdExists,
            errno => ShmemError::MapCreateFailed(errno.unwrap_or(0) as u32),
        };
        let home = Home::Directory(directory, name.to_owned());
        let file = home.create_file().map_err(failed)?;
        let map = || {
            file.set_len(bytes as u64)?;
            MmapOptions::new().len(bytes).map_raw(&file)
        };
        let map = std::mem::ManuallyDrop::new(map().map_err(|error| {
            home.remove();
            failed(error)
        })?);
        let memory = Self {
            start: NonNull::new(map.as_mut_ptr().cast()).ok_or(ShmemError::MapCreateFailed(0))?,
            bytes,
            inode: home.inode().unwrap_or(0),
            home,
            creator: std::process::id(),
        };
        memory.advise();
        Ok(memory)
    }

    fn create_by_name(name: &str, bytes: usize) -> Result<Self, ShmemError> {
        let path = path_of(name);
        let shmem = ShmemConf::new()
            .os_id(format!("/{name}"))
            .size(bytes)
            .create()?;
        let memory = Self {
            start: NonNull::new(shmem.as_ptr().cast()).ok_or(ShmemError::MapCreateFailed(0))?,
            bytes,
            inode: fs::metadata(&path).map_or(0, |file| file.ino()),
            home: Home::Path(path),
            creator: std::process::id(),
        };
        memory.take_over(shmem);
        memory.advise();
        Ok(memory)
    }

    /// Ends `shared_memory`'s part. It would keep its descriptor open, at a low number that belongs to
    /// the wrapped program, and its drop would close whatever is at that number by then. The mapping
    /// needs no descriptor: it is closed here, and unmapping and unlinking are left to our own drop.
    fn take_over(&self, shmem: Shmem) {
        std::mem::forget(shmem);
        if let Some(descriptor) = self.find_descriptor() {
            // SAFETY: fchmod and close take a number and touch no memory. `find_descriptor` just saw
            // that this one is the segment's, opened for writing, which only `shared_memory` did, and
            // its owner was forgotten above. A failing fchmod leaves what the umask allowed.
            unsafe {
                libc::fchmod(descriptor, 0o600);
                libc::close(descriptor);
            }
        }
    }

    /// The number at which `shared_memory` has the segment open. The kernel gives the lowest free one, so
    /// the search is short; the crate itself does not tell.
    fn find_descriptor(&self) -> Option<i32> {
        let device = fs::metadata(SHM_DIR).ok()?.dev();
        (0..1 << 20).find(|&descriptor| {
            // SAFETY: an all-zero stat is a valid value of that plain C structure.
            let mut stat: libc::stat = unsafe { std::mem::zeroed() };
            // SAFETY: fstat fills the live `stat` of our own, or fails for a number that is not open.
            let known = unsafe { libc::fstat(descriptor, &raw mut stat) } == 0;
            let ours = known && stat.st_ino == self.inode && stat.st_dev == device;
            // SAFETY: F_GETFL takes a number and touches no memory.
            ours && unsafe { libc::fcntl(descriptor, libc::F_GETFL) } & libc::O_ACCMODE
                == libc::O_RDWR
        })
    }

    /// A system that prefers huge pages for shared memory would back 2 MiB for the first record. A child
    /// by fork(2) is another process: a second writer, or a reason to keep this segment's memory.
    fn advise(&self) {
        for advice in [libc::MADV_NOHUGEPAGE, libc::MADV_DONTFORK] {
            // SAFETY: the range is our own whole mapping; neither advice changes its contents. Kernels
            // without huge pages refuse the first, which is as good.
            unsafe { libc::madvise(self.start.as_ptr().cast(), self.bytes, advice) };
        }
    }

    /// All words of the segment. Those that were never populated must not be touched.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is the page-aligned start of a mapping of `bytes` bytes, readable and
        // writable, that lives as long as `self`. Every bit pattern is a valid AtomicU64, and nobody
        // in this process makes any other kind of reference to it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes / WORD) }
    }

    /// Addresses of the mapping.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.start.as_ptr() as u64;
        start..start + self.bytes as u64
    }

    /// Puts memory behind a byte range, so that storing there cannot raise SIGBUS.
    ///
    /// # Errors
    /// `StorageFull` when /dev/shm is full, `Unsupported` before Linux 5.14, else the system's error.
    pub(crate) fn populate(&self, range: Range<usize>) -> io::Result<()> {
        let first = range.start / PAGE_SIZE * PAGE_SIZE;
        let end = range.end.next_multiple_of(PAGE_SIZE);
        if first >= end || end > self.bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: `first..end` was checked to lie inside our mapping.
        let address = unsafe { self.start.as_ptr().byte_add(first) };
        // SAFETY: the range is part of our own mapping. MADV_POPULATE_WRITE (madvise(2)) faults the
        // pages in as a store would, without changing them, and returns an error instead of a signal.
        match unsafe { libc::madvise(address.cast(), end - first, libc::MADV_POPULATE_WRITE) } {
            0 => Ok(()),
            _ => Err(explain_populate(io::Error::last_os_error())),
        }
    }

    /// Removes the segment's name. Whoever has it mapped keeps it. Does nothing in a forked child, or
    /// when the name already belongs to another file.
    pub(crate) fn unlink(&self) {
        let is_ours = self.home.inode() == Some(self.inode);
        if is_ours && self.creator == std::process::id() {
            self.home.remove();
        }
    }
}

/// Where a segment's file is.
#[derive(Debug)]
enum Home {
    Path(PathBuf),
    Directory(BorrowedFd<'static>, String),
}

impl Home {
    fn c_name(name: &str) -> CString {
        CString::new(name).unwrap_or_default()
    }

    fn create_file(&self) -> io::Result<File> {
        let Self::Directory(directory, name) = self else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags =
            libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        // SAFETY: the name is a string for the call; a descriptor that is returned is new.
        unsafe {
            let name = Self::c_name(name);
            match libc::openat(directory.as_raw_fd(), name.as_ptr(), flags, 0o600) {
                -1 => Err(io::Error::last_os_error()),
                descriptor => Ok(File::from_raw_fd(descriptor)),
            }
        }
    }

    fn inode(&self) -> Option<u64> {
        let (directory, name) = match self {
            Self::Path(path) => return Some(fs::metadata(path).ok()?.ino()),
            Self::Directory(directory, name) => (directory, Self::c_name(name)),
        };
        // SAFETY: an all-zero stat is a valid value of that plain C structure.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        // SAFETY: name and `stat` live for the call.
        let known =
            unsafe { libc::fstatat(directory.as_raw_fd(), name.as_ptr(), &raw mut stat, flags) };
        (known == 0).then_some(stat.st_ino)
    }

    /// A failure leaves the file, which the next process with this pid reclaims.
    fn remove(&self) {
        match self {
            Self::Path(path) => drop(fs::remove_file(path)),
            Self::Directory(directory, name) => {
                let name = Self::c_name(name);
                // SAFETY: the name is a string for the call.
                unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), 0) };
            }
        }
    }
}

/// Whether /dev/shm still is this directory.
fn is_shm_dir(directory: BorrowedFd<'static>) -> bool {
    // SAFETY: an all-zero stat is a valid value of that plain C structure.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: fstat fills the live `stat` of our own.
    let known = unsafe { libc::fstat(directory.as_raw_fd(), &raw mut stat) } == 0;
    let named = fs::metadata(SHM_DIR);
    known && named.is_ok_and(|named| (named.dev(), named.ino()) == (stat.st_dev, stat.st_ino))
}

/// madvise reports as EFAULT what a store would have reported as SIGBUS.
fn explain_populate(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EFAULT | libc::ENOMEM) => io::ErrorKind::StorageFull.into(),
        Some(libc::EINVAL) => io::ErrorKind::Unsupported.into(),
        _ => error,
    }
}

impl Drop for WriterMemory {
    fn drop(&mut self) {
        self.unlink();
        // SAFETY: the mapping is ours, whole, and `words` handed out only borrows of `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// A reader's mapping: read-only, so that no reader can disturb the writer. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ReaderMemory(Arc<Mmap>);

impl ReaderMemory {
    /// Maps the first `bytes` of a segment's file, which must be that long.
    ///
    /// # Errors
    /// What mmap(2) reports.
    pub(crate) fn map(file: &File, bytes: usize) -> io::Result<Self> {
        // SAFETY: the bytes change under the mapping; they are reached through `words` alone, as
        // atomics, never as plain data. The file cannot become shorter by the writer's doing; its owner
        // is this user or root, as `attach` checked, and shortening it by hand would end this process
        // with SIGBUS.
        unsafe { MmapOptions::new().len(bytes).map(file) }.map(|mapping| Self(Arc::new(mapping)))
    }

    /// All words of the segment.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, readable, `len` bytes long and lives as long as `self`.
        // Every bit pattern is a valid AtomicU64, and readers make relaxed loads only, which work on
        // read-only memory (core::sync::atomic, "Atomic accesses to read-only memory").
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() / WORD) }
    }
}

/// Raises this process's soft limit on file sizes while it lives, and restores it when dropped.
///
/// Sizing the segment beyond the limit would raise SIGXFSZ.
#[derive(Debug)]
pub(crate) struct FileSizeLimit(Option<libc::rlimit>);

impl FileSizeLimit {
    /// Allows files of `bytes`.
    ///
    /// # Errors
    /// The hard limit, when it is lower than that.
    pub(crate) fn allow(bytes: usize) -> Result<Self, u64> {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the call fills the live `limit` of our own.
        if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) } != 0
            || limit.rlim_cur >= bytes as u64
        {
            return Ok(Self(None));
        }
        if limit.rlim_max < bytes as u64 {
            return Err(limit.rlim_max);
        }
        set_file_size_limit(&libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        });
        Ok(Self(Some(limit)))
    }
}

impl Drop for FileSizeLimit {
    fn drop(&mut self) {
        if let Some(limit) = self.0 {
            set_file_size_limit(&limit);
        }
    }
}

fn set_file_size_limit(limit: &libc::rlimit) {
    // SAFETY: the call reads the live `limit`. It cannot fail: the soft limit stays within the hard one.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, limit) };
}
