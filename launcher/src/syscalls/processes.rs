//! fork, vfork, and clone and clone3 for processes.

use zerocopy::FromZeros;

use super::threads::{has, own_call};
use super::{Outcome, errno, unsupported};
use crate::guest::layout::USER_END;
use crate::host::processes::CloneArgs;
use crate::host::relay::Call;
use crate::host::signals as host;
use crate::host::{descriptors, guest_memory};
use crate::process::fork::{self, Child};
use crate::process::sharing;
use crate::process::state::Role;
use crate::process::thread::{Birth, GuestThread, at_limit};

/// linux/sched.h; of clone3(2) only.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// What is done here, beside or instead of the kernel.
const OURS: u64 = (libc::CLONE_VFORK
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_SETTID
    | libc::CLONE_CHILD_CLEARTID
    | libc::CLONE_PIDFD) as u64
    | CLONE_CLEAR_SIGHAND;

/// fork(2).
pub(super) fn fork(thread: &mut GuestThread, call: &Call) -> Outcome {
    create(thread, call, &with_flags(0))
}

/// vfork(2).
pub(super) fn vfork(thread: &mut GuestThread, call: &Call) -> Outcome {
    create(
        thread,
        call,
        &with_flags((libc::CLONE_VFORK | libc::CLONE_VM) as u64),
    )
}

fn with_flags(flags: u64) -> CloneArgs {
    CloneArgs {
        flags,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::new_zeroed()
    }
}

/// A new process, with `args.stack` the initial stack pointer.
pub(super) fn create(thread: &mut GuestThread, call: &Call, args: &CloneArgs) -> Outcome {
    if has(args.flags, libc::CLONE_SIGHAND) && !has(args.flags, libc::CLONE_VM) {
        return Outcome::Return(errno(libc::EINVAL));
    }
    let waits = has(args.flags, libc::CLONE_VFORK);
    if has(args.flags, libc::CLONE_VM) && !waits && thread.process.role == Role::Sharer {
        return unsupported::shares_memory(call);
    }
    if has(args.flags, libc::CLONE_SIGHAND) && !has(args.flags, libc::CLONE_VM) {
        return Outcome::Return(errno(libc::EINVAL));
    }
    if has(args.flags, libc::CLONE_FILES) && !has(args.flags, libc::CLONE_VM) {
        return unsupported::shared_descriptors(call);
    }
    if has(args.flags, libc::CLONE_SETTLS) && args.tls >= USER_END {
        return Outcome::Return(errno(libc::EPERM));
    }
    // Where the memory is shared, the kernel sees the flag itself.
    if has(args.flags, libc::CLONE_PIDFD)
        && !has(args.flags, libc::CLONE_VM)
        && let Err(e) = check_pidfd(args)
    {
        return Outcome::Return(errno(e));
    }
    host::set_mask(u64::MAX);
    // As in the kernel: a signal that came first is the parent's, and the call is made again.
    if thread.pending.is_noted() {
        return Outcome::NotBegun;
    }
    let outcome = match has(args.flags, libc::CLONE_VM) {
        true => share_now(thread, args),
        false => fork_now(thread, args),
    };
    thread.set_signal_mask(thread.signals.mask);
    Outcome::from_result(outcome)
}

/// A child that shares the memory.
fn share_now(thread: &mut GuestThread, args: &CloneArgs) -> Result<u64, i32> {
    let clear_handlers = args.flags & CLONE_CLEAR_SIGHAND != 0;
    if clear_handlers && has(args.flags, libc::CLONE_SIGHAND) {
        return Err(libc::EINVAL);
    }
    let child = sharing::Child {
        birth: birth(thread, args)?,
        args: CloneArgs {
            // The others are the kernel's: its ids and addresses are the program's.
            flags: args.flags & !(CLONE_CLEAR_SIGHAND | libc::CLONE_SETTLS as u64),
            tls: 0,
            ..*args
        },
        clear_handlers,
    };
    let pid = match has(args.flags, libc::CLONE_VFORK) {
        true => sharing::run_child(thread, &child),
        false => sharing::start_child(thread.process, child),
    };
    pid.map(|pid| pid as u64)
}

/// The state in which the child starts.
fn birth(thread: &mut GuestThread, args: &CloneArgs) -> Result<Birth, i32> {
    let kvm = |_| libc::ENOMEM;
    let (fs, gs) = thread.vcpu.bases().map_err(kvm)?;
    let mut regs = *thread.vcpu.regs();
    regs.rax = 0;
    if args.stack != 0 {
        regs.rsp = args.stack;
    }
    let fs = match has(args.flags, libc::CLONE_SETTLS) {
        true => args.tls,
        false => fs,
    };
    Ok(Birth {
        regs,
        bases: (fs, gs),
        xsave: thread.vcpu.xsave().map_err(kvm)?,
        mask: thread.signals.mask,
        seccomp: thread.seccomp.copied(),
    })
}

/// A child with a copy of the memory.
fn fork_now(thread: &mut GuestThread, args: &CloneArgs) -> Result<u64, i32> {
    let child = Child {
        birth: birth(thread, args)?,
        clear_handlers: args.flags & CLONE_CLEAR_SIGHAND != 0,
        parent_waits: has(args.flags, libc::CLONE_VFORK),
        kernel: only_by_kernel(args),
        prepare: prepare_child,
        args: *args,
    };
    let pid = fork::fork(thread, child).map_err(at_limit)?;
    if has(args.flags, libc::CLONE_PARENT_SETTID) {
        // As in the kernel, a wrong address is the program's own business.
        let _ = guest_memory::write(args.parent_tid, &pid);
    }
    if has(args.flags, libc::CLONE_PIDFD) {
        give_pidfd(pid, args.pidfd)?;
    }
    Ok(pid as u64)
}

/// The call that the kernel must see, where libc's fork would not do.
fn only_by_kernel(args: &CloneArgs) -> Option<CloneArgs> {
    let flags = args.flags & !OURS;
    let plain = flags == 0 && args.exit_signal == libc::SIGCHLD as u64 && args.set_tid_size == 0;
    (!plain).then_some(CloneArgs {
        flags,
        exit_signal: args.exit_signal,
        set_tid: args.set_tid,
        set_tid_size: args.set_tid_size,
        cgroup: args.cgroup,
        ..CloneArgs::new_zeroed()
    })
}

/// What the kernel does to a new process for the flags that concern its own memory.
fn prepare_child(args: &CloneArgs) {
    if has(args.flags, libc::CLONE_CHILD_SETTID) {
        // In the child's own namespace of ids, as the child sees itself.
        let tid = own_call(libc::SYS_gettid, [0; 6]).unwrap_or(0) as i32;
        let _ = guest_memory::write(args.child_tid, &tid);
    }
    let clear = match has(args.flags, libc::CLONE_CHILD_CLEARTID) {
        true => args.child_tid,
        false => 0,
    };
    // libc's fork registered addresses of the host thread's. Neither call fails.
    let _ = own_call(libc::SYS_set_tid_address, [clear, 0, 0, 0, 0, 0]);
    let _ = own_call(libc::SYS_set_robust_list, [0, 24, 0, 0, 0, 0]);
}

/// What can be seen before there is a child.
fn check_pidfd(args: &CloneArgs) -> Result<(), i32> {
    if has(args.flags, libc::CLONE_PARENT_SETTID) && args.pidfd == args.parent_tid {
        return Err(libc::EINVAL);
    }
    let fd = open_pidfd(std::process::id() as i32)?;
    own_call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]).map(drop)
}

fn open_pidfd(pid: i32) -> Result<u64, i32> {
    descriptors::with_true_limit(|| own_call(libc::SYS_pidfd_open, [pid as u64, 0, 0, 0, 0, 0]))
}

fn give_pidfd(pid: i32, address: u64) -> Result<(), i32> {
    let fd = open_pidfd(pid)?;
    guest_memory::write(address, &(fd as i32)).map_err(|_| libc::EFAULT)
}
