//! Calls that could reach the launcher's own descriptors, or show the moments in which the limit of
//! open files is raised for them.

use super::{Outcome, check, errno};
use crate::host::descriptors;
use crate::host::relay::{self, Call};
use crate::process::thread::GuestThread;

/// close(2), dup(2), fcntl(2): ours are not open, as far as the program can tell.
pub(super) fn one(thread: &mut GuestThread, call: &Call) -> Outcome {
    if descriptors::is_ours(call.args[0]) {
        return Outcome::Return(errno(libc::EBADF));
    }
    thread.relay(call)
}

/// dup2(2) and dup3(2): a number of ours is beyond the program's limit, which is EBADF.
pub(super) fn onto(thread: &mut GuestThread, call: &Call) -> Outcome {
    if descriptors::is_ours(call.args[0]) || descriptors::is_ours(call.args[1]) {
        return Outcome::Return(errno(libc::EBADF));
    }
    thread.relay(call)
}

/// close_range(2): around ours.
pub(super) fn close_range(thread: &mut GuestThread, call: &Call) -> Outcome {
    let (first, last) = (call.args[0] as u32, call.args[1] as u32);
    if first > last {
        return thread.relay(call);
    }
    let ours = descriptors::ours_between(first, last);
    if ours.is_empty() {
        return thread.relay(call);
    }
    let mut start = first;
    for fd in ours {
        let fd = fd as u32;
        if start < fd
            && let Err(e) = close_part(start, fd - 1, call.args[2])
        {
            return Outcome::Return(errno(e));
        }
        start = fd + 1;
    }
    match start <= last {
        true => Outcome::from_result(close_part(start, last, call.args[2])),
        false => Outcome::Return(0),
    }
}

fn close_part(first: u32, last: u32, flags: u64) -> Result<u64, i32> {
    let args = [first.into(), last.into(), flags, 0, 0, 0];
    // SAFETY: the range holds no descriptor of ours.
    check(unsafe { relay::raw(libc::SYS_close_range, args) })
}

/// getrlimit(2), setrlimit(2), prlimit(2): never while the limit of open files is raised.
pub(super) fn limit(thread: &mut GuestThread, call: &Call) -> Outcome {
    let resource = match call.nr as libc::c_long {
        libc::SYS_prlimit64 => call.args[1],
        _ => call.args[0],
    };
    if resource as u32 != libc::RLIMIT_NOFILE {
        return thread.relay(call);
    }
    descriptors::with_true_limit(|| thread.relay(call))
}
