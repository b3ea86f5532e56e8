//! Settles whether the processor walks the guest's page tables itself (nested paging) or KVM does it
//! and keeps shadow tables.
//!
//! With nested paging the processor sets the accessed bit in the guest's own entry whenever it has
//! to walk to it; after user space has cleared the bit and the cached translations are gone, the
//! next load sets it again. With shadow paging the processor walks KVM's tables, whose entries
//! outlive a change of CR3: the guest's entry stays as it is until KVM drops the shadow of it.
//! `doctor` shows the outcome: with shadow paging every first touch of a page costs more, and accessed
//! bits do not say what was read.

use std::io;

use kvm_bindings::kvm_regs;

use super::pages::{Pages, STRIDE_BYTES};
use super::run_guest;
use crate::kvm::vcpu::Vcpu;

/// The guest. rdi: the first page, rsi: bytes from one to the next, ebx: how many.
const GUEST: [u8; 11] = [
    0x8a, 0x07, // next: mov al, [rdi]
    0x48, 0x01, 0xf7, // add rdi, rsi
    0xff, 0xcb, // dec ebx
    0x75, 0xf7, // jnz next
    0x0f, 0x05, // syscall
];

const PAGES: u64 = 8;

/// Who walks the guest's page tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paging {
    /// The processor: EPT, NPT.
    Nested,
    /// KVM.
    Shadow,
}

/// Finds out.
///
/// # Errors
/// As [`run_guest`], and when some pages say this and some that.
pub(crate) fn find(vcpu: &mut Vcpu) -> io::Result<Paging> {
    let machine = vcpu.machine();
    let pages = Pages::new(machine, PAGES)?;
    let accessed = || {
        let set = |va: &u64| machine.tables.take_accessed(*va);
        pages.addresses().filter(set).count() as u64
    };
    load_all(vcpu, &pages)?;
    accessed();
    vcpu.flush_translations()?;
    load_all(vcpu, &pages)?;
    match accessed() {
        PAGES => Ok(Paging::Nested),
        0 => Ok(Paging::Shadow),
        some => Err(io::Error::other(format!(
            "of {PAGES} pages that were read again, {some} have their accessed bit set"
        ))),
    }
}

fn load_all(vcpu: &mut Vcpu, pages: &Pages) -> io::Result<()> {
    let regs = kvm_regs {
        rdi: pages.start(),
        rsi: STRIDE_BYTES,
        rbx: pages.count(),
        ..Default::default()
    };
    run_guest(vcpu, &GUEST, regs)
}
