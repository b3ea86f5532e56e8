//! Settles what makes accessed bits that user space has cleared appear again at the next access.
//!
//! The processor sets the bit when it walks the guest's table, and not while it keeps the translation:
//! with nested paging a flush of those is enough. With shadow paging it is KVM that walks the
//! guest's table, at a fault, and not while it has an entry of its own: those have to go.
//!
//! The cheaper effect is tried first. That is enough for either: a page whose bit appears again was
//! walked to again.

use std::io;

use super::pages::Pages;
use crate::kvm::vcpu::Vcpu;

const PAGES: u64 = 8;

/// What is to be done after accessed bits were cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rearm {
    /// Flush the processors' translations.
    Flush,
    /// Drop KVM's shadow tables. Every page that is touched after that costs a fault.
    Drop,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What is to be done.
    pub rearm: Rearm,
    /// Nanoseconds that the next access to a page takes then.
    pub access_ns: u64,
}

/// Finds out.
///
/// # Errors
/// As [`super::run_guest`], what changing a memory slot says, and when neither makes the bits appear again.
pub(crate) fn find(vcpu: &mut Vcpu) -> io::Result<Outcome> {
    let machine = vcpu.machine();
    let pages = Pages::new(machine, PAGES)?;
    pages.load_all(vcpu)?;
    pages.take_accessed();
    for rearm in [Rearm::Flush, Rearm::Drop] {
        machine.rearm_reads(rearm)?;
        let armed_ns = pages.load_all(vcpu)?;
        if pages.take_accessed() == PAGES {
            let again_ns = pages.load_all(vcpu)?;
            let access_ns = armed_ns.saturating_sub(again_ns) / PAGES;
            return Ok(Outcome { rearm, access_ns });
        }
    }
    Err(io::Error::other(
        "accessed bits that were cleared do not appear again, whether translations are flushed or \
         shadow tables dropped",
    ))
}
