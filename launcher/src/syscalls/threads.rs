//! clone and clone3 as far as they make threads, exit and exit_group.

use zerocopy::{FromZeros, IntoBytes};

use super::{Outcome, check, errno, processes, unsupported};
use crate::guest::layout::USER_END;
use crate::host::guest_memory;
use crate::host::processes::CloneArgs;
use crate::host::relay::{self, Call};
use crate::host::signals as host;
use crate::process::lifecycle;
use crate::process::state::Role;
use crate::process::thread::{self, Birth, GuestThread};

/// Size of the first published version, the least that the kernel takes.
const CLONE_ARGS_VER0: u64 = 64;

const THREAD: u64 = (libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;

pub(super) fn has(flags: u64, flag: i32) -> bool {
    flags & flag as u32 as u64 != 0
}

/// clone(2).
pub(super) fn clone(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [flags, stack, parent_tid, child_tid, tls, _] = call.args;
    if has(flags, libc::CLONE_PIDFD) && has(flags, libc::CLONE_DETACHED) {
        return Outcome::Return(errno(libc::EINVAL));
    }
    // Neither has a meaning of its own here, but is no error either, as it is to clone3(2): a flag of
    // old, and the signal of who tells its end as its maker does.
    let told_as_maker = has(flags, libc::CLONE_THREAD) || has(flags, libc::CLONE_PARENT);
    let args = CloneArgs {
        flags: flags & !0xff & !(libc::CLONE_DETACHED as u64),
        exit_signal: if told_as_maker { 0 } else { flags & 0xff },
        stack,
        parent_tid,
        // clone(2) returns a pidfd where it would store the parent's copy of the id.
        pidfd: parent_tid,
        child_tid,
        tls,
        ..CloneArgs::new_zeroed()
    };
    create(thread, call, &args)
}

/// clone3(2).
pub(super) fn clone3(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [addr, size, ..] = call.args;
    match read_args(addr, size) {
        Ok(mut args) => {
            args.stack = args.stack.wrapping_add(args.stack_size);
            create(thread, call, &args)
        }
        Err(e) => Outcome::Return(errno(e)),
    }
}

fn read_args(addr: u64, size: u64) -> Result<CloneArgs, i32> {
    if size < CLONE_ARGS_VER0 {
        return Err(libc::EINVAL);
    }
    if size > 4096 {
        return Err(libc::E2BIG);
    }
    let mut args = CloneArgs::new_zeroed();
    let known = (size as usize).min(size_of::<CloneArgs>());
    let bytes = &mut args.as_mut_bytes()[..known];
    guest_memory::read_bytes(addr, bytes).map_err(|_| libc::EFAULT)?;
    // What we do not know must be zero (copy_struct_from_user).
    let mut rest = vec![0; size as usize - known];
    guest_memory::read_bytes(addr + known as u64, &mut rest).map_err(|_| libc::EFAULT)?;
    if rest.iter().any(|&b| b != 0) {
        return Err(libc::E2BIG);
    }
    let half_a_stack = (args.stack == 0) != (args.stack_size == 0);
    if args.flags & 0xff != 0 || args.exit_signal > 64 || half_a_stack {
        return Err(libc::EINVAL);
    }
    Ok(args)
}

fn create(thread: &mut GuestThread, call: &Call, args: &CloneArgs) -> Outcome {
    if !has(args.flags, libc::CLONE_THREAD) {
        return processes::create(thread, call, args);
    }
    if thread.process.role == Role::Sharer {
        return unsupported::shares_memory(call);
    }
    Outcome::from_result(create_thread(thread, args).map(|tid| tid as u64))
}

/// The kernel's own checks for threads (copy_process), and what has no meaning for them.
fn check_flags(args: &CloneArgs) -> Result<(), i32> {
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_PIDFD;
    if args.flags & THREAD != THREAD || args.exit_signal != 0 || has(args.flags, namespaces) {
        return Err(libc::EINVAL);
    }
    if has(args.flags, libc::CLONE_SETTLS) && args.tls >= USER_END {
        return Err(libc::EPERM);
    }
    // A chosen thread id cannot be had: the host's kernel gives the numbers.
    if args.set_tid_size != 0 {
        return Err(libc::EPERM);
    }
    Ok(())
}

fn create_thread(thread: &mut GuestThread, args: &CloneArgs) -> Result<i32, i32> {
    check_flags(args)?;
    let kvm = |_| libc::ENOMEM;
    let (fs, gs) = thread.vcpu.bases().map_err(kvm)?;
    let xsave = thread.vcpu.xsave().map_err(kvm)?;
    let mut regs = *thread.vcpu.regs();
    regs.rax = 0;
    if args.stack != 0 {
        regs.rsp = args.stack;
    }
    let fs = if has(args.flags, libc::CLONE_SETTLS) {
        args.tls
    } else {
        fs
    };
    let birth = Birth {
        regs,
        bases: (fs, gs),
        xsave,
        mask: thread.signals.mask,
        seccomp: thread.process.seccomp.inherit(&thread.seccomp),
    };
    let (args, process, stack) = (*args, thread.process, birth.regs.rsp);
    let prepare = move |tid| {
        if args.stack != 0 {
            process.name_stack(tid, stack);
        }
        prepare(tid, &args)
    };
    thread::start(process, birth, Box::new(prepare))
}

/// What a new thread does before its first instruction, on its own host thread.
fn prepare(tid: i32, args: &CloneArgs) -> Result<(), i32> {
    // Natively a thread shares what the flags name; our host threads share everything at first.
    let shared = libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SYSVSEM;
    let separate = shared as u64 & !args.flags;
    if separate != 0 {
        own_call(libc::SYS_unshare, [separate, 0, 0, 0, 0, 0])?;
    }
    if has(args.flags, libc::CLONE_PARENT_SETTID) {
        // As in the kernel, a wrong address is the program's own business, here and below.
        let _ = guest_memory::write(args.parent_tid, &tid);
    }
    if has(args.flags, libc::CLONE_CHILD_SETTID) {
        let _ = guest_memory::write(args.child_tid, &tid);
    }
    let clear = if has(args.flags, libc::CLONE_CHILD_CLEARTID) {
        args.child_tid
    } else {
        0
    };
    own_call(libc::SYS_set_tid_address, [clear, 0, 0, 0, 0, 0])?;
    // libc registered a list of its own for this host thread.
    own_call(libc::SYS_set_robust_list, [0, 24, 0, 0, 0, 0])?;
    Ok(())
}

pub(super) fn own_call(nr: libc::c_long, args: [u64; 6]) -> Result<u64, i32> {
    // SAFETY: the calls made here set attributes of the calling thread only; the addresses are
    // used by the kernel at the thread's end, which checks them.
    check(unsafe { relay::raw(nr, args) })
}

/// exit(2): this thread only.
pub(super) fn exit(thread: &mut GuestThread, call: &Call) -> Outcome {
    // From here on the kernel gives the process's signals to other threads. One that this thread
    // has taken already is its own to deliver.
    host::set_mask(u64::MAX);
    if thread.pending.is_noted() {
        return Outcome::NotBegun;
    }
    Outcome::Exit((call.args[0] as i32 & 0xff) << 8)
}

/// exit_group(2).
pub(super) fn exit_group(thread: &mut GuestThread, call: &Call) -> Outcome {
    lifecycle::exit_process(thread.process, call.args[0] as i32)
}
