//! Whether a file is a segment that can be read, and who may have written it.

use crate::reader_memory::Unmapped;
use crate::sigbus::{MAX_WATCHED, Unwatched};
use crate::sync::{AtomicU64, Ordering, load_acquire};
use crate::sys;
use crate::wire::{Header, MAGIC, MAJOR, NOT_READY, PAGE_SIZE, WORD, field};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zerocopy::FromBytes;

/// Why a segment could not be attached to.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such segment.
    #[error("no segment {path}; start the command with `vmmload run`, or see `vmmload ls`")]
    NotFound {
        /// The file looked for.
        path: PathBuf,
    },
    /// The file cannot be opened or mapped.
    #[error("cannot open {path}; only the user who started the process, and root, can read it")]
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
        "{path} belongs to user {owner} with mode {mode:o}; expected a file of user {expected} with \
         mode 600, so do not trust it and remove it if it is yours"
    )]
    Foreign {
        /// The segment's file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its type and permission bits.
        mode: u32,
        /// This process's effective user.
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
pub(crate) fn open_trusted(path: &Path) -> Result<(File, u64), AttachError> {
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
    let expected = sys::effective_uid();
    let trusted_owner = [expected, 0].contains(&facts.uid()) || expected == 0;
    if !facts.is_file() || !trusted_owner || facts.mode() & 0o022 != 0 {
        let (owner, mode) = (facts.uid(), facts.mode());
        return Err(AttachError::Foreign {
            path: path.into(),
            owner,
            mode,
            expected,
        });
    }
    if facts.len() < PAGE_SIZE as u64 {
        return Err(AttachError::NotReady {
            path: path.into(),
            len: facts.len(),
        });
    }
    Ok((file, facts.len()))
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
