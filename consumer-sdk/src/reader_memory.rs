//! The shared memory itself, seen as 64-bit atomic words: a reader's mapping.
//!
//! Nothing here makes a reference to plain data in shared memory; other processes may change it at any
//! time, and atomics are the only type for which Rust allows that.

use crate::sync::AtomicU64;
use crate::wire::WORD;
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;

/// A reader's mapping: read-only, so that no reader can disturb the writer.
#[derive(Debug)]
pub(crate) struct ReaderMemory(Mmap);

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
        unsafe { MmapOptions::new().len(bytes).map(file) }.map(Self)
    }

    /// All words of the segment.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, readable, `len` bytes long and lives as long as `self`.
        // Every bit pattern is a valid AtomicU64, and readers make relaxed loads only, which work on
        // read-only memory (core::sync::atomic, "Atomic accesses to read-only memory").
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() / WORD) }
    }
}
