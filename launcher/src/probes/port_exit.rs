//! Settles where RIP is when an `out` has led to user space: at the instruction or behind it.
//!
//! Mainline KVM moves RIP at the next entry, a KVM that emulates the instruction has moved it
//! already. Nothing depends on it, since the launcher sets RIP itself at every entry; `doctor` shows
//! it, because who looks at registers in between wants to know.

use std::io;

use kvm_bindings::kvm_regs;

use super::{start_guest, unexpected};
use crate::guest::stub_page;
use crate::kvm::vcpu::{Raw, Vcpu};

/// The guest. The `out` is that of the stub which the call leads to.
const GUEST: [u8; 2] = [0x0f, 0x05]; // syscall

/// Where RIP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortExitRip {
    /// At the `out`.
    At,
    /// At the instruction after it.
    Behind,
}

/// Finds out.
///
/// # Errors
/// When the guest does not end in the stub.
pub(crate) fn find(vcpu: &mut Vcpu) -> io::Result<PortExitRip> {
    start_guest(vcpu, &GUEST, kvm_regs::default())?;
    loop {
        match vcpu.enter() {
            Raw::Port(_) => break,
            Raw::Interrupted => {}
            other => return Err(unexpected(&other)),
        }
    }
    let stub = vcpu.machine().window + stub_page::direct();
    match vcpu.regs().rip.wrapping_sub(stub) {
        0 => Ok(PortExitRip::At),
        2 => Ok(PortExitRip::Behind),
        _ => Err(io::Error::other("a guest's `out` came from elsewhere")),
    }
}
