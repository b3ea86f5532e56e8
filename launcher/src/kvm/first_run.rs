//! A VM's first KVM_RUN, where it does no harm.
//!
//! Since Linux 6.13 it starts a thread of KVM's, in the process that runs the vCPU
//! (kvm_nx_lpage_recovery_start). That thread would stay for good, and a process with a second thread
//! may not enter a user namespace: unshare(2) and setns(2) would fail for every program. So another
//! process runs the vCPU first, one that shares the memory as KVM asks, and takes the thread along when
//! it ends. What the thread would do, once an hour, is to put huge pages together again that KVM has
//! split on processors which need that for code.

use std::io;
use std::os::fd::RawFd;
use std::os::raw::{c_int, c_void};

use crate::host::{processes, relay, signals};

/// ioctl KVM_RUN.
const KVM_RUN: u64 = 0xae80;

/// Enough for two system calls.
const STACK_WORDS: usize = 1024;

/// Runs `vcpu` in another process, which ends at once. Its `immediate_exit` is set.
///
/// Where no process can be had, KVM's thread will be this process's: nothing else depends on it.
///
/// # Errors
/// EAGAIN: this user has as many processes and threads as may be (ulimit -u). KVM's thread would not start, either, and
/// KVM_RUN would fail with that number for as long as it is tried.
pub(super) fn in_another_process(vcpu: RawFd) -> io::Result<()> {
    let mut stack = vec![0u128; STACK_WORDS];
    // No signal of the program's is for that process.
    let mask = signals::set_mask(u64::MAX);
    let shared = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::CLONE_FS;
    let done = if processes::have_children() {
        // Those of an earlier image of this process. It counts among them, in getrusage(2).
        run_in_child(vcpu, shared, &mut stack)
    } else {
        signals::with_forgotten_children(|| run_in_child(vcpu, shared | libc::SIGCHLD, &mut stack))
    };
    signals::set_mask(mask);
    match done {
        Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => Err(e),
        _ => Ok(()),
    }
}

fn run_in_child(vcpu: RawFd, flags: c_int, stack: &mut [u128]) -> io::Result<()> {
    // SAFETY: `run_and_end` makes two system calls on a stack of its own, which lives until it has
    // ended, since CLONE_VFORK has this thread wait. It touches no memory and no thread-local state.
    unsafe {
        let top = stack.as_mut_ptr_range().end.cast();
        let child = libc::clone(run_and_end, top, flags, vcpu as usize as *mut c_void);
        if child > 0 {
            // Fails once it is gone, if it is forgotten.
            let args = [child as u64, 0, libc::__WALL as u64, 0, 0, 0];
            relay::raw(libc::SYS_wait4, args);
        }
        match child {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

extern "C" fn run_and_end(vcpu: *mut c_void) -> c_int {
    // SAFETY: the vCPU returns from KVM_RUN at once, and the process ends.
    unsafe {
        relay::raw(libc::SYS_ioctl, [vcpu as u64, KVM_RUN, 0, 0, 0, 0]);
        // All threads: libc would only end this one.
        relay::raw(libc::SYS_exit_group, [0; 6]);
    }
    0
}
