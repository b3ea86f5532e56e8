//! The control path, from execve to exit, in reading order.

pub(crate) mod command;
pub(crate) mod executable;
pub(crate) mod faults;
pub(crate) mod fork;
pub(crate) mod frame;
pub(crate) mod handover;
pub(crate) mod image;
pub(crate) mod lifecycle;
pub(crate) mod mappings;
pub(crate) mod memory;
mod names;
mod next_run;
pub(crate) mod overdue;
mod packing;
pub(crate) mod resident;
pub(crate) mod script;
pub(crate) mod seccomp;
pub(crate) mod sharing;
pub(crate) mod signals;
pub(crate) mod stack;
pub(crate) mod state;
pub(crate) mod thread;
pub(crate) mod view;
pub(crate) mod view_counts;
