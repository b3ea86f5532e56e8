//! A memory slot of one page that nothing refers to: what is done to it makes KVM forget translations of
//! the others.
//!
//! Nobody misses the page meanwhile, so the vCPUs run on. Which of the two effects makes accessed bits
//! appear again is found by a probe (`probes/rearm.rs`).

use std::io;

use kvm_bindings as kb;
use memmap2::{Advice, MmapOptions, MmapRaw};
use vm_memory::GuestAddress;

use super::vm::Vm;
use crate::guest::layout::PAGE;

/// The slot, once it is there. One thread at a time changes it: the harvester's lock sees to that.
pub(crate) struct SpareSlot {
    page: MmapRaw,
    slot: u32,
    at: GuestAddress,
}

impl SpareSlot {
    /// Adds the slot to `vm`.
    ///
    /// # Errors
    /// What mmap(2) or KVM_SET_USER_MEMORY_REGION says.
    pub(crate) fn add(vm: &Vm, (slot, at): (u32, GuestAddress)) -> io::Result<Self> {
        let page = MmapOptions::new().len(PAGE as usize).map_anon()?;
        let page = MmapRaw::from(page);
        // A forked child has a VM of its own.
        page.advise(Advice::DontFork)?;
        let spare = Self { page, slot, at };
        spare.set(vm, PAGE, 0)?;
        Ok(spare)
    }

    fn set(&self, vm: &Vm, size: u64, flags: u32) -> io::Result<()> {
        let hva = self.page.as_ptr() as u64;
        // SAFETY: the page is ours, holds nothing, and no page-table entry leads to it.
        unsafe { vm.set_slot(self.slot, self.at, hva, size, flags) }
    }

    /// Has every vCPU forget the translations that its processor keeps: KVM flushes them whenever dirty
    /// logging of a slot begins (arch/x86/kvm/x86.c, kvm_mmu_slot_apply_flags).
    ///
    /// # Errors
    /// What KVM_SET_USER_MEMORY_REGION says.
    pub(crate) fn flush_translations(&self, vm: &Vm) -> io::Result<()> {
        self.set(vm, PAGE, kb::KVM_MEM_LOG_DIRTY_PAGES)?;
        self.set(vm, PAGE, 0)
    }

    /// Has KVM drop all shadow tables, and so walk the guest's own again at the next access to each
    /// page: it does so whenever a slot goes (arch/x86/kvm/mmu/mmu.c, kvm_arch_flush_shadow_memslot).
    ///
    /// # Errors
    /// What KVM_SET_USER_MEMORY_REGION says.
    pub(crate) fn drop_shadow_tables(&self, vm: &Vm) -> io::Result<()> {
        self.set(vm, 0, 0)?;
        self.set(vm, PAGE, 0)
    }
}
