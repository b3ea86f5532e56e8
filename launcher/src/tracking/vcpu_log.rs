//! One vCPU's dirty ring, as far as it may be harvested.
//!
//! Without Page Modification Logging, KVM logs a page when the store to it faults, before the store
//! happens. If the page were re-armed in between, the same store would fault and be logged again. So
//! while a vCPU may be in the middle of an instruction, its newest entries are held back until
//! newer ones follow, its instruction has ended in a system call, or the vCPU has entered and left the
//! guest several times since. Time is no evidence: a machine that is itself a VM may not have run for
//! all of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::kvm::dirty_ring::{DirtyPage, DirtyRing};
use crate::process::state::VcpuStats;

/// Pages that one instruction can fault on for writing before it is done: a store across a page
/// boundary.
const HELD_BACK: u32 = 2;

/// Exits after which an instruction is done. Each follows an entry; one of them may have come before
/// the processor got to execute anything, as an interrupt waited, but not one after the other.
const PROGRESS_EXITS: u64 = 3;

/// A ring and what is known of its vCPU.
pub(super) struct VcpuLog {
    /// The vCPU's number.
    pub id: u32,
    /// Its counters.
    pub stats: Arc<VcpuStats>,
    ring: Option<DirtyRing>,
    /// Entries up to here were held back when the vCPU had left the guest `held_exits` times.
    held_until: u32,
    held_exits: u64,
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
    /// The log of a vCPU that has not run yet. Without a ring nothing is ever logged.
    pub(super) fn new(id: u32, ring: Option<DirtyRing>, stats: Arc<VcpuStats>) -> Self {
        Self {
            id,
            stats,
            ring,
            held_until: 0,
            held_exits: 0,
            exits: 0,
        }
    }

    /// Whether the vCPU has been out of the guest since this was last asked.
    pub(super) fn is_idle(&mut self) -> bool {
        let exits = self.stats.exits.get();
        let before = std::mem::replace(&mut self.exits, exits);
        before == exits && !self.stats.in_guest.load(Ordering::Acquire)
    }

    /// Whether there are entries.
    pub(super) fn has_entries(&self) -> bool {
        self.ring.as_ref().is_some_and(|ring| ring.waiting(1) > 0)
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
        if (1..=HELD_BACK).contains(&held) && ring.exits() >= self.held_exits + PROGRESS_EXITS {
            for page in (0..held).map_while(|_| ring.pop(0)) {
                f(page);
            }
        }
        while let Some(page) = ring.pop(HELD_BACK) {
            f(page);
        }
        let until = ring.position().wrapping_add(ring.waiting(HELD_BACK));
        if until != self.held_until {
            self.held_until = until;
            self.held_exits = ring.exits();
        }
    }
}
