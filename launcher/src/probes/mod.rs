//! Facts in which KVM implementations differ, each found by what KVM does and never by its name.
//!
//! Every probe has a guest of its own, a few instructions that end in `syscall`, run in ring 3 of a
//! vCPU. `run` makes those that it depends on: how system calls arrive, what arming costs, and for reads how
//! to arm. `doctor` makes all.

pub(crate) mod exit_cost;
mod pages;
pub(crate) mod paging;
pub(crate) mod port_exit;
pub(crate) mod rearm;
pub(crate) mod syscall_entry;
pub(crate) mod tsc;
pub(crate) mod write_log;

use std::io;

use kvm_bindings::kvm_regs;

use crate::kvm::exits::Exit;
use crate::kvm::vcpu::Vcpu;

/// Runs a probe's guest from its first instruction, with these registers, to its `syscall`.
fn run_guest(vcpu: &mut Vcpu, code: &[u8], regs: kvm_regs) -> io::Result<()> {
    start_guest(vcpu, code, regs)?;
    loop {
        match vcpu.run() {
            Exit::Syscall => return Ok(()),
            Exit::Interrupted => {}
            other => return Err(unexpected(&other)),
        }
    }
}

/// Puts the vCPU at the first instruction of a probe's guest.
fn start_guest(vcpu: &mut Vcpu, code: &[u8], regs: kvm_regs) -> io::Result<()> {
    let rip = vcpu.machine().place_probe(code);
    vcpu.start(kvm_regs { rip, ..regs }, (0, 0), None)
}

fn unexpected(exit: &impl std::fmt::Debug) -> io::Error {
    io::Error::other(format!("a guest's system call ended in {exit:?}"))
}
