//! Settles whether the guest reads the host's time-stamp counter.
//!
//! The vDSO computes the time from it, inside as outside. Where KVM virtualises the counter, a new
//! vCPU starts at zero, and the launcher sets its offset to the host's; where there is no such
//! attribute, either nothing is virtualised and all is well, or the time is wrong inside. `doctor`
//! warns of that.

use std::io;

use kvm_bindings::kvm_regs;

use super::run_guest;
use crate::host::processor;
use crate::kvm::vcpu::Vcpu;

/// The guest.
const GUEST: [u8; 11] = [
    0x0f, 0x31, // rdtsc
    0x48, 0xc1, 0xe2, 0x20, // shl rdx, 32
    0x48, 0x09, 0xd0, // or rax, rdx
    0x0f, 0x05, // syscall
];

/// The counters of two processors may differ by less than a move between them takes.
const TRIES: u32 = 3;

/// Whose counter the guest reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuestTsc {
    /// The host's.
    Host,
    /// One of its own.
    Other,
}

/// Finds out: the guest's reading lies between two of the host's, or it does not.
///
/// # Errors
/// As [`run_guest`].
pub(crate) fn find(vcpu: &mut Vcpu) -> io::Result<GuestTsc> {
    for _ in 0..TRIES {
        let before = processor::tsc();
        run_guest(vcpu, &GUEST, kvm_regs::default())?;
        let guest = vcpu.regs().rax;
        if (before..=processor::tsc()).contains(&guest) {
            return Ok(GuestTsc::Host);
        }
    }
    Ok(GuestTsc::Other)
}
