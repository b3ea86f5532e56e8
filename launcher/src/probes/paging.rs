//! Settles whether the processor walks the guest's page tables itself (nested paging) or KVM does it
//! and keeps shadow tables.
//!
//! With nested paging the processor sets the accessed bit in the guest's own entry whenever it has
//! to walk to it; after user space has cleared the bit and the cached translations are gone, the
//! next load sets it again. With shadow paging the processor walks KVM's tables, whose entries
//! outlive a change of CR3: the guest's entry stays as it is until KVM drops the shadow of it.
//! `doctor` shows the outcome: with shadow paging every first touch of a page costs more.

use std::io;

use super::pages::Pages;
use crate::kvm::vcpu::Vcpu;

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
/// As [`super::run_guest`], and when some pages say this and some that.
pub(crate) fn find(vcpu: &mut Vcpu) -> io::Result<Paging> {
    let pages = Pages::new(vcpu.machine(), PAGES)?;
    pages.load_all(vcpu)?;
    pages.take_accessed();
    vcpu.flush_translations()?;
    pages.load_all(vcpu)?;
    match pages.take_accessed() {
        PAGES => Ok(Paging::Nested),
        0 => Ok(Paging::Shadow),
        some => Err(io::Error::other(format!(
            "of {PAGES} pages that were read again, {some} have their accessed bit set"
        ))),
    }
}
