//! The data path, from the dirty rings to shared memory, in reading order.

pub(crate) mod harvester;
mod ticks;
mod harvest;
mod pace;
mod vcpu_log;
mod settle;
mod kernel_writes;
mod book;
pub(crate) mod census;

/// What ps(1) calls the harvester's thread; the kernel keeps 15 bytes.
pub(crate) const THREAD_NAME: &str = "vmmload-harvest";
