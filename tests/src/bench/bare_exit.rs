//! A mini VM that does nothing but leave: the price of KVM itself on this machine.
//!
//! Two loops are timed. `out; jmp` in ring 3 is the barest exit to user space there is. `syscall` to
//! a stub that executes `out`, then back behind the `syscall` by registers synced through kvm_run, is
//! the barest relay of a call that relays nothing. The VM starts in 64-bit mode with its tables made,
//! as not every KVM can run real mode.
//!
//! One slot of guest-physical memory, page by page:
//!
//! ```text
//! 0 -      1 PML4   2 PDPT   3 PD   4 PT   5 GDT   6 TSS   7 IDT   8 exception stub   9 stack
//! 10 code: 0x000 out; jmp    0x100 syscall; jmp    0x200 the stub that LSTAR points to
//! ```
//!
//! All pages are mapped from `BASE` on. The code page is open to ring 3: software KVM enters the
//! LSTAR stub there, hardware in ring 0.

use std::time::Instant;

use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Cap, Kvm, SyncReg, VcpuExit, VcpuFd, VmFd};
use memmap2::MmapMut;

use super::stats::Spread;

const PAGE: u64 = 4096;
const PAGES: u64 = 11;
const PML4: u64 = PAGE;
const PDPT: u64 = 2 * PAGE;
const PD: u64 = 3 * PAGE;
const PT: u64 = 4 * PAGE;
const GDT: u64 = 5 * PAGE;
const TSS: u64 = 6 * PAGE;
const IDT: u64 = 7 * PAGE;
const EXCEPTION_STUB: u64 = 8 * PAGE;
/// Grows down from the end of its page.
const STACK_TOP: u64 = 10 * PAGE;
const CODE: u64 = 10 * PAGE;
const PORT_LOOP: u64 = CODE;
const CALL_LOOP: u64 = CODE + 0x100;
const CALL_STUB: u64 = CODE + 0x200;

/// Guest-virtual address of page 0, in the lower half, which ring 3 may use everywhere.
const BASE: u64 = 0x100_0000_0000;

const EXIT_PORT: u8 = 0x10;
const EXCEPTION_PORT: u8 = 0x11;

/// Interrupts off; bit 1 is always set; I/O privilege level 3, so that ring 3 may execute `out`.
const RFLAGS: u64 = 0x3002;

/// The TSS's I/O bitmap follows its 104 bytes and opens ports 0 to 255 to ring 3. It is needed beside
/// the privilege level: software KVM drops that, and QEMU's emulated SVM ignores the bitmap.
const IO_BITMAP: u16 = 104;
/// Last byte of the segment: the one behind the bitmap, which must be all ones.
const TSS_LIMIT: u16 = IO_BITMAP + 256 / 8;

/// Present, writable, user.
const TABLE_ENTRY: u64 = 7;
/// Present, writable, accessed, dirty; preset, so that no walk has to write them.
const SYSTEM_PAGE: u64 = 0x63;
const USER_PAGE: u64 = SYSTEM_PAGE | 4;

/// Selectors in the GDT; those of ring 3 with their privilege level.
const KERNEL_CODE: u16 = 0x08;
const USER_DATA: u16 = 0x23;
const USER_CODE: u16 = 0x2b;
const TASK: u16 = 0x30;

/// Intel SDM volume 4, table 2-2: the MSRs behind `syscall`.
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_SFMASK: u32 = 0xc000_0084;

/// Exits between two looks at the clock, and how often: under 0.1 s even where an exit costs 100 us.
const EXITS_PER_BATCH: u32 = 60;
const BATCHES: usize = 9;

/// The mini VM. Fields drop in this order: the vCPU and the VM before the memory they use.
pub(crate) struct ExitMeter {
    vcpu: VcpuFd,
    _vm: VmFd,
    _memory: MmapMut,
    ring3: kvm_sregs,
}

impl ExitMeter {
    /// Builds the VM; the message of an error names the step.
    pub(crate) fn new() -> Result<Self, String> {
        let kvm = Kvm::new().map_err(step("opening /dev/kvm"))?;
        if !kvm.check_extension(Cap::SyncRegs) {
            return Err("this KVM has no KVM_CAP_SYNC_REGS".into());
        }
        let vm = kvm.create_vm().map_err(step("KVM_CREATE_VM"))?;
        let mut memory = MmapMut::map_anon((PAGES * PAGE) as usize)
            .map_err(|e| format!("memory of the mini VM: {e}"))?;
        fill(&mut memory);
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: PAGES * PAGE,
            userspace_addr: memory.as_ptr() as u64,
        };
        // SAFETY: the region is exactly the mapping `memory`, page-aligned and the VM's only slot.
        // ExitMeter owns it, never looks at it again and drops it after vCPU and VM.
        unsafe { vm.set_user_memory_region(region) }.map_err(step("KVM_SET_USER_MEMORY_REGION"))?;
        let mut vcpu = vm.create_vcpu(0).map_err(step("KVM_CREATE_VCPU"))?;
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(step("supported CPUID"))?;
        let ring3 = prepare(&vcpu, &cpuid)?;
        vcpu.set_sync_valid_reg(SyncReg::Register);
        Ok(Self {
            vcpu,
            _vm: vm,
            _memory: memory,
            ring3,
        })
    }

    /// Nanoseconds per KVM_RUN of the port loop: the bare exit.
    pub(crate) fn port_write_ns(&mut self) -> Result<f64, String> {
        self.vcpu.clear_sync_valid_reg(SyncReg::SystemRegister);
        self.enter(PORT_LOOP)?;
        self.median_ns(|_| ())
    }

    /// Nanoseconds per round of `syscall`, exit, and back behind the `syscall`: the bare relay.
    pub(crate) fn system_call_ns(&mut self) -> Result<f64, String> {
        self.vcpu.set_sync_valid_reg(SyncReg::SystemRegister);
        self.enter(CALL_LOOP)?;
        let (code, data) = (self.ring3.cs, self.ring3.ss);
        self.median_ns(|vcpu| {
            let synced = vcpu.sync_regs_mut();
            synced.regs.rip = synced.regs.rcx;
            synced.regs.rflags = RFLAGS;
            synced.sregs.cs = code;
            synced.sregs.ss = data;
            vcpu.set_sync_dirty_reg(SyncReg::Register);
            vcpu.set_sync_dirty_reg(SyncReg::SystemRegister);
        })
    }

    /// Whether RIP points behind the `out` after its exit; mainline KVM moves it at the next entry.
    pub(crate) fn rip_is_behind_port_write(&mut self) -> Result<bool, String> {
        self.enter(PORT_LOOP)?;
        exit_once(&mut self.vcpu)?;
        Ok(self.vcpu.sync_regs().regs.rip != BASE + PORT_LOOP)
    }

    /// The ring in which `syscall` arrives at LSTAR: 0 on hardware.
    pub(crate) fn ring_of_call_stub(&mut self) -> Result<u8, String> {
        self.enter(CALL_LOOP)?;
        exit_once(&mut self.vcpu)?;
        let sregs = self.vcpu.get_sregs().map_err(step("KVM_GET_SREGS"))?;
        Ok((sregs.cs.selector & 3) as u8)
    }

    /// Puts the vCPU into ring 3 at the start of a loop.
    fn enter(&mut self, start: u64) -> Result<(), String> {
        self.vcpu
            .set_sregs(&self.ring3)
            .map_err(step("KVM_SET_SREGS"))?;
        let regs = kvm_regs {
            rip: BASE + start,
            rsp: BASE + STACK_TOP,
            rflags: RFLAGS,
            ..Default::default()
        };
        self.vcpu.set_regs(&regs).map_err(step("KVM_SET_REGS"))
    }

    fn median_ns(&mut self, mut before_entry: impl FnMut(&mut VcpuFd)) -> Result<f64, String> {
        // The first round maps the pages and does not count.
        exit_once(&mut self.vcpu)?;
        let mut batches = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let started = Instant::now();
            for _ in 0..EXITS_PER_BATCH {
                before_entry(&mut self.vcpu);
                exit_once(&mut self.vcpu)?;
            }
            batches.push(started.elapsed().as_nanos() as f64 / f64::from(EXITS_PER_BATCH));
        }
        Spread::of(&batches)
            .map(|s| s.median)
            .ok_or("no batches".into())
    }
}

/// Runs until the expected port write; everything else is an error.
fn exit_once(vcpu: &mut VcpuFd) -> Result<(), String> {
    loop {
        match vcpu.run() {
            Ok(VcpuExit::IoOut(port, _)) if port == u16::from(EXIT_PORT) => return Ok(()),
            Ok(VcpuExit::IoOut(port, _)) if port == u16::from(EXCEPTION_PORT) => {
                return Err("the mini VM took an exception".into());
            }
            Ok(exit) => return Err(format!("the mini VM left with {exit:?}")),
            Err(e) if e.errno() == libc::EINTR => {}
            Err(e) => return Err(format!("KVM_RUN: {e}")),
        }
    }
}

fn step(name: &'static str) -> impl Fn(kvm_ioctls::Error) -> String {
    move |e| format!("{name}: {e}")
}

/// CPUID, the syscall MSRs and system registers; returns the latter, which describe ring 3.
fn prepare(vcpu: &VcpuFd, cpuid: &CpuId) -> Result<kvm_sregs, String> {
    vcpu.set_cpuid2(cpuid).map_err(step("KVM_SET_CPUID2"))?;
    let mut sregs = vcpu.get_sregs().map_err(step("KVM_GET_SREGS"))?;
    set_system_registers(&mut sregs);
    vcpu.set_sregs(&sregs).map_err(step("KVM_SET_SREGS"))?;
    let msr = |index, data| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    };
    let entries = [
        // sysret's selectors in bits 63..48, syscall's in 47..32.
        msr(
            MSR_STAR,
            (u64::from(USER_CODE - 16) << 48) | (u64::from(KERNEL_CODE) << 32),
        ),
        msr(MSR_LSTAR, BASE + CALL_STUB),
        // Trap, interrupt and direction flag.
        msr(MSR_SFMASK, 0x700),
    ];
    let list = Msrs::from_entries(&entries).map_err(|e| format!("MSR list: {e:?}"))?;
    match vcpu.set_msrs(&list).map_err(step("KVM_SET_MSRS"))? {
        set if set == entries.len() => Ok(sregs),
        set => Err(format!(
            "KVM_SET_MSRS took only {set} of {} MSRs",
            entries.len()
        )),
    }
}

/// 64-bit mode, ring 3 (Intel SDM volume 3, section 2.5 for the bits).
fn set_system_registers(sregs: &mut kvm_sregs) {
    // PG AM WP NE ET MP PE.
    sregs.cr0 = 0x8005_0033;
    sregs.cr3 = PML4;
    // PAE OSFXSR OSXMMEXCPT; no SMEP, as ring 0 of the call stub runs from a user page.
    sregs.cr4 = 0x620;
    // SCE LME LMA NXE.
    sregs.efer = 0xd01;
    sregs.gdt.base = BASE + GDT;
    sregs.gdt.limit = 7 * 8 - 1;
    sregs.idt.base = BASE + IDT;
    sregs.idt.limit = PAGE as u16 - 1;
    let flat = kvm_segment {
        limit: u32::MAX,
        present: 1,
        s: 1,
        g: 1,
        dpl: 3,
        ..Default::default()
    };
    sregs.cs = kvm_segment {
        selector: USER_CODE,
        type_: 11,
        l: 1,
        ..flat
    };
    let data = kvm_segment {
        selector: USER_DATA,
        type_: 3,
        db: 1,
        ..flat
    };
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = kvm_segment {
        base: BASE + TSS,
        limit: u32::from(TSS_LIMIT),
        selector: TASK,
        type_: 11,
        present: 1,
        ..Default::default()
    };
}

/// Writes the tables and the code.
fn fill(memory: &mut [u8]) {
    fill_page_tables(memory);
    // Null, ring-0 code, ring-0 data, 32-bit ring-3 code, ring-3 data, ring-3 code.
    let descriptors = [
        0,
        0x00af_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0x00cf_fb00_0000_ffff,
        0x00cf_f300_0000_ffff,
        0x00af_fb00_0000_ffff,
    ];
    for (address, descriptor) in (GDT..).step_by(8).zip(descriptors) {
        put(memory, address, &u64::to_le_bytes(descriptor));
    }
    put(memory, TSS + 4, &(BASE + STACK_TOP).to_le_bytes());
    put(memory, TSS + 0x66, &IO_BITMAP.to_le_bytes());
    put(memory, TSS + u64::from(TSS_LIMIT), &[0xff]);
    fill_exception_gates(memory);
    put(memory, EXCEPTION_STUB, &[0xe6, EXCEPTION_PORT, 0xf4]); // out; hlt
    put(memory, PORT_LOOP, &[0xe6, EXIT_PORT, 0xeb, 0xfc]); // out; jmp back to it
    put(memory, CALL_LOOP, &[0x0f, 0x05, 0xeb, 0xfc]); // syscall; jmp back to it
    put(memory, CALL_STUB, &[0xe6, EXIT_PORT, 0xf4]); // out; hlt
}

fn fill_page_tables(memory: &mut [u8]) {
    let index = |level: u32| (BASE >> (12 + 9 * level) & 511) * 8;
    put(memory, PML4 + index(3), &(PDPT | TABLE_ENTRY).to_le_bytes());
    put(memory, PDPT + index(2), &(PD | TABLE_ENTRY).to_le_bytes());
    put(memory, PD + index(1), &(PT | TABLE_ENTRY).to_le_bytes());
    for page in 0..PAGES {
        let address = page * PAGE;
        let flags = if address == CODE {
            USER_PAGE
        } else {
            SYSTEM_PAGE
        };
        put(
            memory,
            PT + index(0) + page * 8,
            &(address | flags).to_le_bytes(),
        );
    }
}

/// All 32 exceptions go to one stub, which reports them as an exit through their port.
fn fill_exception_gates(memory: &mut [u8]) {
    let handler = BASE + EXCEPTION_STUB;
    // Present interrupt gate; offset bits 15..0 and 31..16 around selector and type.
    let low = (handler & 0xffff)
        | (u64::from(KERNEL_CODE) << 16)
        | (0x8e00 << 32)
        | ((handler >> 16 & 0xffff) << 48);
    for gate in 0..32 {
        put(memory, IDT + gate * 16, &low.to_le_bytes());
        put(memory, IDT + gate * 16 + 8, &(handler >> 32).to_le_bytes());
    }
}

fn put(memory: &mut [u8], address: u64, bytes: &[u8]) {
    let start = address as usize;
    memory[start..start + bytes.len()].copy_from_slice(bytes);
}
