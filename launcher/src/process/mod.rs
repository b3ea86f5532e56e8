//! The control path, from execve to exit, in reading order.

mod call_mode;
pub(crate) mod call_sites;
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
mod runner;
pub(crate) mod script;
pub(crate) mod seat;
pub(crate) mod seccomp;
pub(crate) mod sharing;
pub(crate) mod signals;
mod spin_budget;
pub(crate) mod stack;
pub(crate) mod state;
pub(crate) mod thread;
pub(crate) mod view;
pub(crate) mod view_counts;

/// What ps(1) calls a runner's thread; the kernel keeps 15 bytes.
pub(crate) const RUNNER_NAME: &str = "vmmload-runner";

/// What the threads of a wrapped process are called that are not the program's: the launcher's own, and one of KVM's
/// (virt/kvm/kvm_main.c: kvm_vm_create_worker_thread), as /proc/PID/task/TID/comm cuts them.
pub(crate) const HELPERS: [&str; 3] =
    [crate::tracking::THREAD_NAME, RUNNER_NAME, "kvm-nx-lpage-re"];
