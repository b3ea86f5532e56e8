//! The sole user of `/dev/kvm`: capabilities, the VM, its vCPUs and their dirty rings.

pub(crate) mod caps;
pub(crate) mod dirty_ring;
pub(crate) mod exits;
mod first_run;
mod signal_mask;
pub(crate) mod spare_slot;
pub(crate) mod stats;
pub(crate) mod tsc;
pub(crate) mod vcpu;
pub(crate) mod vm;
