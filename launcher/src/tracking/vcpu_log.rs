//! One vCPU's dirty ring, as far as it may be harvested.
//!
//! Without Page Modification Logging, KVM logs a page when the store to it faults, before the store
//! happens. If the page were re-armed in between, the same store would fault and be logged again. So
//! while a vCPU may be in the middle of an instruction, its newest entries are held back until
//! newer ones follow, its instruction has ended in a system call, or its thread has used processor
//! time in the guest since.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::host::clock;
use crate::kvm::dirty_ring::{DirtyPage, DirtyRing};
use crate::process::state::VcpuStats;

/// Pages that one instruction can fault on for writing before it is done: a store across a page
/// boundary.
const HELD_BACK: u32 = 2;

/// Processor time after which an instruction is done, with every fault that it may take: so many exits
/// to user space, each of which takes longer than a fault, and a millisecond at least.
const PROGRESS_EXITS: u64 = 64;
const PROGRESS_LEAST_NS: u64 = 1_000_000;

/// A ring and what is known of its vCPU.
pub(super) struct VcpuLog {
    /// The vCPU's number.
    pub id: u32,
    /// Its counters.
    pub stats: Arc<VcpuStats>,
    ring: Option<DirtyRing>,
    /// Entries up to here were held back when the thread, in its KVM_RUN number `held_entry`, had used
    /// `held_ns`.
    held_until: u32,
    held_entry: Option<u64>,
    held_ns: u64,
    progress_ns: u64,
    /// Exits of the vCPU when [`VcpuLog::is_idle`] last looked.
    exits: u64,
}

/// Which entries may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// Those whose stores have happened.
    Happened,
    /// All: the vCPU will not run again.
    All,
}

impl VcpuLog {
    /// The log of a vCPU that has not run yet, of a KVM whose exits take `exit_ns`. Without a ring
    /// nothing is ever logged.
    pub(super) fn new(
        id: u32,
        ring: Option<DirtyRing>,
        stats: Arc<VcpuStats>,
        exit_ns: u64,
    ) -> Self {
        Self {
            id,
            stats,
            ring,
            held_until: 0,
            held_entry: None,
            held_ns: 0,
            progress_ns: PROGRESS_LEAST_NS.max(PROGRESS_EXITS.saturating_mul(exit_ns)),
            exits: 0,
        }
    }

    /// Whether the vCPU has been out of the guest since this was last asked.
    pub(super) fn is_idle(&mut self) -> bool {
        let exits = self.stats.exits.get();
        let before = std::mem::replace(&mut self.exits, exits);
        before == exits && !self.stats.in_guest.load(Ordering::Acquire)
    }

    /// Calls `f` with every page that may be taken, in order.
    pub(super) fn harvest(&mut self, take: Take, mut f: impl FnMut(DirtyPage)) {
        let Some(ring) = &mut self.ring else { return };
        // Pairs with `VcpuStats::set_in_guest`.
        if take == Take::All || !self.stats.in_guest.load(Ordering::Acquire) {
            while let Some(page) = ring.pop(0) {
                f(page);
            }
            self.held_until = ring.position();
            return;
        }
        let held = self.held_until.wrapping_sub(ring.position());
        let now_ns = thread_time(&self.stats);
        // Looked at after the time: it was all used inside this very KVM_RUN, not for draining a ring.
        let entry = current_entry(&self.stats);
        if (1..=HELD_BACK).contains(&held)
            && entry.is_some()
            && entry == self.held_entry
            && now_ns > self.held_ns + self.progress_ns
        {
            for page in (0..held).map_while(|_| ring.pop(0)) {
                f(page);
            }
        }
        while let Some(page) = ring.pop(HELD_BACK) {
            f(page);
        }
        let until = ring.position().wrapping_add(ring.waiting(HELD_BACK));
        if until != self.held_until || entry != self.held_entry {
            self.held_until = until;
            self.held_entry = entry;
            // Not `now_ns`, which may lie before this KVM_RUN began.
            self.held_ns = thread_time(&self.stats);
        }
    }
}

/// The number of the KVM_RUN that the vCPU is in, if it is.
fn current_entry(stats: &VcpuStats) -> Option<u64> {
    let (exits, entries) = (stats.exits.get(), stats.entries.get());
    (entries != exits).then_some(entries)
}

/// Processor time of the vCPU's thread, in nanoseconds; the caller's if it has none.
fn thread_time(stats: &VcpuStats) -> u64 {
    clock::thread_ns(stats.thread.load(Ordering::Relaxed))
}
