//! Settles what an exit to user space costs: the price of every system call of the program.
//!
//! It is about a microsecond where the processor leaves the guest by itself, and many times that
//! where KVM is software, or where another hypervisor below has to be asked. `doctor` shows the outcome.

use std::io;

use kvm_bindings::kvm_regs;

use super::run_guest;
use crate::host::clock;
use crate::kvm::vcpu::Vcpu;

/// The guest.
const GUEST: [u8; 2] = [0x0f, 0x05]; // syscall

/// Nanoseconds of an exit, with the setting of registers before it: the shorter of two, in a vCPU
/// that has run before and so has its pages.
///
/// # Errors
/// As [`run_guest`].
pub(crate) fn measure(vcpu: &mut Vcpu) -> io::Result<u64> {
    let mut shortest = u64::MAX;
    for _ in 0..2 {
        let start = clock::monotonic_ns();
        run_guest(vcpu, &GUEST, kvm_regs::default())?;
        shortest = shortest.min(clock::monotonic_ns() - start);
    }
    Ok(shortest)
}
