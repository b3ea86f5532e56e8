//! The atomics that the shared structures are written over: the processor's own, or loom's.
//!
//! Readers only ever make relaxed loads followed by an acquire fence. Their mapping is read-only, and
//! relaxed loads are the only atomic operations that Rust guarantees to work on read-only memory.

#[cfg(not(all(test, loom)))]
pub(crate) use core::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(all(test, loom))]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};

/// Loads `word` so that everything stored before its release store is visible afterwards.
///
/// Works on a read-only mapping, unlike a load with `Ordering::Acquire`.
#[inline]
pub(crate) fn load_acquire(word: &AtomicU64) -> u64 {
    let value = word.load(Ordering::Relaxed);
    // Pairs with the release store of the same word; each caller names it.
    fence(Ordering::Acquire);
    value
}
