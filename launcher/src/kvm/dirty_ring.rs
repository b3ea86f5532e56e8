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
use memmap2::{MmapOptions, MmapRaw};

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
        Ok(Self { map, entries, next: 0 })
    }

    /// The next dirty page, if there is one; it counts as harvested from here on.
    pub(crate) fn pop(&mut self) -> Option<DirtyPage> {
        let index = (self.next % self.entries) as usize;
        let entry = self.map.as_mut_ptr().cast::<kvm_dirty_gfn>().wrapping_add(index);
        // SAFETY: `index < entries` and the mapping holds `entries` of these for as long as
        // `self` lives; the kernel writes `flags` concurrently, so it is only seen as an atomic.
        let flags = unsafe { AtomicU32::from_ptr(&raw mut (*entry).flags) };
        // Pairs with the kernel's smp_store_release in kvm_dirty_gfn_set_dirtied.
        if flags.load(Ordering::Acquire) & (DIRTY | HARVESTED) != DIRTY {
            return None;
        }
        // SAFETY: as above; between DIRTY and HARVESTED the kernel leaves these fields alone.
        let page = unsafe { DirtyPage { slot: (*entry).slot & 0xffff, offset: (*entry).offset } };
        // Pairs with the kernel's smp_load_acquire in kvm_dirty_gfn_harvested.
        flags.store(HARVESTED, Ordering::Release);
        self.next = self.next.wrapping_add(1);
        Some(page)
    }
}
