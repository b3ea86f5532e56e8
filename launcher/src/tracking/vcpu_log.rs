//! One vCPU's dirty ring, as far as it may be harvested.
//!
//! Without Page Modification Logging, KVM logs a page when the store to it faults, before the store
//! happens. If the page were re-armed in between, the same store would fault and be logged again. So
//! while a vCPU may be in the middle of an instruction, its newest entries are held back until
//! newer ones follow, its instruction has ended in a system call, or the vCPU has entered and left the
//! guest several times since they were first seen: which is why somebody looks before the epoch ends. Time is no evidence: a machine that is itself a VM may not have run for
//! all of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::host::clock;
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
    /// Entries up to here were there when the vCPU had left the guest `noted_exits` times.
    noted_until: u32,
    noted_exits: u64,
    /// Stores of entries up to here have happened: the vCPU was in a system call after them.
    happened_until: u32,
    /// Exits of the vCPU, and calls for which there was none, when [`VcpuLog::is_idle`] last looked.
    exits: u64,
    /// Entries taken in the present epoch.
    stored: u64,
    /// What it owes for the pages armed at the beginning of the epoch.
    debt: Debt,
}

/// Processor time that a vCPU's thread is to have before pages are armed again.
#[derive(Debug, Clone, Copy, Default)]
struct Debt {
    thread: i32,
    /// What the thread had had when the pages were armed.
    since_ns: u64,
    due_ns: u64,
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
            noted_until: 0,
            noted_exits: 0,
            happened_until: 0,
            exits: 0,
            stored: 0,
            debt: Debt::default(),
        }
    }

    /// Whether the vCPU has been out of the guest all the time since this was last asked.
    pub(super) fn is_idle(&mut self) -> bool {
        let exits = self.stats.exits.get() + self.stats.in_page.get();
        let before = std::mem::replace(&mut self.exits, exits);
        before == exits && !self.stats.in_guest.load(Ordering::Acquire)
    }

    /// Entries taken since this was last asked.
    pub(super) fn take_stored(&mut self) -> u64 {
        std::mem::take(&mut self.stored)
    }

    /// Notes that pages were armed, after which the vCPU's thread is to have `due_ns` of processor time. Time
    /// that passes while it waits for a processor pays for no faults.
    pub(super) fn owe(&mut self, due_ns: u64) {
        let thread = self.stats.thread.load(Ordering::Relaxed);
        self.debt = Debt {
            thread,
            since_ns: clock::thread_ns(thread).unwrap_or(0),
            due_ns,
        };
    }

    /// Processor time since pages were armed. None where the thread that used the vCPU does so no more.
    pub(super) fn ran_ns(&self) -> Option<u64> {
        let thread = self.stats.thread.load(Ordering::Relaxed);
        if thread == 0 || thread != self.debt.thread {
            return None;
        }
        Some(clock::thread_ns(thread)?.saturating_sub(self.debt.since_ns))
    }

    /// What is left of the debt.
    pub(super) fn unpaid_ns(&self) -> u64 {
        let ran_ns = self.ran_ns().unwrap_or(u64::MAX);
        self.debt.due_ns.saturating_sub(ran_ns)
    }

    /// What [`VcpuLog::owe`] was told.
    pub(super) fn due_ns(&self) -> u64 {
        self.debt.due_ns
    }

    /// Whether there are entries.
    pub(super) fn has_entries(&self) -> bool {
        self.ring.as_ref().is_some_and(DirtyRing::is_waiting)
    }

    /// Whether entries are held back that some more exits of the vCPU would release.
    pub(super) fn is_holding(&self) -> bool {
        let Some(ring) = &self.ring else {
            return false;
        };
        let noted = self.noted_until.wrapping_sub(ring.position());
        let waits = (1..=HELD_BACK).contains(&noted) && self.stats.in_guest.load(Ordering::Acquire);
        // Where KVM does not count exits, there is nothing to wait for.
        waits && self.noted_exits > 0 && ring.exits() < self.noted_exits + PROGRESS_EXITS
    }

    /// Looks which entries there are, so that the newest can be taken later, once the vCPU has gone on.
    pub(super) fn note(&mut self) {
        let Some(ring) = &self.ring else { return };
        let new = ring.waiting_from(self.noted_until);
        if new > 0 {
            self.noted_until = self.noted_until.wrapping_add(new);
            self.noted_exits = ring.exits();
        }
    }

    /// Looks which entries there are, on the vCPU's own thread and in a system call: all of them may be taken, whatever
    /// it does later.
    pub(super) fn note_happened(&mut self) {
        self.note();
        self.happened_until = self.noted_until;
    }

    /// Calls `f` with every page that may be taken, in order.
    pub(super) fn harvest(&mut self, take: Take, mut f: impl FnMut(DirtyPage)) {
        let Some(ring) = &mut self.ring else { return };
        let stored = &mut self.stored;
        let mut f = |page| {
            *stored += 1;
            f(page);
        };
        // Counted first: what comes while this is under way may be of a call that was answered meanwhile.
        let there = ring.waiting_from(ring.position());
        // Pairs with `VcpuStats::set_in_guest`.
        if take == Take::All || !self.stats.in_guest.load(Ordering::Acquire) {
            for page in (0..there).map_while(|_| ring.pop(0)) {
                f(page);
            }
            self.noted_until = ring.position();
            return;
        }
        while self.happened_until.wrapping_sub(ring.position()) as i32 > 0
            && let Some(page) = ring.pop(0)
        {
            f(page);
        }
        if self.happened_until.wrapping_sub(ring.position()) as i32 <= 0 {
            // All of those are taken, and numbers come again some day.
            self.happened_until = ring.position();
        }
        while let Some(page) = ring.pop(HELD_BACK) {
            f(page);
        }
        let noted = self.noted_until.wrapping_sub(ring.position());
        if (1..=HELD_BACK).contains(&noted) && ring.exits() >= self.noted_exits + PROGRESS_EXITS {
            for page in (0..noted).map_while(|_| ring.pop(0)) {
                f(page);
            }
        } else if noted > HELD_BACK {
            // None of those that are left was there yet.
            self.noted_until = ring.position();
        }
        self.note();
    }
}
