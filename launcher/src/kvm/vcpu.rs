//! One vCPU: a KVM_RUN becomes an [`Exit`], with the program's registers as the program left them.
//!
//! Registers travel in the page that KVM shares (`KVM_CAP_SYNC_REGS`); segment registers are only
//! fetched and stored where an exception went through ring 0.

use std::io;
use std::os::fd::AsRawFd;

use kvm_bindings::{
    KVM_EXIT_DIRTY_RING_FULL, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_msr_entry, kvm_regs, kvm_sregs,
    kvm_xcr, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::{SyncReg, VcpuExit, VcpuFd};
use vm_memory::Address;

use super::dirty_ring::DirtyRing;
use super::{first_run, tsc};
use crate::guest::boot::{self, CpuFeatures, VcpuPages};
use crate::guest::layout::{self, PAGE, PORT_EXCEPTION, PORT_SYSCALL};
use crate::guest::stubs::{self, ExceptionFrame};
use crate::host::processor;
use crate::machine::Machine;
use crate::probes::syscall_entry::SyscallEntry;

const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_SYSCALL_MASK: u32 = 0xc000_0084;
const MSR_TSC_AUX: u32 = 0xc000_0103;

/// Flags that are always one, or that ring 3 runs with: bit 1 and IF.
const RFLAGS_USER: u64 = 0x202;
/// Resume flag, which SYSRET must not carry along.
const RFLAGS_RESUME: u64 = 1 << 16;
/// Trap flag: SYSRET would trap before the next instruction, where the kernel lets that one pass.
const RFLAGS_TRAP: u64 = 1 << 8;

/// Page-level write-through, a bit of CR3 that changes no translation.
const CR3_WRITE_THROUGH: u64 = 1 << 3;

/// General-protection fault, the vector.
pub(crate) const VECTOR_GP: u64 = 13;

/// An exception that the guest took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trap {
    /// Vector, 0 to 31.
    pub vector: u64,
    /// Error code, 0 where the exception has none.
    pub error: u64,
    /// The faulting address, for page faults.
    pub cr2: u64,
}

/// Why the guest stopped. Except for `RingFull`, the registers are the program's.
#[derive(Debug)]
pub(crate) enum Exit {
    /// A system call: number in rax; rip behind the instruction.
    Syscall,
    /// An exception in the program.
    Exception(Trap),
    /// The dirty ring must be drained before the guest can go on.
    RingFull,
    /// A signal is waiting.
    Interrupted,
    /// The host cannot provide a page that the guest's tables offer; KVM does not say which.
    BadMemory,
    /// Something that a working launcher and KVM never show.
    Broken(String),
}

/// How the registers go back to the processor at the next entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resume {
    /// Untouched.
    AsIs,
    /// General registers only: the guest is in ring 3.
    Registers,
    /// Through the stub's `sysretq`.
    Sysret,
    /// General and segment registers.
    Segments,
}

/// One vCPU. Only ever touched by the thread that runs it.
pub(crate) struct Vcpu {
    machine: &'static Machine,
    fd: VcpuFd,
    id: u32,
    pages: VcpuPages,
    /// The processor that the guest is told it runs on; negative before the first entry.
    cpu: i32,
    resume: Resume,
    /// As it was fetched for the last exception, or as a new thread starts.
    sregs: Option<Box<kvm_sregs>>,
}

fn msr(index: u32, data: u64) -> kvm_msr_entry {
    kvm_msr_entry {
        index,
        data,
        ..Default::default()
    }
}

fn errno(e: kvm_ioctls::Error) -> io::Error {
    io::Error::from_raw_os_error(e.errno())
}

impl Vcpu {
    /// Makes vCPU `id` and its dirty ring, if the machine tracks writes.
    ///
    /// # Errors
    /// What KVM says; EEXIST if there is a vCPU `id` already.
    pub(crate) fn create(
        machine: &'static Machine,
        id: u32,
    ) -> io::Result<(Self, Option<DirtyRing>)> {
        let (fd, ring) = machine.vm.create_vcpu(id)?;
        fd.set_cpuid2(machine.vm.cpuid()).map_err(errno)?;
        // Not every KVM lists as supported all that its vCPUs then show.
        let shown = fd.get_cpuid2(KVM_MAX_CPUID_ENTRIES).map_err(errno)?;
        let cpu = machine.set_cpu(CpuFeatures::of(&shown, processor::host_xcr0()));
        let pages = boot::write_vcpu(&machine.vm, &machine.tables, id)?;
        let mut vcpu = Self {
            machine,
            fd,
            id,
            pages,
            cpu: -1,
            resume: Resume::AsIs,
            sregs: None,
        };
        vcpu.set_model_registers()?;
        tsc::follow_host(&vcpu.fd);
        vcpu.fd.set_sync_valid_reg(SyncReg::Register);
        let sregs = vcpu.boot_sregs()?;
        vcpu.fd.set_sregs(&sregs).map_err(errno)?;
        if cpu.xstate.features != 0 {
            let xcr0 = kvm_xcr {
                xcr: 0,
                reserved: 0,
                value: cpu.xstate.features,
            };
            let mut xcrs = kvm_xcrs {
                nr_xcrs: 1,
                ..Default::default()
            };
            xcrs.xcrs[0] = xcr0;
            vcpu.fd.set_xcrs(&xcrs).map_err(errno)?;
        }
        if id == 0 {
            vcpu.fd.get_kvm_run().immediate_exit = 1;
            first_run::in_another_process(vcpu.fd.as_raw_fd())?;
            vcpu.fd.get_kvm_run().immediate_exit = 0;
        }
        Ok((vcpu, ring))
    }

    fn boot_sregs(&self) -> io::Result<kvm_sregs> {
        let reset = self.sregs()?;
        Ok(boot::sregs(
            reset,
            self.id,
            self.machine.tables.root(),
            self.machine.cpu(),
        ))
    }

    fn set_model_registers(&self) -> io::Result<()> {
        let lstar = self.machine.stub_page + stubs::SYSCALL_ENTRY;
        let needed = [
            msr(MSR_STAR, boot::STAR),
            msr(MSR_LSTAR, lstar),
            msr(MSR_SYSCALL_MASK, boot::SYSCALL_MASK),
        ];
        let msrs = Msrs::from_entries(&needed).map_err(|_| io::ErrorKind::InvalidInput)?;
        if self.fd.set_msrs(&msrs).map_err(errno)? != needed.len() {
            return Err(io::Error::other("KVM refuses the system-call registers"));
        }
        Ok(())
    }

    /// Tells the guest on which processor it runs, if its thread has moved: the vDSO's getcpu asks
    /// RDPID or a descriptor's limit, never the kernel.
    fn show_cpu(&mut self) {
        // SAFETY: sched_getcpu reads no memory of ours.
        if self.cpu == unsafe { libc::sched_getcpu() } {
            return;
        }
        let (mut cpu, mut node) = (0u32, 0u32);
        // SAFETY: both numbers are writable for the call.
        unsafe { libc::syscall(libc::SYS_getcpu, &raw mut cpu, &raw mut node, 0usize) };
        self.cpu = cpu as i32;
        let shown = boot::cpu_node(cpu, node);
        boot::write_cpu_node(&self.machine.tables, self.pages.gdt, shown);
        // No harm where the processor has neither RDPID nor RDTSCP.
        if let Ok(msrs) = Msrs::from_entries(&[msr(MSR_TSC_AUX, shown.into())]) {
            let _ = self.fd.set_msrs(&msrs);
        }
    }

    /// The segment and control registers as KVM has them.
    ///
    /// # Errors
    /// What KVM_GET_SREGS says.
    pub(crate) fn sregs(&self) -> io::Result<kvm_sregs> {
        self.fd.get_sregs().map_err(errno)
    }

    /// Makes the processor forget the translations that it has cached, by loading CR3 twice: one
    /// that differs in nothing but how the root table is cached, and the right one.
    ///
    /// # Errors
    /// What KVM_GET_SREGS and KVM_SET_SREGS say.
    pub(crate) fn flush_translations(&mut self) -> io::Result<()> {
        let mut sregs = self.sregs()?;
        for _ in 0..2 {
            sregs.cr3 ^= CR3_WRITE_THROUGH;
            self.fd.set_sregs(&sregs).map_err(errno)?;
        }
        Ok(())
    }

    /// The machine whose vCPU this is.
    pub(crate) fn machine(&self) -> &'static Machine {
        self.machine
    }

    /// The vCPU's number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Where a signal handler must store 1 to make the next KVM_RUN return at once.
    pub(crate) fn immediate_exit(&mut self) -> *mut u8 {
        &raw mut self.fd.get_kvm_run().immediate_exit
    }

    /// The program's general registers.
    pub(crate) fn regs(&mut self) -> &kvm_regs {
        &self.fd.sync_regs_mut().regs
    }

    /// The program's general registers, to be changed.
    pub(crate) fn regs_mut(&mut self) -> &mut kvm_regs {
        if self.resume == Resume::AsIs {
            self.resume = Resume::Registers;
        }
        &mut self.fd.sync_regs_mut().regs
    }

    /// As [`Vcpu::regs_mut`], where rcx and r11 matter too, as after a signal handler.
    pub(crate) fn all_regs_mut(&mut self) -> &mut kvm_regs {
        if self.resume == Resume::Sysret {
            self.resume = Resume::Segments;
        }
        self.regs_mut()
    }

    /// The FS and GS bases.
    ///
    /// # Errors
    /// What KVM_GET_SREGS says.
    pub(crate) fn bases(&mut self) -> io::Result<(u64, u64)> {
        let s = self.sregs()?;
        Ok((s.fs.base, s.gs.base))
    }

    /// Sets the FS base, or with `gs` the GS base.
    ///
    /// # Errors
    /// What KVM_GET_SREGS and KVM_SET_SREGS say.
    pub(crate) fn set_base(&mut self, gs: bool, base: u64) -> io::Result<()> {
        let mut s = self.sregs()?;
        if gs {
            s.gs.base = base
        } else {
            s.fs.base = base
        }
        self.fd.set_sregs(&s).map_err(errno)
    }

    /// The vector state in the layout of XSAVE.
    ///
    /// # Errors
    /// What KVM_GET_XSAVE says.
    pub(crate) fn xsave(&self) -> io::Result<Box<kvm_xsave>> {
        self.fd.get_xsave().map(Box::new).map_err(errno)
    }

    /// Replaces the vector state.
    ///
    /// # Errors
    /// EINVAL for a state that the processor would refuse.
    pub(crate) fn set_xsave(&self, state: &kvm_xsave) -> io::Result<()> {
        // SAFETY: tiles are off, so the state fits the structure's 4 KiB.
        unsafe { self.fd.set_xsave(state) }.map_err(errno)
    }

    /// Gives the vCPU a whole new state in ring 3.
    ///
    /// # Errors
    /// What KVM says.
    pub(crate) fn start(
        &mut self,
        regs: kvm_regs,
        (fs, gs): (u64, u64),
        state: Option<&kvm_xsave>,
    ) -> io::Result<()> {
        let mut sregs = self.boot_sregs()?;
        sregs.fs.base = fs;
        sregs.gs.base = gs;
        if let Some(state) = state {
            self.set_xsave(state)?;
        }
        self.sregs = Some(Box::new(sregs));
        self.resume = Resume::Segments;
        // Whoever had the vCPU before may have been killed with a signal noted.
        self.fd.set_kvm_immediate_exit(0);
        let target = &mut self.fd.sync_regs_mut().regs;
        *target = regs;
        target.rflags |= RFLAGS_USER;
        Ok(())
    }

    /// Runs the guest until something must be done for it.
    pub(crate) fn run(&mut self) -> Exit {
        match self.run_to_port() {
            Ok(port) => self.port_exit(port),
            Err(exit) => exit,
        }
    }

    /// Runs the guest until it executes an `out` (to this port) or, with None, an `in`, and leaves
    /// the registers as KVM shows them; an error is any other exit.
    pub(crate) fn run_to_port(&mut self) -> Result<Option<u16>, Exit> {
        self.show_cpu();
        if let Err(e) = self.store_registers() {
            let what = format!("the segment registers cannot be set: {e}");
            return Err(Exit::Broken(what));
        }
        loop {
            let outcome = match self.fd.run() {
                Ok(VcpuExit::IoOut(port, _)) => Ok(Some(port)),
                Ok(VcpuExit::IoIn(..)) => Ok(None),
                Ok(VcpuExit::Unsupported(KVM_EXIT_DIRTY_RING_FULL)) => return Err(Exit::RingFull),
                Ok(VcpuExit::Intr) => Err(libc::EINTR),
                Ok(other) => return Err(Exit::Broken(format!("KVM_RUN returned {other:?}"))),
                Err(e) => Err(e.errno()),
            };
            match outcome {
                Ok(port) => return Ok(port),
                Err(libc::EINTR) => {
                    if self.interrupted_in_user_code() {
                        return Err(Exit::Interrupted);
                    }
                    self.fd.set_kvm_immediate_exit(0);
                }
                Err(libc::EAGAIN) => {}
                Err(libc::EFAULT) => return Err(Exit::BadMemory),
                Err(e) => {
                    let e = io::Error::from_raw_os_error(e);
                    return Err(Exit::Broken(format!("KVM_RUN failed: {e}")));
                }
            }
        }
    }

    fn store_registers(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.resume, Resume::AsIs) {
            Resume::AsIs => {}
            Resume::Registers => self.fd.set_sync_dirty_reg(SyncReg::Register),
            Resume::Sysret => {
                let rip = self.machine.stub_page + stubs::SYSCALL_RETURN;
                let regs = &mut self.fd.sync_regs_mut().regs;
                regs.rcx = regs.rip;
                regs.r11 = regs.rflags;
                regs.rip = rip;
                regs.rflags = 2;
                self.fd.set_sync_dirty_reg(SyncReg::Register);
            }
            Resume::Segments => {
                let mut sregs = match self.sregs.take() {
                    Some(sregs) => sregs,
                    None => Box::new(self.sregs()?),
                };
                sregs.cs = boot::user_code();
                sregs.ss = boot::user_stack();
                self.fd.sync_regs_mut().sregs = *sregs;
                self.fd.set_sync_dirty_reg(SyncReg::Register);
                self.fd.set_sync_dirty_reg(SyncReg::SystemRegister);
            }
        }
        Ok(())
    }

    /// An `out` (or, with None, an `in`): ours, or the program's own, which it may not execute.
    fn port_exit(&mut self, port: Option<u16>) -> Exit {
        let rip = self.fd.sync_regs_mut().regs.rip;
        let entry = self.machine.stub_page + stubs::SYSCALL_ENTRY;
        // KVM implementations differ in whether rip is at the `out` or behind it.
        if port == Some(PORT_SYSCALL) && (entry..=entry + 2).contains(&rip) {
            self.take_syscall_return();
            return Exit::Syscall;
        }
        if port == Some(PORT_EXCEPTION) && rip >= layout::SYSTEM {
            return self.exception();
        }
        self.resume = Resume::Registers;
        Exit::Exception(Trap {
            vector: VECTOR_GP,
            error: 0,
            cr2: 0,
        })
    }

    /// Makes the registers those of the program: SYSCALL left rip in rcx and rflags in r11.
    fn take_syscall_return(&mut self) {
        let ring0 = self.machine.entry.get() == Some(&SyscallEntry::Ring0);
        let regs = &mut self.fd.sync_regs_mut().regs;
        self.resume = match (ring0, regs.r11 & RFLAGS_TRAP) {
            (true, 0) => Resume::Sysret,
            (true, _) => Resume::Segments,
            (false, _) => Resume::Registers,
        };
        regs.rip = regs.rcx;
        regs.rflags = (regs.r11 & !RFLAGS_RESUME) | RFLAGS_USER;
    }

    fn exception(&mut self) -> Exit {
        let sregs = match self.sregs() {
            Ok(sregs) => sregs,
            Err(e) => return Exit::Broken(format!("KVM_GET_SREGS failed: {e}")),
        };
        let Some(frame) = self.exception_frame() else {
            let rsp = self.fd.sync_regs_mut().regs.rsp;
            return Exit::Broken(format!("an exception left its frame at {rsp:#x}"));
        };
        if frame.cs & 3 == 0 {
            return self.exception_in_ring0(&frame);
        }
        let regs = &mut self.fd.sync_regs_mut().regs;
        (regs.rip, regs.rflags, regs.rsp) = (frame.rip, frame.rflags, frame.rsp);
        let trap = Trap {
            vector: frame.vector,
            error: frame.error,
            cr2: sregs.cr2,
        };
        self.sregs = Some(Box::new(sregs));
        self.resume = Resume::Segments;
        Exit::Exception(trap)
    }

    /// A debug trap that was pending when the program executed SYSCALL (after MOV SS; on some processors
    /// by the trap flag) comes before the stub's first instruction: the call goes on.
    fn exception_in_ring0(&mut self, frame: &ExceptionFrame) -> Exit {
        let entry = self.machine.stub_page + stubs::SYSCALL_ENTRY;
        if frame.vector != u64::from(stubs::DEBUG) || frame.rip != entry {
            return Exit::Broken(format!("an exception in ring 0: {frame:x?}"));
        }
        self.fd.sync_regs_mut().regs.rsp = frame.rsp;
        self.take_syscall_return();
        self.resume = Resume::Segments;
        Exit::Syscall
    }

    fn exception_frame(&mut self) -> Option<ExceptionFrame> {
        let rsp = self.fd.sync_regs_mut().regs.rsp;
        let offset = rsp.checked_sub(layout::stack_page(self.id))?;
        if offset > PAGE - 8 * stubs::EXCEPTION_WORDS || offset % 8 != 0 {
            return None;
        }
        let place = self.pages.stack.unchecked_add(offset);
        Some(ExceptionFrame::read(self.machine.tables.arena(), place))
    }

    /// After EINTR: whether the registers are the program's. In a stub they are not yet: one more
    /// entry leaves it at once.
    fn interrupted_in_user_code(&mut self) -> bool {
        let stub = self.machine.stub_page;
        let rip = self.fd.sync_regs_mut().regs.rip;
        if rip == stub + stubs::SYSCALL_RETURN {
            self.take_syscall_return();
            return true;
        }
        rip < layout::SYSTEM && !(stub..stub + PAGE).contains(&rip)
    }
}

impl AsRawFd for Vcpu {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }
}
