//! One vCPU's dirty ring: mapped, drained and handed back to the kernel.
//!
//! kvm-ioctls knows the capability only. The protocol is that of the kernel's
//! `Documentation/virt/kvm/api.rst`, section 8.29: an entry goes from empty (flags 0) to dirty
//! (bit 0, set by the kernel) to harvested (bit 1, set here) and, at KVM_RESET_DIRTY_RINGS, back to
//! empty; that call also re-arms the page.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use kvm_bindings::{KVM_DIRTY_LOG_PAGE_OFFSET, kvm_dirty_gfn};
use memmap2::{Advice, MmapOptions, MmapRaw};

use super::stats::Counter;

const DIRTY: u32 = 1;
const HARVESTED: u32 = 2;

/// Bytes of one ring entry.
pub(crate) const ENTRY_BYTES: u32 = size_of::<kvm_dirty_gfn>() as u32;

/// A page that the guest wrote: `offset` pages into memory slot `slot`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DirtyPage {
    /// Memory slot number (the address-space id in the upper half is always 0 on this kind of VM).
    pub slot: u32,
    /// Page number within the slot.
    pub offset: u64,
}

/// The mapped ring of one vCPU. Drained by one thread at a time: the tracker's lock sees to that.
pub(crate) struct DirtyRing {
    map: MmapRaw,
    entries: u32,
    next: u32,
    exits: Option<Counter>,
}

impl DirtyRing {
    /// Maps the ring of `entries` entries behind a vCPU's descriptor.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub(crate) fn map(vcpu: BorrowedFd<'_>, entries: u32) -> io::Result<Self> {
        let map = MmapOptions::new()
            .offset(u64::from(KVM_DIRTY_LOG_PAGE_OFFSET) * 4096)
            .len((entries * ENTRY_BYTES) as usize)
            .map_raw(&vcpu)?;
        // A forked child has a VM of its own; this would only keep its parent's alive.
        map.advise(Advice::DontFork)?;
        Ok(Self {
            map,
            entries,
            next: 0,
            exits: Counter::open(&vcpu, "exits").ok(),
        })
    }

    /// How often the vCPU has left the guest so far, for whatever reason, by KVM's own count; always 0
    /// where KVM does not count.
    pub(crate) fn exits(&self) -> u64 {
        let count = self.exits.as_ref().map(Counter::read);
        count.and_then(Result::ok).unwrap_or(0)
    }

    /// Number of the next entry, counted from the first ever, modulo 2^32.
    pub(crate) fn position(&self) -> u32 {
        self.next
    }

    /// The next dirty page, if there is one with at least `behind` more after it; it counts as
    /// harvested from here on.
    pub(crate) fn pop(&mut self, behind: u32) -> Option<DirtyPage> {
        if !self.is_dirty(self.next.wrapping_add(behind)) || !self.is_dirty(self.next) {
            return None;
        }
        let entry = self.entry(self.next);
        // SAFETY: the entry lies in the mapping (see `entry`); between DIRTY, which was seen with
        // Acquire, and HARVESTED the kernel leaves its fields alone.
        let page = unsafe {
            DirtyPage {
                slot: (*entry).slot & 0xffff,
                offset: (*entry).offset,
            }
        };
        // Pairs with the kernel's smp_load_acquire in kvm_dirty_gfn_harvested.
        self.flags(self.next).store(HARVESTED, Ordering::Release);
        self.next = self.next.wrapping_add(1);
        Some(page)
    }

    /// Pops all that wait; how many they were.
    pub(crate) fn take_all(&mut self) -> u32 {
        std::iter::from_fn(|| self.pop(0)).count() as u32
    }

    /// Whether an entry waits to be popped.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_dirty(self.next)
    }

    /// How many entries wait from `position` on, which is not behind the newest.
    pub(crate) fn waiting_from(&self, position: u32) -> u32 {
        (0..self.entries)
            .take_while(|&i| self.is_dirty(position.wrapping_add(i)))
            .count() as u32
    }

    fn is_dirty(&self, position: u32) -> bool {
        // Pairs with the kernel's smp_store_release in kvm_dirty_gfn_set_dirtied.
        self.flags(position).load(Ordering::Acquire) & (DIRTY | HARVESTED) == DIRTY
    }

    fn flags(&self, position: u32) -> &AtomicU32 {
        // SAFETY: the entry lies in the mapping (see `entry`), which lives as long as `self`; the
        // kernel writes `flags` concurrently, so it is only ever seen as an atomic.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.entry(position)).flags) }
    }

    /// The entry at `position`, always within the mapping's `entries`.
    fn entry(&self, position: u32) -> *mut kvm_dirty_gfn {
        let index = (position % self.entries) as usize;
        self.map
            .as_mut_ptr()
            .cast::<kvm_dirty_gfn>()
            .wrapping_add(index)
    }
}
