//! Descriptor tables, task state segments and the registers that a vCPU starts with.

use std::io;
use std::sync::atomic::Ordering;

use kvm_bindings::{CpuId, kvm_cpuid_entry2, kvm_segment, kvm_sregs};
use vm_memory::{Address, GuestAddress};

use super::layout::{
    self, CPUNODE_SEGMENT, EXCEPTION_STUBS, GDT_BYTES, GDT_OFFSET, IDT, KERNEL_CS, PAGE,
    TSS_SELECTOR, USER_CS, USER_DS, USER32_CS,
};
use super::page_tables::PageTables;
use super::{stub_page, stubs};
use crate::kvm::vm::Vm;

// Control registers: Intel SDM volume 3A, section 2.5.
const CR0: u64 = 0x8005_0033; // PG AM WP NE ET MP PE, as Linux runs its programs
const CR4_PAE: u64 = 1 << 5;
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;
const EFER: u64 = 0xd01; // NXE LMA LME SCE

/// MSR_STAR: kernel selector for SYSCALL, base of the user selectors for SYSRET.
pub(crate) const STAR: u64 = ((USER32_CS as u64) << 48) | ((KERNEL_CS as u64) << 32);
/// MSR_SYSCALL_MASK: NT, AC, DF, IF, TF are cleared while the stub runs.
pub(crate) const SYSCALL_MASK: u64 = 0x4_4700;

/// Size of a task state segment without I/O bitmap.
const TSS_BYTES: usize = 104;
/// Bitmap for ports 0 to 31 and its closing byte: the stub may run in ring 3, where every port
/// that is not allowed here is refused. A program's own `out` to them is told apart by its address.
const IO_BITMAP: usize = 4;
const TSS_LIMIT: usize = TSS_BYTES + IO_BITMAP;

/// The vector state of a program: which components, and how many bytes XSAVE takes for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct XState {
    /// XCR0; 0 where the processor has no XSAVE.
    pub features: u64,
    /// Bytes in the standard format: 512 (FXSAVE) where there is no XSAVE.
    pub size: u32,
}

/// What the processor supports of what a program may see enabled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuFeatures {
    /// XSAVE components.
    pub xstate: XState,
    /// RDFSBASE and its kin.
    pub fsgsbase: bool,
}

/// Tiles need a permission that each process asks for; a program is told they are not there.
const XSTATE_TILES: u64 = 3 << 17;
/// x87 and SSE, which every 64-bit processor has.
const XSTATE_LEGACY: u64 = 3;

fn leaf(cpuid: &CpuId, function: u32, index: u32) -> Option<&kvm_cpuid_entry2> {
    cpuid
        .as_slice()
        .iter()
        .find(|e| e.function == function && e.index == index)
}

/// Guest-physical address bits.
pub(crate) fn physical_bits(cpuid: &CpuId) -> u32 {
    leaf(cpuid, 0x8000_0008, 0).map_or(36, |e| e.eax & 0xff)
}

impl CpuFeatures {
    /// Reads them off the CPUID that a vCPU shows. `host_xcr0`: XCR0 as the host set it.
    pub(crate) fn of(cpuid: &CpuId, host_xcr0: u64) -> Self {
        let leaf = |function, index| leaf(cpuid, function, index);
        let has_xsave = leaf(1, 0).is_some_and(|e| e.ecx & (1 << 26) != 0);
        let offered = leaf(0xd, 0).map_or(XSTATE_LEGACY, |e| {
            u64::from(e.eax) | (u64::from(e.edx) << 32)
        });
        let features = offered & host_xcr0 & !XSTATE_TILES;
        // Each component from 2 on says its size and offset; the first two and the header take 576.
        let end = |i: u32| leaf(0xd, i).map_or(0, |e| e.eax + e.ebx);
        let size = (2..63)
            .filter(|i| features & (1 << i) != 0)
            .map(end)
            .max()
            .unwrap_or(0)
            .max(576);
        Self {
            xstate: match has_xsave {
                true => XState { features, size },
                false => XState {
                    features: 0,
                    size: 512,
                },
            },
            fsgsbase: leaf(7, 0).is_some_and(|e| e.ebx & 1 != 0),
        }
    }
}

fn code_segment(selector: u16, dpl: u8) -> kvm_segment {
    kvm_segment {
        limit: u32::MAX,
        selector,
        type_: 11,
        present: 1,
        dpl,
        s: 1,
        l: 1,
        g: 1,
        ..Default::default()
    }
}

/// `__USER_CS` as the processor holds it.
pub(crate) fn user_code() -> kvm_segment {
    code_segment(USER_CS, 3)
}

/// `__USER_DS` as the processor holds it.
pub(crate) fn user_stack() -> kvm_segment {
    kvm_segment {
        limit: u32::MAX,
        selector: USER_DS,
        type_: 3,
        present: 1,
        dpl: 3,
        s: 1,
        db: 1,
        g: 1,
        ..Default::default()
    }
}

/// The registers of vCPU `id` in ring 3, over the vCPU's reset state.
pub(crate) fn sregs(reset: kvm_sregs, id: u32, root: GuestAddress, cpu: CpuFeatures) -> kvm_sregs {
    // Linux leaves the data selectors null; their bases and limits mean nothing in 64-bit mode.
    let null = kvm_segment {
        unusable: 1,
        ..user_stack()
    };
    let null = kvm_segment {
        selector: 0,
        ..null
    };
    let mut s = kvm_sregs {
        cs: user_code(),
        ss: user_stack(),
        ds: null,
        es: null,
        fs: null,
        gs: null,
        ldt: kvm_segment {
            unusable: 1,
            type_: 2,
            ..Default::default()
        },
        tr: kvm_segment {
            base: layout::tss(id),
            limit: TSS_LIMIT as u32,
            selector: TSS_SELECTOR,
            type_: 11,
            present: 1,
            ..Default::default()
        },
        cr0: CR0,
        cr3: root.raw_value(),
        cr4: CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT,
        efer: EFER,
        ..reset
    };
    s.cr4 |= if cpu.xstate.features != 0 {
        CR4_OSXSAVE
    } else {
        0
    };
    s.cr4 |= if cpu.fsgsbase { CR4_FSGSBASE } else { 0 };
    (s.gdt.base, s.gdt.limit) = (layout::gdt(id), GDT_BYTES - 1);
    (s.idt.base, s.idt.limit) = (IDT, PAGE as u16 - 1);
    s
}

/// Writes the tables that all vCPUs share, and the stub page, whose frame it returns.
///
/// # Errors
/// What growing the page tables says.
pub(crate) fn write_shared(vm: &Vm, tables: &PageTables) -> io::Result<GuestAddress> {
    let arena = tables.arena();
    let idt = tables.map_system(vm, IDT)?;
    let code = tables.map_system(vm, EXCEPTION_STUBS)?;
    for vector in 0..32u8 {
        let offset = u64::from(vector) * stubs::EXCEPTION_STRIDE;
        arena.write(code.unchecked_add(offset), &stubs::exception(vector));
        let mut gate = interrupt_gate(EXCEPTION_STUBS + offset, matches!(vector, 3 | 4));
        if vector == stubs::DEBUG {
            // It can come in ring 0, before the system-call stub's first instruction, with the
            // program's stack pointer: a stack from the task state segment (IST1) in any case.
            gate[4] = 1;
        }
        arena.write(idt.unchecked_add(u64::from(vector) * 16), &gate);
    }
    let page = tables.system_page(vm)?;
    arena.write(page, stub_page::code());
    Ok(page)
}

/// A 64-bit interrupt gate (Intel SDM volume 3A, figure 6-8); `user`: ring 3 may call it (int3).
fn interrupt_gate(target: u64, user: bool) -> [u8; 16] {
    let kind = if user { 0xee00 } else { 0x8e00_u64 };
    let low = (target & 0xffff)
        | (u64::from(KERNEL_CS) << 16)
        | (kind << 32)
        | (((target >> 16) & 0xffff) << 48);
    let mut gate = [0; 16];
    gate[..8].copy_from_slice(&low.to_le_bytes());
    gate[8..].copy_from_slice(&(target >> 32).to_le_bytes());
    gate
}

/// Where a vCPU's own pages lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VcpuPages {
    /// The top-level table.
    pub root: GuestAddress,
    /// The request page.
    pub request: GuestAddress,
    /// The ring-0 stack.
    pub stack: GuestAddress,
    /// The global descriptor table.
    pub gdt: GuestAddress,
}

/// Makes vCPU `id`'s task state segment, descriptor table, ring-0 stack and request page, and the tables that map
/// them and the stub page in the frame `stub`.
///
/// # Errors
/// What growing the page tables says.
pub(crate) fn write_vcpu(
    vm: &Vm,
    tables: &PageTables,
    stub: GuestAddress,
    id: u32,
) -> io::Result<VcpuPages> {
    let arena = tables.arena();
    let frame = tables.map_system(vm, layout::tss(id))?;
    let mut tss = [0u8; TSS_LIMIT + 4];
    let stack_top = (layout::stack_page(id) + PAGE).to_le_bytes();
    tss[4..12].copy_from_slice(&stack_top); // RSP0
    tss[36..44].copy_from_slice(&stack_top); // IST1
    tss[102..104].copy_from_slice(&(TSS_BYTES as u16).to_le_bytes()); // I/O map base
    let bitmap = &mut tss[TSS_BYTES..];
    bitmap.fill(0xff);
    bitmap[usize::from(layout::PORT_SYSCALL / 8)] &= !(1 << (layout::PORT_SYSCALL % 8));
    arena.write(frame, &tss);
    let gdt = frame.unchecked_add(GDT_OFFSET);
    for (selector, descriptor) in [
        (KERNEL_CS, 0x00af_9b00_0000_ffff_u64),
        (KERNEL_CS + 8, 0x00cf_9300_0000_ffff),
        (USER32_CS & !7, 0x00cf_fb00_0000_ffff),
        (USER_DS & !7, 0x00cf_f300_0000_ffff),
        (USER_CS & !7, 0x00af_fb00_0000_ffff),
    ] {
        arena.write(
            gdt.unchecked_add(selector.into()),
            &descriptor.to_le_bytes(),
        );
    }
    let stack = tables.map_system(vm, layout::stack_page(id))?;
    let request = tables.system_page(vm)?;
    let root = tables.add_root(vm, &[(stub, false), (request, true)])?;
    Ok(VcpuPages {
        root,
        request,
        stack,
        gdt,
    })
}

/// What RDPID shows on processor `cpu` of memory node `node`: vdso_encode_cpunode of
/// arch/x86/include/asm/segment.h.
pub(crate) fn cpu_node(cpu: u32, node: u32) -> u32 {
    (node << 12) | (cpu & 0xfff)
}

/// Writes the same where LSL shows it: into the limit of a descriptor of the table at `gdt`.
pub(crate) fn write_cpu_node(tables: &PageTables, gdt: GuestAddress, cpu_node: u32) {
    let limit = u64::from(cpu_node);
    // Present, ring 3, read-only data, as setup_getcpu of arch/x86/kernel/cpu/common.c has it.
    let descriptor = 0x0040_f500_0000_0000 | (limit & 0xffff) | ((limit & 0xf_0000) << 32);
    let place = gdt.unchecked_add((CPUNODE_SEGMENT & !7).into());
    tables
        .arena()
        .word(place)
        .store(descriptor, Ordering::Relaxed);
}
