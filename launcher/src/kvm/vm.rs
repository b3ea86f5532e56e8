//! The VM: its descriptor, its memory slots and the making of vCPUs.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};

use kvm_bindings::{
    self as kb, CpuId, KVM_MAX_CPUID_ENTRIES, kvm_enable_cap, kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use vm_memory::{Address, GuestAddress};

use super::caps::{Caps, OpenKvmError};
use super::dirty_ring::{DirtyRing, ENTRY_BYTES};
use crate::host::{descriptors, signals};

/// `_IO(KVMIO, 0xc7)` of linux/kvm.h: re-arm every harvested page of every ring.
const KVM_RESET_DIRTY_RINGS: libc::Ioctl = 0xaec7;

/// As often it is asked for at most, by a process that is stopped each time.
const MOST_RESETS: u32 = 1000;

/// The smallest ring that every KVM takes. It keeps 64 entries in reserve, and as many as the
/// processor's own log has, which are 512 with Page Modification Logging.
const ENOUGH_ENTRIES: u32 = 1024;

/// Why the VM or one of its parts could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateVmError {
    /// KVM_CREATE_VM and what follows it.
    #[error("{what} failed: {source}. {remedy}")]
    Kvm {
        /// The request that failed.
        what: &'static str,
        /// The kernel's reason.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// Tracking was asked for and there is no dirty ring.
    #[error(
        "this KVM has no dirty ring (KVM_CAP_DIRTY_LOG_RING_ACQ_REL), which write tracking needs. \
         Use Linux 6.1 or later on the host, or run with --track none"
    )]
    NoDirtyRing,
    /// A ring larger than the kernel allows.
    #[error(
        "a dirty ring of {asked} entries is too large: this KVM allows {max}. Use --buffer {max}"
    )]
    RingTooLarge {
        /// Entries asked for.
        asked: u32,
        /// Entries allowed.
        max: u32,
    },
    /// A ring that has no room for what the kernel keeps in reserve.
    #[error(
        "a dirty ring of {asked} entries is too small: this KVM keeps more than that in reserve, as \
         it does for a processor with Page Modification Logging. Use --buffer {ENOUGH_ENTRIES}"
    )]
    RingTooSmall {
        /// Entries asked for.
        asked: u32,
    },
    /// KVM itself.
    #[error(transparent)]
    Open(#[from] OpenKvmError),
}

/// One VM. Its memory slots, once added, stay for the life of the process.
pub(crate) struct Vm {
    fd: VmFd,
    caps: Caps,
    cpuid: CpuId,
    ring_entries: u32,
}

fn failed(
    what: &'static str,
    remedy: &'static str,
) -> impl FnOnce(kvm_ioctls::Error) -> CreateVmError {
    move |e| CreateVmError::Kvm {
        what,
        source: io::Error::from_raw_os_error(e.errno()),
        remedy,
    }
}

impl Vm {
    /// Makes a VM whose vCPUs have dirty rings of `ring_entries` entries (0: no tracking). `cpuid`: what
    /// KVM supports, where that is known; asking takes it an instruction that traps for each entry where
    /// it runs in a VM itself.
    ///
    /// # Errors
    /// See [`CreateVmError`].
    pub(crate) fn create(
        kvm: &Kvm,
        caps: Caps,
        ring_entries: u32,
        cpuid: Option<&CpuId>,
    ) -> Result<Self, CreateVmError> {
        let remedy = "Check the kernel log (dmesg) for what KVM says, and the memory that is left";
        let create = || loop {
            match kvm.create_vm() {
                // A signal that cannot be blocked, SIGSTOP among them, ends the call as any other does.
                Err(e) if e.errno() == libc::EINTR => {}
                result => {
                    return result.map_err(|e| io::Error::from_raw_os_error(e.errno()));
                }
            }
        };
        let parked = descriptors::open_parked(create).map_err(|source| CreateVmError::Kvm {
            what: "KVM_CREATE_VM",
            source,
            remedy,
        })?;
        // SAFETY: `parked` is a copy of a VM descriptor of this very `kvm`, owned by nobody else.
        let fd = unsafe { kvm.create_vmfd_from_rawfd(parked.into_raw_fd()) }
            .map_err(failed("KVM_GET_VCPU_MMAP_SIZE", remedy))?;
        let cpuid = match cpuid {
            Some(cpuid) => cpuid.clone(),
            None => kvm
                .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
                .map_err(failed("KVM_GET_SUPPORTED_CPUID", remedy))?,
        };
        let vm = Self {
            fd,
            caps,
            cpuid,
            ring_entries,
        };
        if ring_entries > 0 {
            vm.enable_dirty_rings()?;
        }
        vm.spare_pauses();
        Ok(vm)
    }

    /// Has the guest stay where it executes many `pause` one after the other in ring 0, as the stub does that waits for
    /// the answer to a call. KVM has such loops leave the guest (pause-loop exiting, pause filter), for another vCPU
    /// of the VM that may hold what is waited for: here that is a host thread, for which the exit is only time. Loops of
    /// the program's spin as they do natively. Where KVM does not offer it, calls may take longer, and that is all. KVM
    /// takes it only before there are vCPUs.
    fn spare_pauses(&self) {
        let mut cap = kvm_enable_cap {
            cap: kb::KVM_CAP_X86_DISABLE_EXITS,
            ..Default::default()
        };
        cap.args[0] = u64::from(self.caps.spared_exits & kb::KVM_X86_DISABLE_EXITS_PAUSE);
        if cap.args[0] != 0 {
            // What is refused costs time only.
            let _ = self.fd.enable_cap(&cap);
        }
    }

    fn enable_dirty_rings(&self) -> Result<(), CreateVmError> {
        let max = self.caps.max_ring_bytes / ENTRY_BYTES;
        if max == 0 {
            return Err(CreateVmError::NoDirtyRing);
        }
        if self.ring_entries > max {
            return Err(CreateVmError::RingTooLarge {
                asked: self.ring_entries,
                max,
            });
        }
        let mut cap = kvm_enable_cap {
            cap: kb::KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
            ..Default::default()
        };
        cap.args[0] = u64::from(self.ring_entries * ENTRY_BYTES);
        self.fd.enable_cap(&cap).map_err(|e| match e.errno() {
            libc::EINVAL if self.ring_entries < ENOUGH_ENTRIES => CreateVmError::RingTooSmall {
                asked: self.ring_entries,
            },
            _ => failed(
                "enabling the dirty ring",
                "Try another --buffer or --track none",
            )(e),
        })
    }

    /// What this VM's KVM offers.
    pub(crate) fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The CPUID that every vCPU is given: all that KVM supports here.
    pub(crate) fn cpuid(&self) -> &CpuId {
        &self.cpuid
    }

    /// Adds memory slot `slot`: `size` bytes of host memory at `hva`, seen by the guest at `gpa`.
    ///
    /// `log_writes` puts the slot under dirty logging, if the VM has dirty rings.
    ///
    /// # Safety
    /// The caller owns the relation for good: nothing else may give the guest page-table entries
    /// into `[gpa, gpa + size)` for host memory that the guest must not reach.
    ///
    /// # Errors
    /// What KVM_SET_USER_MEMORY_REGION says.
    pub(crate) unsafe fn add_slot(
        &self,
        slot: u32,
        gpa: GuestAddress,
        hva: u64,
        size: u64,
        log_writes: bool,
    ) -> io::Result<()> {
        let flags = if log_writes && self.ring_entries > 0 {
            kb::KVM_MEM_LOG_DIRTY_PAGES
        } else {
            0
        };
        // SAFETY: as for this function.
        unsafe { self.set_slot(slot, gpa, hva, size, flags) }
    }

    /// Makes memory slot `slot` what KVM_SET_USER_MEMORY_REGION says; a size of 0 removes it.
    ///
    /// # Safety
    /// As for [`Vm::add_slot`].
    ///
    /// # Errors
    /// As for [`Vm::add_slot`].
    pub(super) unsafe fn set_slot(
        &self,
        slot: u32,
        gpa: GuestAddress,
        hva: u64,
        size: u64,
        flags: u32,
    ) -> io::Result<()> {
        let region = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: gpa.raw_value(),
            memory_size: size,
            userspace_addr: hva,
        };
        // SAFETY: KVM checks the range itself; what the guest can reach through it is decided by
        // its page tables, for which the caller answers.
        unsafe { self.fd.set_user_memory_region(region) }
            .map_err(|e| io::Error::from_raw_os_error(e.errno()))
    }

    /// Re-arms the pages that were taken out of dirty rings since the last call, `taken` of them; whether it is certain
    /// that all of them are armed.
    ///
    /// Linux from 6.16 on stops for a signal, halfway or before the first page, and without saying so
    /// (virt/kvm/dirty_ring.c, kvm_dirty_ring_reset). What it has not come to stays in the ring, and a ring that is full
    /// of such pages has none to take, so nobody would ask again. And some dozens that it has come to are forgotten: they
    /// stay writable, unseen. So signals wait; but nothing keeps a process from being stopped.
    ///
    /// # Errors
    /// What KVM_RESET_DIRTY_RINGS says, but for EINTR.
    pub(crate) fn reset_dirty_rings(&self, taken: u32) -> io::Result<bool> {
        let mask = signals::set_mask(u64::MAX);
        let (mut done, mut calls) = (0u32, 0);
        let outcome = loop {
            if done >= taken || calls == MOST_RESETS {
                break Ok(calls <= 1);
            }
            calls += 1;
            // SAFETY: the request takes no argument and touches no memory of ours.
            let pages = unsafe { libc::ioctl(self.fd.as_raw_fd(), KVM_RESET_DIRTY_RINGS, 0) };
            match u32::try_from(pages).map_err(|_| io::Error::last_os_error()) {
                Ok(pages) => done = done.saturating_add(pages),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        signals::set_mask(mask);
        outcome
    }

    /// Makes vCPU `id`, its descriptor out of the program's way, and its dirty ring if tracked.
    ///
    /// # Errors
    /// What KVM_CREATE_VCPU or the mapping of the ring says.
    pub(crate) fn create_vcpu(&self, id: u32) -> io::Result<(VcpuFd, Option<DirtyRing>)> {
        let errno = |e: kvm_ioctls::Error| io::Error::from_raw_os_error(e.errno());
        let parked = descriptors::open_parked(|| self.fd.create_vcpu(id.into()).map_err(errno))?;
        // SAFETY: `parked` is a copy of a vCPU descriptor of this very VM, owned by nobody else.
        let fd = unsafe { self.fd.create_vcpu_from_rawfd(parked.into_raw_fd()) }.map_err(errno)?;
        if self.ring_entries == 0 {
            return Ok((fd, None));
        }
        // SAFETY: the descriptor stays open for as long as `fd`, which outlives the borrow.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) };
        let ring = DirtyRing::map(borrowed, self.ring_entries)?;
        Ok((fd, Some(ring)))
    }
}
