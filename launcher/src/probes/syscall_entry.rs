//! Settles in which ring a guest's `syscall` reaches LSTAR.
//!
//! The manual says ring 0, and KVM on virtualisation hardware leaves it to the processor. A KVM in
//! software runs all of the guest in ring 3 of the host and may arrive with the program's rights.
//! `run` uses the outcome to choose how a call returns: `sysretq` exists in ring 0 only.

use std::io;

use kvm_bindings::kvm_regs;

use super::run_guest;
use crate::kvm::vcpu::Vcpu;

/// The guest.
const GUEST: [u8; 2] = [0x0f, 0x05]; // syscall

/// In which ring the system-call stub runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyscallEntry {
    /// As the manual says: the way back is `sysretq`.
    Ring0,
    /// The stub runs with the program's rights: the way back is to set the registers.
    Ring3,
}

/// Finds out.
///
/// # Errors
/// When the guest does not end in the stub: this KVM cannot run programs.
pub(crate) fn find(vcpu: &mut Vcpu) -> io::Result<SyscallEntry> {
    run_guest(vcpu, &GUEST, kvm_regs::default())?;
    Ok(match vcpu.sregs()?.cs.selector & 3 {
        0 => SyscallEntry::Ring0,
        _ => SyscallEntry::Ring3,
    })
}
