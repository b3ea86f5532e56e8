//! Processes, threads and their attributes.

use super::effect::Writes;
use super::sizes::RUSAGE;

// syslog(2)
const READ: u64 = 2;
const READ_ALL: u64 = 3;
const READ_CLEAR: u64 = 4;

/// linux/capability.h: the first version, of 32 capabilities.
const CAPABILITY_VERSION_1: u32 = 0x1998_0330;

/// Whether `flags` of clone(2) has `flag`.
fn has(flags: u64, flag: i32) -> bool {
    flags & flag as u32 as u64 != 0
}

/// clone(2).
pub(super) fn clone(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        // Where it stores the parent's copy of the id, it would store a pidfd.
        ids(w, w.arg(0), [w.arg(2), w.arg(3), w.arg(2)]);
    }
}

/// clone3(2).
pub(super) fn clone3(w: &mut Writes<'_>) {
    if w.returned().is_some()
        && let Some([flags, pidfd, child, parent]) = w.read::<[u64; 4]>(w.arg(0))
    {
        ids(w, flags, [parent, child, pidfd]);
    }
}

/// The new thread's id where the flags ask for it: for its parent, itself, and as a descriptor.
fn ids(w: &mut Writes<'_>, flags: u64, [parent, child, pidfd]: [u64; 3]) {
    if has(flags, libc::CLONE_PARENT_SETTID) {
        w.span(parent, 4);
    }
    // Otherwise in the child's memory.
    if has(flags, libc::CLONE_CHILD_SETTID) && has(flags, libc::CLONE_VM) {
        w.span(child, 4);
    }
    if has(flags, libc::CLONE_PIDFD) {
        w.span(pidfd, 4);
    }
}

/// wait4(2): of a child that was found.
pub(super) fn wait4(w: &mut Writes<'_>) {
    if w.returned().is_some_and(|pid| pid > 0) {
        w.span(w.arg(1), 4);
        w.span(w.arg(3), RUSAGE.into());
    }
}

/// waitid(2): six numbers of a siginfo, zeros if no child was found, even if there is none.
pub(super) fn waitid(w: &mut Writes<'_>) {
    let [info, usage] = [w.arg(2), w.arg(4)];
    if w.result != Err(libc::EFAULT) && info != 0 {
        w.span(info, 12);
        w.span(info.wrapping_add(16), 12);
    }
    let found = match info {
        0 => w.arg(3) & libc::WNOHANG as u64 == 0,
        _ => w.read(info) == Some(libc::SIGCHLD),
    };
    if w.returned().is_some() && found {
        w.span(usage, RUSAGE.into());
    }
}

/// getgroups(2), unless it only counts.
pub(super) fn getgroups(w: &mut Writes<'_>) {
    if let Some(count) = w.returned()
        && w.arg(0) as u32 != 0
    {
        w.span(w.arg(1), 4 * count);
    }
}

/// capget(2): one set of three words, or two; and the version, where the one given was wrong.
pub(super) fn capget(w: &mut Writes<'_>) {
    let [header, data] = [w.arg(0), w.arg(1)];
    match (w.result, data) {
        // Asked in this way for the version alone.
        (Ok(_), 0) | (Err(libc::EINVAL), _) => w.span(header, 4),
        (Ok(_), _) if w.read(header) == Some(CAPABILITY_VERSION_1) => w.span(data, 12),
        (Ok(_), _) => w.span(data, 24),
        (Err(_), _) => {}
    }
}

/// syslog(2), as far as it reads.
pub(super) fn syslog(w: &mut Writes<'_>) {
    if let Some(bytes) = w.returned()
        && matches!(w.arg(0), READ | READ_ALL | READ_CLEAR)
    {
        w.span(w.arg(1), bytes);
    }
}

/// sched_getattr(2): as much as it says itself. Newer kernels put zeros behind it, up to what was asked for.
pub(super) fn sched_getattr(w: &mut Writes<'_>) {
    let [attributes, asked] = [w.arg(1), w.arg(2)];
    if w.returned().is_some() {
        let size = w.read::<u32>(attributes).unwrap_or(0).into();
        let last: Option<u8> = w.read(attributes.wrapping_add(asked).wrapping_sub(1));
        let is_padded = asked > size && last == Some(0);
        w.span(attributes, if is_padded { asked } else { asked.min(size) });
    }
}

/// sched_setattr(2) and perf_event_open(2): of attributes that are too long, the length the kernel knows.
pub(super) fn refused_size(w: &mut Writes<'_>) {
    let [attributes, size_at] = match w.call.nr as u32 as libc::c_long {
        libc::SYS_sched_setattr => [w.arg(1), 0],
        _ => [w.arg(0), 4],
    };
    if w.result == Err(libc::E2BIG) {
        w.span(attributes.wrapping_add(size_at), 4);
    }
}
