//! What a new segment is to hold, and why it cannot be made.

use crate::layout::Sizes;
use crate::words::{ProcessId, Track};
use shared_memory::ShmemError;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// What a new segment is to hold.
#[derive(Clone, Debug)]
pub struct SegmentConfig {
    /// The wrapped process; also gives the segment its name.
    pub pid: u32,
    /// When that process started, in clock ticks since boot (proc_pid_stat(5), field 22). `None`: as `/proc`
    /// says, which need not know the process by this id.
    pub start: Option<u64>,
    /// The wrapped process that forked it.
    pub parent: Option<ProcessId>,
    /// The first process of the `vmmload run` that it descends from. `None`: itself.
    pub session: Option<ProcessId>,
    /// Its arguments, NUL-separated; the first 256 bytes are kept.
    pub command: Vec<u8>,
    /// Epoch length in nanoseconds.
    pub interval_ns: u64,
    /// Which accesses are watched.
    pub track: Track,
    /// Capacity of the event ring, a power of two.
    pub ring_records: u32,
    /// Capacity of the ring of epochs, a power of two.
    pub epoch_records: u32,
    /// Capacity of the ring of process links, a power of two.
    pub link_records: u32,
    /// Per cent of the program's time that tracking may take.
    pub max_overhead: u32,
    /// Entries of each vCPU's dirty ring.
    pub buffer: u32,
    /// Counter pages of the heat table, at most 65,536.
    pub heat_pages: u32,
    /// Capacity of the mapping table.
    pub map_entries: u32,
    /// Bytes for the names of mappings and marks.
    pub string_bytes: u32,
    /// Capacity of the ring of marks, a power of two; 0: none, as in segments of version 1.0.
    pub mark_records: u32,
    /// Who may read the segment: permission bits of its file, which nobody but the owner may write.
    pub mode: u32,
    /// The group that its file belongs to; `None`: as for any new file.
    pub group: Option<u32>,
    /// It gets no file, and nobody can read it.
    pub unread: bool,
    /// /dev/shm as it was opened earlier, for a process that may have another root by now.
    pub directory: Option<BorrowedFd<'static>>,
}

impl SegmentConfig {
    /// The default capacities: 65,536 records (2.5 MiB), 4,096 epochs (256 KiB), 1,024 process links (32 KiB), 65,536 counter pages (256 MiB, of which only
    /// touched ones exist), 16,384 mappings, 1 MiB of names, 16,384 marks (512 KiB).
    pub fn new(pid: u32) -> Self {
        Self {
            pid,
            start: None,
            parent: None,
            session: None,
            command: Vec::new(),
            interval_ns: 100_000_000,
            track: Track::Write,
            ring_records: 65_536,
            epoch_records: 4096,
            link_records: 1024,
            max_overhead: 100,
            buffer: 0,
            heat_pages: 65_536,
            map_entries: 16_384,
            string_bytes: 1 << 20,
            mark_records: 16_384,
            mode: 0o600,
            group: None,
            unread: false,
            directory: None,
        }
    }

    pub(crate) fn sizes(&self) -> Sizes {
        Sizes {
            ring_records: self.ring_records,
            epoch_records: self.epoch_records,
            link_records: self.link_records,
            heat_pages: self.heat_pages,
            map_entries: self.map_entries,
            string_bytes: self.string_bytes,
            mark_records: self.mark_records,
        }
    }
}

/// Why a segment could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// A capacity is out of its range.
    #[error(
        "segment with {field} = {value:#x}: out of range; use a power of two for ring_records, and \
         sizes above zero within the limits of the format"
    )]
    Config {
        /// Name of the capacity.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// The hard limit on file sizes is too low for the segment's (mostly empty) file.
    #[error(
        "the hard limit on file sizes is {limit} bytes, and the segment needs a sparse file of \
         {needed}; raise it (ulimit -Hf) before starting vmmload"
    )]
    FileSizeLimit {
        /// RLIMIT_FSIZE, bytes.
        limit: u64,
        /// Length of the file, bytes.
        needed: usize,
    },
    /// Another running process writes a segment of that name.
    #[error("{path} belongs to process {pid}, which is still running; end that one first")]
    InUse {
        /// The segment's file.
        path: PathBuf,
        /// Its writer.
        pid: u32,
    },
    /// The file of a dead process is in the way.
    #[error(
        "cannot remove {path}, which a dead process left behind; have its owner, or root, run `vmmload \
         ls --prune`"
    )]
    Stale {
        /// The segment's file.
        path: PathBuf,
        /// What unlink(2) said.
        source: io::Error,
    },
    /// The file cannot be given to those who are to read it.
    #[error(
        "{path} cannot be shared with {}, mode {mode:o}; name a group that this user is in (see id), \
         or have root add the user to it (usermod -aG GROUP USER)",
        group.map_or("its group".into(), |group| format!("group {group}"))
    )]
    Share {
        /// The segment's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its group, if one was chosen.
        group: Option<u32>,
        /// What fchown(2) or fchmod(2) said.
        source: io::Error,
    },
    /// The file could not be created, sized or mapped.
    #[error("cannot create {path}; check that /dev/shm is a tmpfs that this user can write to")]
    Create {
        /// The segment's file.
        path: PathBuf,
        /// What the shared_memory crate said.
        source: ShmemError,
    },
    /// There is not even room for the header.
    #[error(
        "no memory for the first page of {path}; make room in /dev/shm (a container's --shm-size), \
         and use Linux 5.14 or later"
    )]
    Populate {
        /// The segment's file.
        path: PathBuf,
        /// What madvise(2) said.
        source: io::Error,
    },
}
