//! unshare and setns: some namespaces are open only to a process of one thread, which a program of one
//! thread is, but for the harvester.

use super::{Outcome, errno};
use crate::host::descriptors;
use crate::host::relay::{self, Call};
use crate::process::lifecycle;
use crate::process::thread::GuestThread;
use crate::tracking::harvester::Tracker;

/// linux/sched.h; libc has it for other systems only.
const CLONE_NEWTIME: u64 = 0x80;

/// What unshare(2) gives to a process of one thread only.
const ALONE_TO_UNSHARE: u64 =
    (libc::CLONE_NEWUSER | libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_VM) as u64;

/// What setns(2) gives to a process of one thread only, or to one that shares its directory with none.
const ALONE_TO_ENTER: u64 = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64 | CLONE_NEWTIME;

/// Namespaces of children to come: a process that has other ones itself may not start threads, the
/// harvester among them. None of them asks for a process of one thread.
const OF_UNSHARED_CHILDREN: u64 = libc::CLONE_NEWPID as u64 | CLONE_NEWTIME;
const OF_ENTERED_CHILDREN: u64 = libc::CLONE_NEWPID as u64;

/// ioctl(2) that tells the kind of a namespace (linux/nsfs.h).
const NS_GET_NSTYPE: u64 = 0xb703;

/// unshare(2).
pub(super) fn unshare(thread: &mut GuestThread, call: &Call) -> Outcome {
    let flags = call.args[0];
    if flags & ALONE_TO_UNSHARE == 0 || !thread.process.has_one_thread() {
        return thread.relay(call);
    }
    in_two_steps(thread, call, 0, flags, OF_UNSHARED_CHILDREN)
}

/// setns(2).
pub(super) fn setns(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [fd, wanted, ..] = call.args;
    if descriptors::is_ours(fd) {
        return Outcome::Return(errno(libc::EBADF));
    }
    let kind = match wanted as u32 {
        0 => kind_of(fd),
        wanted => u64::from(wanted),
    };
    if kind & ALONE_TO_ENTER == 0 || !thread.process.has_one_thread() {
        return thread.relay(call);
    }
    in_two_steps(thread, call, 1, wanted, OF_ENTERED_CHILDREN)
}

/// Makes `call`, whose argument `index` is `flags`, without the harvester: first for all namespaces but
/// `last`, then for those. Only a limit of namespaces can make the second fail where the first succeeds.
fn in_two_steps(thread: &GuestThread, call: &Call, index: usize, flags: u64, last: u64) -> Outcome {
    let with = |flags| {
        let mut call = *call;
        call.args[index] = flags;
        call
    };
    let process = thread.process;
    let first = with(flags & !last);
    let answer = Tracker::without_thread(process, || thread.relay(&first));
    match answer {
        Ok(Outcome::Return(0)) if flags & last != 0 => thread.relay(&with(flags & last)),
        Ok(outcome) => outcome,
        Err(e) => lifecycle::internal_error(
            process,
            &format!("the harvester's thread cannot be started again: {e}"),
        ),
    }
}

/// What kind of namespace `fd` is, as CLONE_NEW*; 0 for what is none.
fn kind_of(fd: u64) -> u64 {
    // SAFETY: the call takes a number and touches no memory.
    let kind = unsafe { relay::raw(libc::SYS_ioctl, [fd, NS_GET_NSTYPE, 0, 0, 0, 0]) };
    relay::check(kind).unwrap_or(0)
}
