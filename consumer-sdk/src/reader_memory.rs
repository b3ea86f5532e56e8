//! The shared memory itself, seen as 64-bit atomic words: a reader's mapping.
//!
//! Nothing here makes a reference to plain data in shared memory; other processes may change it at any
//! time, and atomics are the only type for which Rust allows that.

use crate::sigbus::{Unwatched, Watch};
use crate::sync::AtomicU64;
use crate::wire::WORD;
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;

/// A reader's mapping: read-only, so that no reader can disturb the writer, and watched, so that the writer cannot
/// end a reader.
#[derive(Debug)]
pub(crate) struct ReaderMemory {
    // Dropped first: what is unmapped is not watched any more.
    watch: Watch,
    map: Mmap,
}

/// Why a segment's file cannot be mapped.
#[derive(Debug)]
pub(crate) enum Unmapped {
    /// What mmap(2) reports.
    Map(io::Error),
    /// It could not be read safely.
    Unwatched(Unwatched),
}

impl ReaderMemory {
    /// Maps the first `bytes` of a segment's file, which must be that long.
    ///
    /// # Errors
    /// See [`Unmapped`].
    pub(crate) fn map(file: &File, bytes: usize) -> Result<Self, Unmapped> {
        // SAFETY: the bytes change under the mapping; they are reached through `words` alone, as
        // atomics, never as plain data. Should the file become shorter, `watch` has zeroes there.
        let map = unsafe { MmapOptions::new().len(bytes).map(file) }.map_err(Unmapped::Map)?;
        let watch = Watch::new(map.as_ptr(), map.len()).map_err(Unmapped::Unwatched)?;
        Ok(Self { watch, map })
    }

    /// All words of the segment. Where the file has become shorter they are zero.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, readable, `len` bytes long and lives as long as `self`.
        // Every bit pattern is a valid AtomicU64, and readers make relaxed loads only, which work on
        // read-only memory (core::sync::atomic, "Atomic accesses to read-only memory").
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.map.len() / WORD) }
    }

    /// Whether words were missing when they were read: somebody has cut the file short, or /dev/shm was full
    /// and they had never been written. What was read since may be zeroes.
    pub(crate) fn is_damaged(&self) -> bool {
        self.watch.is_damaged()
    }
}
