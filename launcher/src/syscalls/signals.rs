//! rt_sigaction, rt_sigprocmask, rt_sigreturn, sigaltstack. What waits for signals is relayed: the
//! host thread's mask is the program's.

use super::{Outcome, errno};
use crate::host::guest_memory;
use crate::host::relay::Call;
use crate::host::signals::{KernelAction, SigInfo};
use crate::process::frame::{self, AltStack};
use crate::process::lifecycle;
use crate::process::signals::{SI_KERNEL, SIGNALS};
use crate::process::thread::GuestThread;

/// Bytes of the kernel's sigset_t.
const MASK_BYTES: u64 = 8;

/// io_pgetevents(2), which libc does not name on this processor.
const IO_PGETEVENTS: libc::c_long = 333;
/// The signal mask is behind a struct (linux/io_uring.h).
const IORING_ENTER_EXT_ARG: u64 = 1 << 3;

/// rt_sigaction(2).
pub(super) fn rt_sigaction(thread: &mut GuestThread, call: &Call) -> Outcome {
    Outcome::from_result(set_action(thread, call))
}

fn set_action(thread: &mut GuestThread, call: &Call) -> Result<u64, i32> {
    let [signal, new, old, size, ..] = call.args;
    if size != MASK_BYTES {
        return Err(libc::EINVAL);
    }
    let action = match new {
        0 => None,
        addr => Some(guest_memory::read::<KernelAction>(addr).map_err(|_| libc::EFAULT)?),
    };
    let signal = signal as i32;
    let fixed = matches!(signal, libc::SIGKILL | libc::SIGSTOP);
    if !(1..=SIGNALS).contains(&signal) || (fixed && action.is_some()) {
        return Err(libc::EINVAL);
    }
    let dispositions = &thread.process.dispositions;
    let before = match action {
        Some(action) => dispositions.set(signal, action),
        None => dispositions.get(signal),
    };
    if old != 0 {
        guest_memory::write(old, &before).map_err(|_| libc::EFAULT)?;
    }
    Ok(0)
}

/// rt_sigprocmask(2).
pub(super) fn rt_sigprocmask(thread: &mut GuestThread, call: &Call) -> Outcome {
    // A signal that came before the call is delivered under the old mask.
    if thread.pending.is_noted() {
        return Outcome::NotBegun;
    }
    Outcome::from_result(set_mask(thread, call))
}

fn set_mask(thread: &mut GuestThread, call: &Call) -> Result<u64, i32> {
    let [how, set, old, size, ..] = call.args;
    if size != MASK_BYTES {
        return Err(libc::EINVAL);
    }
    let before = thread.signals.mask;
    if set != 0 {
        let set: u64 = guest_memory::read(set).map_err(|_| libc::EFAULT)?;
        let mask = match how as i32 {
            libc::SIG_BLOCK => before | set,
            libc::SIG_UNBLOCK => before & !set,
            libc::SIG_SETMASK => set,
            _ => return Err(libc::EINVAL),
        };
        thread.set_signal_mask(mask);
    }
    if old != 0 {
        guest_memory::write(old, &before).map_err(|_| libc::EFAULT)?;
    }
    Ok(0)
}

/// rt_sigreturn(2).
pub(super) fn rt_sigreturn(thread: &mut GuestThread, _: &Call) -> Outcome {
    if frame::pop(thread).is_err() {
        let info = SigInfo::fault(libc::SIGSEGV, SI_KERNEL, 0);
        thread.force_signal(&info, (0, 0, 0));
        if thread.process.dispositions.get(libc::SIGSEGV).handler <= 1 {
            lifecycle::die_by_signal(thread.process, libc::SIGSEGV);
        }
    }
    Outcome::Resumed
}

/// sigaltstack(2).
pub(super) fn sigaltstack(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [new, old, ..] = call.args;
    let sp = thread.vcpu.regs().rsp;
    let before = thread.signals.alt_stack;
    if new != 0 {
        let Ok(stack) = guest_memory::read::<AltStack>(new) else {
            return Outcome::Return(errno(libc::EFAULT));
        };
        match before.replaced(&stack, sp) {
            Ok(stack) => thread.signals.alt_stack = stack,
            Err(e) => return Outcome::Return(errno(e)),
        }
    }
    if old != 0 && guest_memory::write(old, &before.shown(sp)).is_err() {
        return Outcome::Return(errno(libc::EFAULT));
    }
    Outcome::Return(0)
}

/// The mask that `call`, one of those that wait with a mask of their own, blocks meanwhile.
pub(crate) fn mask_while_waiting(call: &Call) -> Option<u64> {
    let [.., enter_flags, _, _] = call.args;
    let (addr, is_in_struct) = match call.nr as u32 as libc::c_long {
        libc::SYS_rt_sigsuspend => (call.args[0], false),
        libc::SYS_ppoll => (call.args[3], false),
        libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => (call.args[4], false),
        // A struct whose first member points to the mask.
        libc::SYS_pselect6 | IO_PGETEVENTS => (call.args[5], true),
        libc::SYS_io_uring_enter => (call.args[4], enter_flags & IORING_ENTER_EXT_ARG != 0),
        _ => return None,
    };
    let read = |addr| {
        (addr != 0)
            .then(|| guest_memory::read::<u64>(addr).ok())
            .flatten()
    };
    if is_in_struct {
        read(read(addr)?)
    } else {
        read(addr)
    }
}
