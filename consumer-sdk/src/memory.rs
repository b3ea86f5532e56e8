//! The shared memory itself, seen as 64-bit atomic words: the writer's mapping.
//!
//! Nothing here makes a reference to plain data in shared memory; other processes may change it at any
//! time, and atomics are the only type for which Rust allows that.

pub(crate) use crate::place::path_of;
use crate::place::{Identity, Place};
use crate::sync::AtomicU64;
use crate::wire::{PAGE_SIZE, WORD};
use core::ops::Range;
use memmap2::MmapOptions;
use shared_memory::{Shmem, ShmemConf, ShmemError};
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// The writer's mapping of a segment that it created. No descriptor stays open behind it.
#[derive(Debug)]
pub(crate) struct WriterMemory {
    start: NonNull<AtomicU64>,
    bytes: usize,
    /// `None`: there is no file.
    place: Option<Place>,
    /// The file, so that a successor with the same name is left alone.
    identity: Option<Identity>,
    /// A forked child inherits the mapping but not the segment.
    creator: u32,
    /// Some of its memory was refused.
    is_starved: AtomicBool,
}

// SAFETY: the mapping belongs to the process, not to a thread, stays until drop, and is only reached
// through atomics; the other fields are plain data.
unsafe impl Send for WriterMemory {}
// SAFETY: as above: shared access hands out atomics only.
unsafe impl Sync for WriterMemory {}

impl WriterMemory {
    /// Creates the file at `place` with `bytes` of nothing, readable by its owner alone, and maps it. With it
    /// comes its descriptor. Locks taken through that one last as long as the mapping, which is the last thing
    /// that the kernel takes from a process that it kills.
    ///
    /// # Errors
    /// What `shared_memory` reports; `MappingIdExists` when the name is taken.
    pub(crate) fn create(place: Place, bytes: usize) -> Result<(Self, File), ShmemError> {
        let name = match &place {
            Place::Elsewhere(elsewhere) => {
                let file = elsewhere.create().map_err(failed)?;
                return Self::of_file(place, file, bytes);
            }
            Place::Path(path) => path.file_name().unwrap_or_default().to_string_lossy(),
        };
        let shmem = ShmemConf::new()
            .os_id(format!("/{name}"))
            .size(bytes)
            .create()?;
        let start = NonNull::new(shmem.as_ptr().cast()).ok_or(ShmemError::MapCreateFailed(0))?;
        let memory = Self::new(start, bytes, Some(place));
        let file = memory.take_over(shmem)?;
        Ok((memory, file))
    }

    fn of_file(place: Place, file: File, bytes: usize) -> Result<(Self, File), ShmemError> {
        let map = || {
            file.set_len(bytes as u64)?;
            MmapOptions::new().len(bytes).map_raw(&file)
        };
        let map = map().map_err(|error| {
            let _ = place.remove();
            failed(error)
        })?;
        let map = std::mem::ManuallyDrop::new(map);
        let start = NonNull::new(map.as_mut_ptr().cast()).ok_or(ShmemError::MapCreateFailed(0))?;
        Ok((Self::new(start, bytes, Some(place)), file))
    }

    /// Memory of this process alone, without a file.
    ///
    /// # Errors
    /// When there is no room in the address space.
    pub(crate) fn unread(bytes: usize) -> Result<Self, ShmemError> {
        let map = MmapOptions::new().len(bytes).map_anon().map_err(failed)?;
        let mut map = std::mem::ManuallyDrop::new(map);
        let start = NonNull::new(map.as_mut_ptr().cast()).ok_or(ShmemError::MapCreateFailed(0))?;
        Ok(Self::new(start, bytes, None))
    }

    fn new(start: NonNull<AtomicU64>, bytes: usize, place: Option<Place>) -> Self {
        let memory = Self {
            start,
            bytes,
            identity: place.as_ref().and_then(Place::identity),
            place,
            creator: std::process::id(),
            is_starved: AtomicBool::new(false),
        };
        memory.advise();
        memory
    }

    /// Ends `shared_memory`'s part. Its drop would unmap and unlink, which are left to our own, and close
    /// whatever is at its descriptor's number by then: that is a low one, which belongs to the wrapped program.
    fn take_over(&self, shmem: Shmem) -> Result<File, ShmemError> {
        std::mem::forget(shmem);
        let descriptor = self.find_descriptor();
        let descriptor = descriptor.ok_or(ShmemError::UnknownOsError(libc::EBADF as u32))?;
        // SAFETY: `find_descriptor` just saw that this number is the segment's, opened for writing, which only
        // `shared_memory` did, and its owner was forgotten above.
        Ok(unsafe { File::from_raw_fd(descriptor) })
    }

    /// The number at which `shared_memory` has the segment open. The kernel gives the lowest free one, so
    /// the search is short; the crate itself does not tell.
    fn find_descriptor(&self) -> Option<i32> {
        self.identity?;
        (0..1 << 20).find(|&descriptor| {
            // SAFETY: F_GETFL takes a number and touches no memory.
            let flags = || unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
            Identity::of_number(descriptor) == self.identity
                && flags() & libc::O_ACCMODE == libc::O_RDWR
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
            _ => {
                let error = io::Error::last_os_error();
                self.is_starved.store(true, Ordering::Relaxed);
                Err(explain_populate(error))
            }
        }
    }

    /// Whether some of its memory was ever refused.
    pub(crate) fn is_starved(&self) -> bool {
        self.is_starved.load(Ordering::Relaxed)
    }

    /// Removes the segment's name. Whoever has it mapped keeps it. Does nothing in a forked child, or
    /// when the name already belongs to another file.
    pub(crate) fn unlink(&self) {
        let Some(place) = &self.place else {
            return;
        };
        let is_ours = self.identity.is_some() && place.identity() == self.identity;
        if is_ours && self.creator == std::process::id() {
            // What stays after a failure is reclaimed as that of a dead process.
            let _ = place.remove();
        }
    }
}

fn failed(error: io::Error) -> ShmemError {
    match error.raw_os_error() {
        Some(libc::EEXIST) => ShmemError::MappingIdExists,
        errno => ShmemError::MapCreateFailed(errno.unwrap_or(0) as u32),
    }
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
