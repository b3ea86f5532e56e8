//! The data path, from the dirty rings to shared memory, in reading order.

mod back_off;
mod book;
pub(crate) mod census;
mod harvest;
pub(crate) mod harvester;
pub(crate) mod kernel_log;
mod kernel_writes;
mod pace;
mod settle;
mod ticks;
mod vcpu_log;

/// What ps(1) calls the harvester's thread; the kernel keeps 15 bytes.
pub(crate) const THREAD_NAME: &str = "vmmload-harvest";
