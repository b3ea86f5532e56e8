//! Makes a segment's file, and takes away what dead processes have left.
//!
//! Two things tell that a segment's writer lives. Its mapping holds a shared lock of the file (flock(2)), which
//! the kernel takes back with the mapping, however the process ends, and which holds whatever namespaces of
//! processes there are. And `/proc` has its process. A segment is dead where both say so.
//!
//! Whoever takes a dead segment's name away holds the exclusive lock of that very file while they look that
//! the name still leads to it, that the writer is dead, and remove the name: those who prune as well as the
//! writer that finds it in its way. So between the look and the removal nobody else can have put a new segment
//! there. Only names are removed: readers keep what they have mapped.

use crate::create::{CreateError, SegmentConfig};
use crate::list::{pids, segment_name};
use crate::memory::{FileSizeLimit, WriterMemory};
use crate::place::{Identity, Place, path_of};
use crate::sys;
use crate::wire::{Header, MAGIC, MAJOR, NOT_READY};
use core::mem::offset_of;
use shared_memory::ShmemError;
use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, fchown};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};
use std::{io, thread};

/// How long a new writer waits for others who look at the dead segment in its way.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// No writer takes longer to fill the header in, unless it was killed meanwhile.
const UNFINISHED: Duration = Duration::from_secs(5);

/// Creates the file, replacing one that nobody writes any more, and lets those read it who are to.
pub(crate) fn create_memory(
    name: &str,
    bytes: usize,
    config: &SegmentConfig,
) -> Result<WriterMemory, CreateError> {
    if config.unread {
        return WriterMemory::unread(bytes).map_err(|source| CreateError::Create {
            path: path_of(name),
            source,
        });
    }
    let _limit = FileSizeLimit::allow(bytes).map_err(|limit| CreateError::FileSizeLimit {
        limit,
        needed: bytes,
    })?;
    let place = Place::new(name, config.directory);
    let mut created = WriterMemory::create(place.clone(), bytes);
    if matches!(created, Err(ShmemError::MappingIdExists)) {
        make_way(&place, config)?;
        created = WriterMemory::create(place.clone(), bytes);
    }
    let (memory, file) = created.map_err(|source| CreateError::Create {
        path: place.path(),
        source,
    })?;
    hold(&file);
    share(&file, config).map_err(|source| CreateError::Share {
        path: place.path(),
        mode: config.mode,
        group: config.group,
        source,
    })?;
    Ok(memory)
}

/// Takes the lock that says that the writer lives. Without it, `/proc` alone says so.
fn hold(file: &File) {
    let deadline = Instant::now() + PATIENCE;
    // Who looks at the file at this moment sees that it is new, and lets go of it.
    while let Err(TryLockError::WouldBlock) = file.try_lock_shared()
        && Instant::now() < deadline
    {
        thread::sleep(PAUSE);
    }
}

/// Lets others read the file, which its owner alone can until the last step.
fn share(file: &File, config: &SegmentConfig) -> io::Result<()> {
    if config.group.is_some() {
        fchown(file, None, config.group)?;
    }
    // Whatever the umask took away or left.
    file.set_permissions(Permissions::from_mode(config.mode))
}

/// Who wrote a file, as far as it says.
enum Writer {
    /// This process, which started then (zero: unknown).
    Process(u32, u64),
    /// One that has not got far enough to say, or another version, which says it elsewhere.
    Unknown,
    /// The file is no segment.
    None,
}

impl Writer {
    /// Whether it is the process that a new segment is for: an image of it that was replaced, or a vmmload that
    /// runs this one.
    fn is_of(&self, config: &SegmentConfig) -> bool {
        matches!(self, Self::Process(pid, start) if *pid == config.pid && config.start == Some(*start))
    }

    fn of(file: &File) -> Self {
        const START: usize = offset_of!(Header, writer_start);
        let mut begin = [0u8; START + 8];
        let number = |begin: &[u8], at: usize| {
            let bytes = begin[at..].first_chunk();
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        if file.read_exact_at(&mut begin, 0).is_err() {
            return Self::Unknown;
        }
        let version = number(&begin, offset_of!(Header, version));
        match number(&begin, offset_of!(Header, magic)) {
            // A header that is not ready has this for a moment, and so has a file of zeroes.
            0 if version == NOT_READY => Self::Unknown,
            MAGIC if version >> 32 != u64::from(MAJOR) => Self::Unknown,
            MAGIC => Self::Process(
                number(&begin, offset_of!(Header, pid)) as u32,
                number(&begin, START),
            ),
            _ => Self::None,
        }
    }
}

/// What became of an attempt to take a name away.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It is gone.
    Removed,
    /// It may be a living process's, or somebody else looks at it at this moment.
    Kept,
}

/// Takes the name away if the file is a segment of a process that is gone. `is_gone` judges by the writer, and
/// by how old the file is.
fn remove_if(
    place: &Place,
    file: &File,
    is_gone: impl FnOnce(Writer, Duration) -> bool,
) -> io::Result<Outcome> {
    match file.try_lock() {
        Ok(()) => remove_locked(place, file, is_gone),
        Err(TryLockError::WouldBlock) => Ok(Outcome::Kept),
        Err(TryLockError::Error(error)) => Err(error),
    }
    // The lock goes with the descriptor.
}

fn remove_locked(
    place: &Place,
    file: &File,
    is_gone: impl FnOnce(Writer, Duration) -> bool,
) -> io::Result<Outcome> {
    let facts = file.metadata()?;
    let changed = Duration::new(facts.ctime().max(0) as u64, facts.ctime_nsec() as u32);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let age = now.unwrap_or_default().saturating_sub(changed);
    let still_there = place.identity() == Some(Identity::from(&facts));
    if !still_there || !is_gone(Writer::of(file), age) {
        return Ok(Outcome::Kept);
    }
    place.remove().map(|()| Outcome::Removed)
}

/// Takes away what is in the way of a new segment, unless it belongs to a living process.
fn make_way(place: &Place, config: &SegmentConfig) -> Result<(), CreateError> {
    let deadline = Instant::now() + PATIENCE;
    let path = place.path();
    loop {
        let is_late = Instant::now() >= deadline;
        let removed = match place.open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A link, or nothing that this user may read.
            Err(_) => place.remove().map(|()| Outcome::Removed),
            Ok(file) if Writer::of(&file).is_of(config) => remove_own(place, &file, is_late),
            Ok(file) => remove_if(place, &file, |writer, age| match writer {
                Writer::Process(pid, start) => !sys::is_alive(pid, start),
                Writer::Unknown => is_late || age > UNFINISHED,
                Writer::None => true,
            }),
        };
        match removed {
            Ok(Outcome::Removed) => return Ok(()),
            Ok(Outcome::Kept) if is_late => {
                let pid = config.pid;
                return Err(CreateError::InUse { path, pid });
            }
            Ok(Outcome::Kept) => thread::sleep(PAUSE),
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(CreateError::Stale { path, source }),
        }
    }
}

/// Takes away the name of a segment of the process that the new one is for: of an earlier image, whose lock has
/// ended with it, or of a vmmload that runs this one and holds the shared lock. To share that is enough to keep
/// others from the name.
fn remove_own(place: &Place, file: &File, is_late: bool) -> io::Result<Outcome> {
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) if !is_late => Ok(Outcome::Kept),
        _ => remove_locked(place, file, |_, _| true),
    }
}

/// Removes the segments of this user whose process is gone without having said so, as after SIGKILL. Root
/// removes everybody's. Returns the paths of their files, by pid.
///
/// Readers that are attached keep what they have.
pub fn prune() -> Vec<PathBuf> {
    let user = sys::effective_uid();
    prune_of((user != 0).then_some(user))
}

/// As [`prune`], of this user's alone.
pub fn prune_own() -> Vec<PathBuf> {
    prune_of(Some(sys::effective_uid()))
}

fn prune_of(user: Option<u32>) -> Vec<PathBuf> {
    let removed = pids()
        .into_iter()
        .filter(|&pid| prune_one(pid, user))
        .map(|pid| path_of(&segment_name(pid)));
    removed.collect()
}

/// Removes the segment of one process if that is gone, and `user`'s if that is given.
pub(crate) fn prune_one(pid: u32, user: Option<u32>) -> bool {
    let place = Place::Path(path_of(&segment_name(pid)));
    let Ok(file) = place.open() else {
        return false;
    };
    let Ok(facts) = file.metadata() else {
        return false;
    };
    if !facts.is_file() || user.is_some_and(|user| facts.uid() != user) {
        return false;
    }
    let removed = remove_if(&place, &file, |writer, age| match writer {
        Writer::Process(pid, start) => !sys::is_alive(pid, start),
        Writer::Unknown => age > UNFINISHED && !sys::is_alive(pid, 0),
        Writer::None => false,
    });
    removed.is_ok_and(|removed| removed == Outcome::Removed)
}
