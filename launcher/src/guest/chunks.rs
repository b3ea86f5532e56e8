//! Host memory as guest-physical memory: one slot for each chunk that the program touches.
//!
//! `gpa = slot base + (va - chunk base)`, for the life of the process. Both directions are plain
//! arrays, read without a lock by page faults and by the harvester.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use vm_memory::GuestAddress;

use super::arena::Arena;
use super::layout::{CHUNK, CHUNK_SHIFT, CHUNKS_BASE, USER_END};
use crate::host::residency;
use crate::kvm::vm::Vm;

/// Chunks of the user half.
const CHUNKS: usize = 1 << (47 - CHUNK_SHIFT);

/// Slots that KVM on x86-64 can have at most (KVM_USER_MEM_SLOTS).
const SLOTS: usize = 1 << 15;

/// Both directions of the relation between chunks and slots. The arrays lie in untouched memory
/// until used, so their size costs address space only.
pub(crate) struct Chunks {
    /// Chunk number to slot number, 0: none.
    slot_of: Box<[AtomicU32]>,
    /// Slot number to chunk number + 1.
    chunk_of: Box<[AtomicU32]>,
    /// Chunk number to the number of its second slot, whose stores are not logged; 0: none.
    unlogged_of: Box<[AtomicU32]>,
    next_slot: Mutex<u32>,
    /// First guest-physical address that the processor cannot form.
    gpa_end: u64,
}

fn zeroed(len: usize) -> Box<[AtomicU32]> {
    // SAFETY: an all-zero AtomicU32 is a valid one; zeroed memory stays untouched until used.
    let mut zeroed = unsafe { Box::<[AtomicU32]>::new_zeroed_slice(len).assume_init() };
    residency::back_page_by_page(&mut zeroed);
    zeroed
}

impl Chunks {
    /// No chunk has a slot yet. `physical_bits`: the guest's MAXPHYADDR.
    pub(crate) fn new(physical_bits: u32) -> Self {
        Self {
            slot_of: zeroed(CHUNKS),
            chunk_of: zeroed(SLOTS),
            unlogged_of: zeroed(CHUNKS),
            next_slot: Mutex::new(Arena::MAX_SLOTS),
            gpa_end: 1 << physical_bits.min(52),
        }
    }

    fn gpa_base(slot: u32) -> u64 {
        CHUNKS_BASE.0 + u64::from(slot - Arena::MAX_SLOTS) * CHUNK
    }

    /// The guest-physical address of `va`, if its chunk has a slot.
    pub(crate) fn lookup(&self, va: u64) -> Option<GuestAddress> {
        Self::look(&self.slot_of, va)
    }

    fn look(slots: &[AtomicU32], va: u64) -> Option<GuestAddress> {
        // Pairs with the Release store in `add`: who sees the slot may use it.
        match slots
            .get((va >> CHUNK_SHIFT) as usize)?
            .load(Ordering::Acquire)
        {
            0 => None,
            slot => Some(GuestAddress(Self::gpa_base(slot) + va % CHUNK)),
        }
    }

    /// The guest-physical address of `va`; its chunk gets a slot if it has none.
    ///
    /// # Errors
    /// ENOMEM when slots or guest-physical addresses are used up, or what KVM says.
    pub(crate) fn ensure(&self, vm: &Vm, va: u64) -> io::Result<GuestAddress> {
        match self.lookup(va) {
            Some(gpa) => Ok(gpa),
            None => self.add(vm, va, true),
        }
    }

    /// A second guest-physical address of `va`, where stores are not logged.
    ///
    /// # Errors
    /// As [`Chunks::ensure`].
    pub(crate) fn ensure_unlogged(&self, vm: &Vm, va: u64) -> io::Result<GuestAddress> {
        match Self::look(&self.unlogged_of, va) {
            Some(gpa) => Ok(gpa),
            None => self.add(vm, va, false),
        }
    }

    fn add(&self, vm: &Vm, va: u64, logged: bool) -> io::Result<GuestAddress> {
        let slots = match logged {
            true => &self.slot_of,
            false => &self.unlogged_of,
        };
        let mut next = self.next_slot.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(gpa) = Self::look(slots, va) {
            return Ok(gpa);
        }
        let slot = *next;
        let gpa = Self::gpa_base(slot);
        let base = va & !(CHUNK - 1);
        let size = CHUNK.min(USER_END.saturating_sub(base));
        if slot >= vm.caps().max_slots || slot as usize >= SLOTS || gpa + CHUNK > self.gpa_end {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        // SAFETY: the chunk may hold memory of ours besides the program's; only `Memory::fill`
        // makes page-table entries into it, from the table of the program's mappings.
        unsafe { vm.add_slot(slot, GuestAddress(gpa), base, size, logged)? };
        let chunk = (va >> CHUNK_SHIFT) as u32;
        self.chunk_of[slot as usize].store(chunk + 1, Ordering::Release);
        slots[chunk as usize].store(slot, Ordering::Release);
        *next += 1;
        Ok(GuestAddress(gpa + va % CHUNK))
    }

    /// The virtual address of page `offset` of memory slot `slot`; None for slots of the arena.
    pub(crate) fn va_of(&self, slot: u32, offset: u64) -> Option<u64> {
        match self.chunk_of.get(slot as usize)?.load(Ordering::Acquire) {
            0 => None,
            chunk => Some((u64::from(chunk - 1) << CHUNK_SHIFT) + offset * super::layout::PAGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_slot_has_no_guest_physical_address() {
        let chunks = Chunks::new(46);
        assert_eq!(chunks.lookup(0x7fff_0000_0000), None);
        assert_eq!(chunks.va_of(Arena::MAX_SLOTS, 0), None);
        assert_eq!(chunks.lookup(u64::MAX), None);
    }
}
