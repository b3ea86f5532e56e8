//! Which signals interrupt a KVM_RUN that another thread waits for.
//!
//! The runner has all signals blocked but those of its own faults; while it is in KVM_RUN, one more is not, by which it is
//! called out of it. The kernel takes this mask for KVM_RUN only (KVM_SET_SIGNAL_MASK, section 4.17 of
//! Documentation/virt/kvm/api.rst), so that the signal is never delivered and never ignored, whatever the program does
//! with it: blocked before and after, it stays pending until the runner takes it. One that was sent to the process, and
//! came here only because the runner was the one not to block it, goes on to a thread of the program when KVM_RUN
//! returns and blocks it again.

use std::io;
use std::os::fd::AsRawFd;

use super::vcpu::Vcpu;

/// `_IOW(KVMIO, 0x8b, struct kvm_signal_mask)` of linux/kvm.h.
const KVM_SET_SIGNAL_MASK: libc::Ioctl = 0x4004_ae8b;

/// struct kvm_signal_mask with the set that follows it.
#[repr(C, packed)]
struct SignalMask {
    len: u32,
    set: u64,
}

impl Vcpu {
    /// Blocks the signals in `blocked` during KVM_RUN; None: those that its thread blocks. The vCPU is not running.
    ///
    /// # Errors
    /// What KVM_SET_SIGNAL_MASK says.
    pub(crate) fn set_signal_mask(&self, blocked: Option<u64>) -> io::Result<()> {
        let mask = blocked.map(|set| SignalMask { len: 8, set });
        let argument = mask.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the structure is readable for the call, with as many bytes of set as it says.
        match unsafe { libc::ioctl(self.as_raw_fd(), KVM_SET_SIGNAL_MASK, argument) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
