//! Whether a file is a segment that can be read, and who may have written it.
//!
//! # Whom a reader trusts
//!
//! Anybody may put a file into /dev/shm, under any name that is free. So a reader believes the kernel, and not
//! the file, about whose it is:
//!
//! - Only its owner can have written a segment: it is a regular file that nobody else may write. What root
//!   or the reader's own user owns is taken as it is.
//! - Another user's segment can be read where its owner shares it, by the read permission of its group or of
//!   others. What it says is that user's word, and concerns that user's processes alone:
//!   [`Consumer::attach`](crate::Consumer::attach) takes the segment of a process from the user that the
//!   process runs as, and from nobody else. The user in the header is not asked: it is whatever the writer
//!   says, and in a user namespace another number than outside.
//! - An owner who lies can show counts that are not true, and nothing worse: every number in a segment is
//!   checked against the length of the file before it is used to find anything, names are bounded, and a
//!   sequence that never ends is left after a bounded number of attempts.
//! - An owner who shortens the file under its readers ends what they can read:
//!   [`Status::Truncated`](crate::Status::Truncated).

use crate::reader_memory::Unmapped;
use crate::sigbus::{MAX_WATCHED, Unwatched};
use crate::sync::{AtomicU64, Ordering, load_acquire};
use crate::sys;
use crate::wire::{Header, MAGIC, MAJOR, NOT_READY, PAGE_SIZE, WORD, field};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zerocopy::FromBytes;

/// Why a segment could not be attached to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is no such segment.
    #[error("no segment {path}; start the command with `vmmload run`, or see `vmmload ls`")]
    NotFound {
        /// The file looked for.
        path: PathBuf,
    },
    /// The file cannot be opened or mapped.
    #[error(
        "cannot open {path}; only the user who started the process, and root, can read it, unless it is \
         shared (vmmload run --ring-mode, --ring-group)"
    )]
    Open {
        /// The segment's file.
        path: PathBuf,
        /// What open(2), fstat(2) or mmap(2) said.
        source: io::Error,
    },
    /// This process has as many segments attached as one can.
    #[error("{path} would be the segment number {} of this process; detach from others first", MAX_WATCHED + 1)]
    TooMany {
        /// The segment's file.
        path: PathBuf,
    },
    /// Somebody else could have made or changed this file.
    #[error(
        "{path} belongs to user {owner} with mode {mode:o}; expected a file of user {expected} that \
         nobody else may write, so do not trust it and remove it if it is yours"
    )]
    Foreign {
        /// The segment's file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its type and permission bits.
        mode: u32,
        /// Who should own it: this process's effective user, or the user of the process that it is named
        /// after.
        expected: u32,
    },
    /// The writer has not finished setting the segment up.
    #[error("{path} ({len} bytes) is not ready; try again in a moment")]
    NotReady {
        /// The segment's file.
        path: PathBuf,
        /// Its length so far.
        len: u64,
    },
    /// Not a segment at all.
    #[error(
        "{path} begins with {magic:#018x}; that is no vmmload segment, so name another process"
    )]
    Magic {
        /// The file.
        path: PathBuf,
        /// Its first eight bytes.
        magic: u64,
    },
    /// Written by another major version of vmmload.
    #[error(
        "{path} has layout version {found}, and this reader knows {MAJOR}; use reader and launcher of \
         the same release"
    )]
    Version {
        /// The segment's file.
        path: PathBuf,
        /// Major version found.
        found: u32,
    },
    /// The header contradicts itself or the length of the file.
    #[error("{path} has {field} = {value:#x}, which cannot be right; it is damaged, so remove it")]
    Layout {
        /// The segment's file.
        path: PathBuf,
        /// The field's name, as in ABI.md.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

impl AttachError {
    /// The error for a file that was opened, but cannot be mapped.
    pub(crate) fn unmapped(path: &Path, why: Unmapped) -> Self {
        let path = path.into();
        match why {
            Unmapped::Unwatched(Unwatched::Full) => Self::TooMany { path },
            Unmapped::Unwatched(Unwatched::Handler(source)) | Unmapped::Map(source) => {
                Self::Open { path, source }
            }
        }
    }
}

/// Opens a segment's file for reading, and makes sure that only its owner can have written it.
pub(crate) fn open_trusted(path: &Path) -> Result<(File, Metadata), AttachError> {
    let open_error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => AttachError::NotFound { path: path.into() },
        _ => AttachError::Open {
            path: path.into(),
            source,
        },
    };
    // O_NONBLOCK: a FIFO in the segment's place must not hold us up.
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(open_error)?;
    let facts = file.metadata().map_err(open_error)?;
    if !facts.is_file() || facts.mode() & 0o022 != 0 {
        return Err(foreign(path, &facts, sys::effective_uid()));
    }
    if facts.len() < PAGE_SIZE as u64 {
        return Err(AttachError::NotReady {
            path: path.into(),
            len: facts.len(),
        });
    }
    Ok((file, facts))
}

fn foreign(path: &Path, facts: &Metadata, expected: u32) -> AttachError {
    let (owner, mode) = (facts.uid(), facts.mode());
    AttachError::Foreign {
        path: path.into(),
        owner,
        mode,
        expected,
    }
}

/// Makes sure that the segment that is named after process `pid` comes from who runs that process.
pub(crate) fn check_owner(path: &Path, facts: &Metadata, pid: u32) -> Result<(), AttachError> {
    let owner = facts.uid();
    if owner == 0 || owner == sys::effective_uid() {
        return Ok(());
    }
    match sys::users_of(pid) {
        None if sys::pid_exists(pid) => Err(foreign(path, facts, sys::effective_uid())),
        // What a process left that is gone now, or that can be seen from elsewhere only.
        None => Ok(()),
        Some(users) if users.contains(&owner) => Ok(()),
        Some([user, ..]) => Err(foreign(path, facts, user)),
    }
}

/// Makes sure that the segment is of process `pid`, where it should be of a certain one.
pub(crate) fn check_pid(path: &Path, header: &Header, pid: Option<u32>) -> Result<(), AttachError> {
    match pid {
        Some(pid) if pid != header.pid => Err(AttachError::Layout {
            path: path.into(),
            field: "pid",
            value: header.pid.into(),
        }),
        _ => Ok(()),
    }
}

/// Checks what says that this is a segment that we can read, and copies the header.
pub(crate) fn check_header(words: &[AtomicU64], path: &Path) -> Result<Header, AttachError> {
    let not_ready = || AttachError::NotReady {
        path: path.into(),
        len: PAGE_SIZE as u64,
    };
    // Pairs with the store in `write_header`: the rest of the header is complete.
    let version = words.get(field!(version)).map_or(NOT_READY, load_acquire);
    let header = load_header(words).ok_or_else(not_ready)?;
    if header.magic != MAGIC && (header.magic != 0 || version != NOT_READY) {
        return Err(AttachError::Magic {
            path: path.into(),
            magic: header.magic,
        });
    }
    if version == NOT_READY {
        return Err(not_ready());
    }
    let found = (version >> 32) as u32;
    if found != MAJOR {
        return Err(AttachError::Version {
            path: path.into(),
            found,
        });
    }
    Ok(header)
}

pub(crate) fn load_header(words: &[AtomicU64]) -> Option<Header> {
    let words = words.get(..size_of::<Header>() / WORD)?;
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
        .collect();
    Header::read_from_bytes(&bytes).ok()
}
