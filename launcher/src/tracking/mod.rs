//! The data path, from the dirty rings to shared memory.
//!
//! In reading order: `harvester` has the lock and the thread, `ticks` says when it looks, `harvest` does what is to
//! be done; `vcpu_log` and `kernel_log` are where stores and the kernel's writes come from, `settle` and
//! `kernel_writes` make sense of them, `book` makes events, `census` adds up by mapping, and `marks` by name; `pace` and `back_off` see to
//! it that the program keeps most of its time.

mod back_off;
mod book;
pub(crate) mod census;
mod harvest;
pub(crate) mod harvester;
pub(crate) mod kernel_log;
mod kernel_writes;
pub(crate) mod marks;
mod pace;
mod settle;
mod ticks;
mod vcpu_log;

/// What ps(1) calls the harvester's thread; the kernel keeps 15 bytes.
pub(crate) const THREAD_NAME: &str = "vmmload-harvest";
