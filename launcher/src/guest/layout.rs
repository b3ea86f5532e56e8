//! Every fixed address, selector and port of the guest, in one place.
//!
//! ```text
//! guest-virtual                              guest-physical
//! 0                  the program: the same   0          arena: page tables and system pages
//!   ...              addresses as on the     4 GiB      chunk slots, in order of first use:
//! 2^47               host, and the window      ...      gpa = slot base + (va - chunk base)
//!                    that the host reserved:
//!   + 0              stub page               (both in the arena)
//!   + 0x1000         per vCPU: request page
//! SYSTEM             IDT                     (all of it in the arena, supervisor only)
//!   + 0x1000         exception stubs
//!   + 0x10_0000      per vCPU: TSS and GDT, guard, stack, guard
//! ```

use vm_memory::GuestAddress;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

/// End of the program's half of the address space (with 4-level paging), less the guard page that
/// Linux keeps there.
pub(crate) const USER_END: u64 = 0x7fff_ffff_f000;

/// log2 of a chunk: the unit in which host memory becomes a memory slot. Large enough that a slot is
/// seldom added, small enough that adding one is quick where KVM keeps a reverse map per page.
pub(crate) const CHUNK_SHIFT: u32 = 28;

/// Bytes of a chunk.
pub(crate) const CHUNK: u64 = 1 << CHUNK_SHIFT;

/// Guest-physical address of the arena.
pub(crate) const ARENA_BASE: GuestAddress = GuestAddress(0);

/// Guest-physical address of the first chunk slot; the arena ends below.
pub(crate) const CHUNKS_BASE: GuestAddress = GuestAddress(1 << 32);

/// Bytes of the window, which begins at a multiple of that: what one leaf table maps, so that each vCPU can have a leaf
/// table of its own there.
pub(crate) const WINDOW: u64 = 512 * PAGE;

/// Guest-virtual base of the system pages, supervisor only, in the half that programs cannot use.
pub(crate) const SYSTEM: u64 = 0xffff_8000_0000_0000;
/// Interrupt descriptor table.
pub(crate) const IDT: u64 = SYSTEM;
/// Exception stubs, one for each vector.
pub(crate) const EXCEPTION_STUBS: u64 = SYSTEM + 0x1000;
/// First vCPU's own pages.
pub(crate) const VCPU_PAGES: u64 = SYSTEM + 0x10_0000;
/// Distance from one vCPU's pages to the next: TSS and GDT, guard, stack, guard.
pub(crate) const VCPU_STRIDE: u64 = 4 * PAGE;

/// Guest-virtual address of vCPU `id`'s task state segment.
pub(crate) const fn tss(id: u32) -> u64 {
    VCPU_PAGES + id as u64 * VCPU_STRIDE
}

/// Offset of the global descriptor table in the page of the task state segment. Each vCPU has its
/// own, because one of its descriptors says on which processor the vCPU runs.
pub(crate) const GDT_OFFSET: u64 = 0x800;

/// Guest-virtual address of vCPU `id`'s global descriptor table.
pub(crate) const fn gdt(id: u32) -> u64 {
    tss(id) + GDT_OFFSET
}

/// Guest-virtual address of the page that holds vCPU `id`'s ring-0 stack.
pub(crate) const fn stack_page(id: u32) -> u64 {
    tss(id) + 2 * PAGE
}

/// Selectors as Linux has them, since a program may look: `__KERNEL_CS`, `__KERNEL_DS`,
/// `__USER32_CS`, `__USER_DS`, `__USER_CS`, `__CPUNODE_SEG` of arch/x86/include/asm/segment.h.
pub(crate) const KERNEL_CS: u16 = 0x10;
/// See [`KERNEL_CS`].
pub(crate) const USER32_CS: u16 = 0x23;
/// See [`KERNEL_CS`].
pub(crate) const USER_DS: u16 = 0x2b;
/// See [`KERNEL_CS`].
pub(crate) const USER_CS: u16 = 0x33;
/// The vDSO's getcpu reads this descriptor's limit where the processor has no RDPID.
pub(crate) const CPUNODE_SEGMENT: u16 = 0x7b;
/// Bytes of the global descriptor table: up to the last of these.
pub(crate) const GDT_BYTES: u16 = (CPUNODE_SEGMENT | 7) + 1;
/// Task register: of no meaning but that it must not be null.
pub(crate) const TSS_SELECTOR: u16 = 0x40;

/// Port that the system-call stub writes to.
pub(crate) const PORT_SYSCALL: u16 = 0x10;
/// Port that the exception stubs write to.
pub(crate) const PORT_EXCEPTION: u16 = 0x11;
