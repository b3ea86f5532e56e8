//! unshare and setns, as far as the kernel makes them only for a process of one thread: the harvester's
//! ends before, and another takes over after the call.

use super::Outcome;
use super::threads::own_call;
use crate::host::descriptors;
use crate::host::relay::Call;
use crate::process::state::Role;
use crate::process::thread::GuestThread;
use crate::tracking::harvester::Tracker;

const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
const NEWPID: u64 = libc::CLONE_NEWPID as u64;
const NEWNS: u64 = libc::CLONE_NEWNS as u64;
/// linux/sched.h; libc does not name it.
const NEWTIME: u64 = 0x80;

/// What unshare(2) refuses to a process with several threads.
const ALONE: u64 = NEWUSER | (libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;

/// All that unshare(2) knows.
const KNOWN: u64 = ALONE
    | (libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SYSVSEM) as u64
    | (libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET | libc::CLONE_NEWCGROUP) as u64
    | NEWNS
    | NEWPID
    | NEWTIME;

/// ioctl NS_GET_NSTYPE: which namespace a descriptor is of.
const NS_GET_NSTYPE: u64 = 0xb703;

/// unshare(2).
pub(super) fn unshare(thread: &mut GuestThread, call: &Call) -> Outcome {
    let flags = call.args[0];
    if flags & ALONE == 0 {
        return thread.relay(call);
    }
    let both = NEWUSER | NEWPID;
    if flags & both != both || flags & !KNOWN != 0 {
        return alone(thread, || thread.relay(call));
    }
    // With a namespace of ids for its children a process can start no thread. So that one comes second.
    let with = |flags| Call {
        args: [flags, 0, 0, 0, 0, 0],
        ..*call
    };
    match alone(thread, || thread.relay(&with(NEWUSER))) {
        Outcome::Return(0) => thread.relay(&with(flags & !NEWUSER)),
        failed => failed,
    }
}

/// setns(2).
pub(super) fn setns(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [descriptor, asked, ..] = call.args;
    let is_ours = descriptors::is_ours(descriptor);
    let of_one = own_call(libc::SYS_ioctl, [descriptor, NS_GET_NSTYPE, 0, 0, 0, 0]);
    // The descriptor of a process names several, by what is asked for.
    let entered = of_one.unwrap_or(asked);
    if is_ours || entered & (NEWUSER | NEWNS | NEWTIME) == 0 {
        return thread.relay(call);
    }
    alone(thread, || thread.relay(call))
}

/// Makes a call while the program's last thread is the process's only one.
fn alone(thread: &GuestThread, call: impl FnOnce() -> Outcome) -> Outcome {
    let process = thread.process;
    thread.vcpu.stop();
    process.runners.end_idle();
    match process.role != Role::Sharer && process.is_last_thread() {
        true => Tracker::without_thread(process, call),
        // The program has others itself, or the harvester is another process's.
        false => call(),
    }
}
