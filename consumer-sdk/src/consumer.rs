//! The reading side of a segment: attach, check, follow.

use crate::heat::{self, Heat, HugePage};
use crate::layout::{BadField, Layout};
use crate::mappings::{self, Mappings};
use crate::memory::{ReaderMemory, path_of};
use crate::ring::{Found, RingReader};
use crate::segment_name;
use crate::sync::{AtomicU64, Ordering, load_acquire};
use crate::sys;
use crate::wire::{
    COMMAND_BYTES, Epoch, Event, Header, MAGIC, MAJOR, NOT_READY, PAGE_SIZE, WORD, field,
};
use crate::words::{Counter, End, Kind, ProcessId, Track};
use crate::writer::{epoch_memory, heat_memory, map_memory, ring_memory};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
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

/// What [`Consumer::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Event(Event),
    /// Exactly so many records will never be delivered to this consumer: they were overwritten before
    /// it came to them, had no memory to be written to, or are of a kind it does not know.
    Lost(u64),
}

/// What has become of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Running,
    /// It ended, and everything it did was published.
    Ended(End),
    /// It is gone without having said so, as after SIGKILL. The last epoch may be missing.
    Died,
}

/// A segment's facts and counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The process.
    pub pid: u32,
    /// The wrapped process that forked it, if one did.
    pub parent: Option<ProcessId>,
    /// The user it was started by.
    pub uid: u32,
    /// Its arguments, NUL-separated, at most 256 bytes.
    pub command: Vec<u8>,
    /// Time since it was started.
    pub age: Duration,
    /// When it was started, `CLOCK_MONOTONIC` nanoseconds; the times of records are on that clock.
    pub start_ns: u64,
    /// When it was started, since 1970.
    pub started: Duration,
    /// Length of an epoch.
    pub interval: Duration,
    /// Per cent of the program's time that tracking may take; epochs go on until it does not take more.
    pub max_overhead: u32,
    /// Entries of each vCPU's dirty ring.
    pub buffer: u32,
    /// Which accesses are watched; `None` for a value that this version does not know.
    pub track: Option<Track>,
    /// Current epoch.
    pub epoch: u32,
    /// Start of an epoch not older than that, `CLOCK_MONOTONIC` nanoseconds.
    pub epoch_ns: u64,
    /// Events of each kind, in the order of [`Kind::ALL`].
    pub totals: [u64; 3],
    /// Distinct pages with at least one event, of those that the heat table has room for.
    pub pages: u64,
    /// Records published, the lost and dropped ones included.
    pub published: u64,
    /// Records for which the ring had no memory.
    pub ring_dropped: u64,
    /// Events missing from the heat table, but not from `totals`.
    pub heat_dropped: u64,
    /// How often the name of a mapping did not fit.
    pub names_dropped: u64,
    counters: [u64; crate::wire::COUNTERS],
}

impl Info {
    /// Events of all kinds.
    pub fn events(&self) -> u64 {
        self.totals
            .iter()
            .fold(0, |sum, &total| sum.wrapping_add(total))
    }

    /// Events of one kind.
    pub fn total(&self, kind: Kind) -> u64 {
        self.totals[kind as usize]
    }

    /// One of the launcher's own counters.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// The command line for people: arguments separated by spaces, unprintable bytes replaced.
    pub fn command_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.command);
        let shown = |c: char| match c {
            '\0' => ' ',
            c if c.is_control() => '?',
            c => c,
        };
        text.trim_end_matches('\0').chars().map(shown).collect()
    }
}

/// One reader of one segment, with a cursor of its own.
///
/// It never slows, blocks or disturbs the process it watches, and goes on working after the process has
/// ended and the segment's name is gone.
#[derive(Debug)]
pub struct Consumer {
    memory: ReaderMemory,
    layout: Layout,
    /// As it was at attach; only the part that never changes is used.
    header: Header,
    ring: RingReader,
    epochs: RingReader,
    path: PathBuf,
}

impl Consumer {
    /// Attaches to the segment of a process, beginning with the oldest record still there.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn attach(pid: u32) -> Result<Self, AttachError> {
        Self::open(&path_of(&segment_name(pid)))
    }

    /// Attaches to a segment by its file.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn open(path: &Path) -> Result<Self, AttachError> {
        let (file, len) = open_trusted(path)?;
        let map = |bytes| {
            ReaderMemory::map(&file, bytes).map_err(|source| AttachError::Open {
                path: path.into(),
                source,
            })
        };
        // The header alone first: it decides whether the rest is what it seems.
        let header = check_header(map(PAGE_SIZE)?.words(), path)?;
        let layout = Layout::from_header(&header, len).map_err(|BadField { field, value }| {
            AttachError::Layout {
                path: path.into(),
                field,
                value,
            }
        })?;
        let memory = map(layout.len)?;
        let ring = RingReader::oldest(ring_memory(memory.words(), &layout));
        let epochs = RingReader::oldest(epoch_memory(memory.words(), &layout));
        Ok(Self {
            memory,
            layout,
            header,
            ring,
            epochs,
            path: path.into(),
        })
    }

    /// The process's pid.
    pub fn pid(&self) -> u32 {
        self.header.pid
    }

    /// The segment's file, which may have been removed since.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the cursors behind the newest record and the newest epoch: only what comes from now on will
    /// be delivered.
    pub fn skip_to_now(&mut self) {
        let words = self.memory.words();
        self.ring = RingReader::newest(ring_memory(words, &self.layout));
        self.epochs = RingReader::newest(epoch_memory(words, &self.layout));
    }

    /// Moves the cursors back to the oldest record and the oldest epoch that are still there.
    pub fn rewind(&mut self) {
        let words = self.memory.words();
        self.ring = RingReader::oldest(ring_memory(words, &self.layout));
        self.epochs = RingReader::oldest(epoch_memory(words, &self.layout));
    }

    /// Position of the record that comes next: grows by one for each delivered or lost one.
    pub fn position(&self) -> u64 {
        self.ring.position()
    }

    /// The next record, or how many were lost; `None` when there is nothing new yet.
    #[expect(
        clippy::should_implement_trait,
        reason = "None means not yet, and an iterator would end"
    )]
    pub fn next(&mut self) -> Option<Item> {
        let ring = ring_memory(self.memory.words(), &self.layout);
        let is_known = |words: &_| Event::from_words(*words).is_some();
        match self.ring.next(ring, is_known)? {
            Found::Record(words) => Event::from_words(words).map(Item::Event),
            Found::Lost(records) => Some(Item::Lost(records)),
        }
    }

    /// The finished epochs that are still in their ring, oldest first: the last 4,096, where the launcher
    /// chose the size. Gaps in their numbers are epochs that found no memory.
    pub fn epochs(&self) -> Vec<Epoch> {
        let ring = epoch_memory(self.memory.words(), &self.layout);
        let mut reader = RingReader::oldest(ring);
        let mut epochs = Vec::new();
        while let Some(found) = reader.next(ring, |_| true) {
            if let Found::Record(words) = found {
                epochs.push(Epoch::from_words(words));
            }
        }
        epochs
    }

    /// The next finished epoch; `None` when no other has ended yet. All its records were published before, so
    /// who then reads on with [`Self::next`] will not meet a record of it that was not there already.
    ///
    /// Epochs that this consumer comes too late for, and those that found no memory, are gaps in the
    /// numbers.
    pub fn next_epoch(&mut self) -> Option<Epoch> {
        let ring = epoch_memory(self.memory.words(), &self.layout);
        loop {
            if let Found::Record(words) = self.epochs.next(ring, |_| true)? {
                return Some(Epoch::from_words(words));
            }
        }
    }

    /// How the regions of 2 MiB that were touched since the process started are used, by address: what
    /// huge pages there would hold.
    pub fn huge_pages(&self) -> Vec<HugePage> {
        heat::huge_pages(heat_memory(self.memory.words(), &self.layout))
    }

    /// Every page's total since the process started, in no particular order.
    pub fn heat(&self) -> impl Iterator<Item = Heat> + '_ {
        heat::cells(heat_memory(self.memory.words(), &self.layout))
    }

    /// The `n` pages with the most events since the process started, hottest first.
    pub fn hottest(&self, n: usize) -> Vec<Heat> {
        let mut cells: Vec<Heat> = self.heat().collect();
        cells.sort_unstable_by_key(|cell| (core::cmp::Reverse(cell.count), cell.addr, cell.kind));
        cells.truncate(n);
        cells
    }

    /// The process's mappings, ordered by address. `None` in the rare case that they changed during
    /// each of many attempts to copy them: use an earlier copy, or ask again.
    pub fn mappings(&self) -> Option<Mappings> {
        mappings::read(map_memory(self.memory.words(), &self.layout))
    }

    /// Changes when [`Self::mappings`] does.
    pub fn mappings_version(&self) -> u64 {
        self.load(field!(maps_version))
    }

    /// Whether the process runs. Records may still be waiting after it has ended.
    pub fn status(&self) -> Status {
        if let Some(end) = self.end() {
            return Status::Ended(end);
        }
        if sys::is_alive(self.header.pid, self.header.writer_start) {
            return Status::Running;
        }
        // It may have ended properly between the two looks.
        self.end().map_or(Status::Died, Status::Ended)
    }

    fn end(&self) -> Option<End> {
        // Pairs with the store in `SegmentWriter::finish`.
        End::from_word(load_acquire(&self.memory.words()[field!(end)]))
    }

    /// The segment's facts and counts as they are now.
    pub fn info(&self) -> Info {
        // Pairs with the store in `SegmentWriter::begin_epoch`.
        let epoch = load_acquire(&self.memory.words()[field!(epoch)]) as u32;
        let now = load_header(self.memory.words()).unwrap_or_else(|| self.header.clone());
        let fixed = &self.header;
        let command_len = (fixed.command_len as usize).min(COMMAND_BYTES);
        let age_ns = sys::monotonic_ns().saturating_sub(fixed.start_monotonic_ns);
        Info {
            pid: fixed.pid,
            parent: fixed.parent(),
            uid: fixed.uid,
            command: fixed.command[..command_len].to_vec(),
            age: Duration::from_nanos(age_ns),
            start_ns: fixed.start_monotonic_ns,
            started: Duration::from_nanos(fixed.start_realtime_ns),
            interval: Duration::from_nanos(fixed.interval_ns),
            max_overhead: fixed.max_overhead,
            buffer: fixed.buffer,
            track: Track::from_bits(fixed.track),
            epoch,
            epoch_ns: now.epoch_ns,
            totals: now.totals,
            pages: now.pages,
            published: now.ring_head,
            ring_dropped: now.ring_dropped,
            heat_dropped: now.heat_dropped,
            names_dropped: now.names_dropped,
            counters: now.counters,
        }
    }

    fn load(&self, index: usize) -> u64 {
        self.memory.words()[index].load(Ordering::Relaxed)
    }
}

/// Opens a segment's file for reading, and makes sure that only its owner can have written it.
fn open_trusted(path: &Path) -> Result<(File, u64), AttachError> {
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
fn check_header(words: &[AtomicU64], path: &Path) -> Result<Header, AttachError> {
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

fn load_header(words: &[AtomicU64]) -> Option<Header> {
    let words = words.get(..size_of::<Header>() / WORD)?;
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes())
        .collect();
    Header::read_from_bytes(&bytes).ok()
}
