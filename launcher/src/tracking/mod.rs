//! The data path, from the dirty rings to shared memory, in reading order.

pub(crate) mod harvester;
pub(crate) mod kernel_log;
pub(crate) mod pace;
pub(crate) mod settle;
pub(crate) mod vcpu_log;

/// What ps(1) calls the harvester's thread; the kernel keeps 15 bytes.
pub(crate) const THREAD_NAME: &str = "vmmload-harvest";
