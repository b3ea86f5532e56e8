//! Makes a segment's file, and takes away what dead processes have left.

use crate::consumer::{Consumer, Status};
use crate::create::CreateError;
use crate::memory::{FileSizeLimit, WriterMemory, path_of};
use shared_memory::ShmemError;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::{fs, io};

/// Creates the file, replacing one that nobody writes any more.
pub(crate) fn create_memory(
    name: &str,
    bytes: usize,
    directory: Option<BorrowedFd<'static>>,
) -> Result<WriterMemory, CreateError> {
    let _limit = FileSizeLimit::allow(bytes).map_err(|limit| CreateError::FileSizeLimit {
        limit,
        needed: bytes,
    })?;
    let mut created = WriterMemory::create(name, bytes, directory);
    if matches!(created, Err(ShmemError::MappingIdExists)) {
        remove_stale(path_of(name))?;
        created = WriterMemory::create(name, bytes, directory);
    }
    created.map_err(|source| CreateError::Create {
        path: path_of(name),
        source,
    })
}

/// Removes a segment whose writer is gone, or is this very process before it executed a new program.
fn remove_stale(path: PathBuf) -> Result<(), CreateError> {
    // Unreadable, half-written or ended: in the way all the same.
    if let Ok(old) = Consumer::open(&path)
        && old.status() == Status::Running
        && old.pid() != std::process::id()
    {
        return Err(CreateError::InUse {
            path,
            pid: old.pid(),
        });
    }
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CreateError::Stale { path, source })
        }
        _ => Ok(()),
    }
}
