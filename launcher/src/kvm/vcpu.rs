//! One vCPU: its state, and KVM_RUN. What came of a KVM_RUN, `exits` tells.
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

use super::dirty_ring::DirtyRing;
use super::{first_run, tsc};
use crate::guest::boot::{self, CpuFeatures, VcpuPages};
use crate::guest::request::RequestPage;
use crate::guest::stub_page;
use crate::host::processor;
use crate::machine::Machine;

const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_SYSCALL_MASK: u32 = 0xc000_0084;
const MSR_TSC_AUX: u32 = 0xc000_0103;

/// Flags that are always one, or that ring 3 runs with: bit 1 and IF.
pub(super) const RFLAGS_USER: u64 = 0x202;
/// Page-level write-through, a bit of CR3 that changes no translation.
const CR3_WRITE_THROUGH: u64 = 1 << 3;

/// What KVM_RUN came back with; the registers are as KVM shows them.
#[derive(Debug)]
pub(crate) enum Raw {
    /// An `out` to this port or, with None, an `in`.
    Port(Option<u16>),
    /// A signal, or `immediate_exit`.
    Interrupted,
    /// The dirty ring is full.
    RingFull,
    /// The host cannot provide a page.
    BadMemory,
    /// What a working KVM never shows.
    Broken(String),
}

/// How the registers go back to the processor at the next entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
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
    pub(super) machine: &'static Machine,
    pub(super) fd: VcpuFd,
    pub(super) id: u32,
    pub(super) pages: VcpuPages,
    requests: RequestPage<'static>,
    /// The processor that the guest is told it runs on; negative before the first entry.
    cpu: i32,
    pub(super) resume: Resume,
    /// As it was fetched for the last exception, or as a new thread starts.
    pub(super) sregs: Option<Box<kvm_sregs>>,
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
        let pages = boot::write_vcpu(&machine.vm, &machine.tables, machine.stub_frame, id)?;
        let requests = machine.tables.arena().words(pages.request);
        let mut vcpu = Self {
            machine,
            fd,
            id,
            pages,
            requests: RequestPage::new(requests),
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
            self.pages.root,
            self.machine.cpu(),
        ))
    }

    fn set_model_registers(&self) -> io::Result<()> {
        let lstar = self.machine.window + stub_page::SYSCALL_ENTRY;
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

    /// The page in which its guest asks for calls.
    pub(crate) fn requests(&self) -> &RequestPage<'static> {
        &self.requests
    }

    /// Frequency of the time-stamp counter in kHz, where KVM knows it.
    pub(crate) fn tsc_khz(&self) -> Option<u32> {
        self.fd.get_tsc_khz().ok().filter(|&khz| khz > 0)
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

    /// Whether a signal handler has stored it.
    pub(crate) fn is_kicked(&mut self) -> bool {
        let kick = self.immediate_exit();
        // SAFETY: it is a byte of the page that KVM shares, and a handler may store to it at any moment.
        unsafe { kick.read_volatile() != 0 }
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

    /// Runs the guest until KVM_RUN comes back, with the registers as they were set.
    pub(crate) fn enter(&mut self) -> Raw {
        self.show_cpu();
        if let Err(e) = self.store_registers() {
            return Raw::Broken(format!("the segment registers cannot be set: {e}"));
        }
        loop {
            return match self.fd.run() {
                Ok(VcpuExit::IoOut(port, _)) => Raw::Port(Some(port)),
                Ok(VcpuExit::IoIn(..)) => Raw::Port(None),
                Ok(VcpuExit::Unsupported(KVM_EXIT_DIRTY_RING_FULL)) => Raw::RingFull,
                Ok(VcpuExit::Intr) => Raw::Interrupted,
                Ok(other) => Raw::Broken(format!("KVM_RUN returned {other:?}")),
                Err(e) => match e.errno() {
                    libc::EAGAIN => continue,
                    libc::EINTR => Raw::Interrupted,
                    libc::EFAULT => Raw::BadMemory,
                    _ => Raw::Broken(format!("KVM_RUN failed: {}", errno(e))),
                },
            };
        }
    }

    fn store_registers(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.resume, Resume::AsIs) {
            Resume::AsIs => {}
            Resume::Registers => self.fd.set_sync_dirty_reg(SyncReg::Register),
            Resume::Sysret => {
                let rip = self.machine.window + stub_page::sysret();
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
}

impl AsRawFd for Vcpu {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }
}
