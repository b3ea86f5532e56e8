//! seccomp(2), its options of prctl(2), and what becomes of a call that is filtered.

use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::threads::own_call;
use super::{Outcome, errno, handle, unsupported};
use crate::host::relay::Call;
use crate::host::signals as host;
use crate::host::signals::SigInfo;
use crate::host::{credentials, guest_memory};
use crate::process::lifecycle;
use crate::process::seccomp::bpf::{ARCH, Data, Instruction, LONGEST, Program};
use crate::process::seccomp::{self, Filter, Mode, Setting, Verdict};
use crate::process::thread::GuestThread;

// linux/seccomp.h
const SET_MODE_STRICT: u32 = 0;
const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAIL: u32 = 2;
const FLAG_TSYNC: u32 = 1 << 0;
const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;
const FLAG_NEW_LISTENER: u32 = 1 << 3;
const FLAG_TSYNC_ESRCH: u32 = 1 << 4;
const KNOWN_FLAGS: u32 = FLAG_TSYNC | FLAG_LOG | FLAG_SPEC_ALLOW | FLAG_TSYNC_ESRCH;

/// si_code of a SIGSYS that a filter caused (asm-generic/siginfo.h).
const SYS_SECCOMP: i32 = 1;

/// struct sock_fprog.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct FilterProgram {
    len: u16,
    padding: [u16; 3],
    code: u64,
}

/// seccomp(2).
pub(super) fn seccomp(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [operation, flags, argument, ..] = call.args;
    let (operation, flags) = (operation as u32, flags as u32);
    Outcome::from_result(match operation {
        SET_MODE_STRICT if flags == 0 && argument == 0 => set_strict(thread),
        SET_MODE_FILTER => set_filter(thread, Some(flags), argument),
        GET_ACTION_AVAIL if flags == 0 => action_available(argument),
        // Nor is there SECCOMP_GET_NOTIF_SIZES in a kernel without listeners.
        _ => Err(libc::EINVAL),
    })
}

/// prctl(2) with PR_SET_SECCOMP.
pub(super) fn set_by_prctl(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [_, mode, argument, ..] = call.args;
    Outcome::from_result(match mode {
        1 => set_strict(thread),
        2 => set_filter(thread, None, argument),
        _ => Err(libc::EINVAL),
    })
}

/// prctl(2) with PR_GET_SECCOMP.
pub(super) fn mode(thread: &mut GuestThread, call: &Call) -> Outcome {
    match thread.seccomp.setting().mode {
        // A filter around vmmload judges the program, too.
        Mode::Off => thread.relay(call),
        mode => Outcome::Return(mode as u64),
    }
}

fn set_strict(thread: &mut GuestThread) -> Result<u64, i32> {
    let process = thread.process;
    let strict = |now: &Setting| match now.mode {
        Mode::Filter => Err(libc::EINVAL),
        _ if is_filtered_outside() => Err(libc::EINVAL),
        _ => Ok(Setting {
            mode: Mode::Strict,
            ..now.clone()
        }),
    };
    process.seccomp.change(&thread.seccomp, strict)?;
    Ok(0)
}

/// Whether vmmload itself was started behind a filter.
fn is_filtered_outside() -> bool {
    let args = [libc::PR_GET_SECCOMP as u64, 0, 0, 0, 0, 0];
    own_call(libc::SYS_prctl, args).is_ok_and(|mode| mode != 0)
}

fn set_filter(thread: &mut GuestThread, flags: Option<u32>, argument: u64) -> Result<u64, i32> {
    let given = flags.unwrap_or(0);
    // Without a program, libraries only ask whether the flag is known.
    let wanted = || guest_memory::read::<FilterProgram>(argument).is_ok();
    if given & FLAG_NEW_LISTENER != 0 && wanted() {
        unsupported::seccomp_listener();
    }
    if given & !KNOWN_FLAGS != 0 {
        return Err(libc::EINVAL);
    }
    let program = read_program(argument)?;
    let filter = Arc::new(Filter {
        program,
        // The threads that are there at an execve are one.
        flags: flags.map(|flags| flags & (FLAG_LOG | FLAG_SPEC_ALLOW)),
    });
    let add = |now: &Setting| match now.mode {
        Mode::Strict => Err(libc::EINVAL),
        _ if !now.has_room_for(&filter.program) => Err(libc::ENOMEM),
        _ => Ok(now.with(filter.clone())),
    };
    let registry = &thread.process.seccomp;
    if given & FLAG_TSYNC == 0 {
        registry.change(&thread.seccomp, add)?;
        return Ok(0);
    }
    let loses_privileges = credentials::has_no_new_privs();
    match registry.change_all(&thread.seccomp, loses_privileges, add)? {
        Ok(()) => Ok(0),
        Err(_) if given & FLAG_TSYNC_ESRCH != 0 => Err(libc::ESRCH),
        Err(tid) => Ok(tid as u64),
    }
}

/// The program of a struct sock_fprog, checked; the errors in the kernel's order.
fn read_program(address: u64) -> Result<Program, i32> {
    let given: FilterProgram = guest_memory::read(address).map_err(|_| libc::EFAULT)?;
    let len = usize::from(given.len);
    if len == 0 || len > LONGEST {
        return Err(libc::EINVAL);
    }
    if !credentials::has_no_new_privs() && !credentials::may_administer() {
        return Err(libc::EACCES);
    }
    if given.code == 0 {
        return Err(libc::EINVAL);
    }
    let none = Instruction {
        code: 0,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let mut code = vec![none; len];
    guest_memory::read_bytes(given.code, code.as_mut_bytes()).map_err(|_| libc::EFAULT)?;
    Program::check(code).map_err(|_| libc::EINVAL)
}

fn action_available(address: u64) -> Result<u64, i32> {
    let action: u32 = guest_memory::read(address).map_err(|_| libc::EFAULT)?;
    match action {
        seccomp::RET_KILL_PROCESS
        | seccomp::RET_KILL_THREAD
        | seccomp::RET_TRAP
        | seccomp::RET_ERRNO
        | seccomp::RET_TRACE
        | seccomp::RET_LOG
        | seccomp::RET_ALLOW => Ok(0),
        _ => Err(libc::EOPNOTSUPP),
    }
}

/// What the thread's setting says to a call whose instruction ends at `ip`.
pub(crate) fn judge(thread: &mut GuestThread, call: &Call, ip: u64) -> (Verdict, Data) {
    if thread.seccomp.takes_loss_of_privileges() {
        credentials::set_no_new_privs();
    }
    let data = Data::new(call.nr as i32, ip, &call.args);
    (thread.seccomp.judge(&data), data)
}

/// Makes one call of a thread with a setting, or what comes instead of it.
#[cold]
pub(crate) fn handle_filtered(thread: &mut GuestThread, call: &Call) -> Outcome {
    let ip = thread.vcpu.call_rip();
    let (verdict, data) = judge(thread, call, ip);
    match verdict {
        Verdict::Allow => handle(thread, call),
        Verdict::Errno(error) => {
            // No signal has ended this one, whatever the number.
            thread.answer(errno(error));
            Outcome::Resumed
        }
        Verdict::Trap(error) => {
            trap(thread, &data, error);
            Outcome::Resumed
        }
        Verdict::EndThread(signal) => {
            thread.vcpu.stop();
            end_thread(thread, signal)
        }
        Verdict::KillProcess => lifecycle::die_by_signal(thread.process, libc::SIGSYS),
    }
}

/// Raises SIGSYS for a call that is not made. The registers are as they were before it.
pub(crate) fn trap(thread: &mut GuestThread, data: &Data, error: i32) {
    let mut info = SigInfo::fault(libc::SIGSYS, SYS_SECCOMP, data.ip());
    info.0[4..8].copy_from_slice(&error.to_le_bytes());
    info.0[24..28].copy_from_slice(&data.nr().to_le_bytes());
    info.0[28..32].copy_from_slice(&ARCH.to_le_bytes());
    thread.force_signal(&info, (0, 0, 0));
}

pub(crate) fn end_thread(thread: &mut GuestThread, signal: i32) -> Outcome {
    host::set_mask(u64::MAX);
    // As at exit(2): a signal that this thread has taken already came first.
    if thread.pending.is_noted() {
        return Outcome::NotBegun;
    }
    if signal == libc::SIGSYS && thread.process.is_last_thread() {
        lifecycle::die_by_signal(thread.process, signal);
    }
    Outcome::Exit(signal)
}

/// Whether the kernel would take this thread's filters, as it must before the program executes another
/// natively.
pub(super) fn can_be_installed(thread: &GuestThread) -> Result<(), i32> {
    let may = || credentials::has_no_new_privs() || credentials::may_administer();
    if thread.seccomp.is_active() && !may() {
        unsupported::seccomp_without_privileges();
        return Err(libc::EACCES);
    }
    Ok(())
}

/// Has the kernel judge this thread from now on: nothing of the launcher's is called after this but
/// what the program called itself.
pub(super) fn install(setting: &Setting) -> Result<(), i32> {
    for filter in setting.filters.iter() {
        let code = filter.program.code();
        let program = FilterProgram {
            len: code.len() as u16,
            padding: [0; 3],
            code: code.as_ptr() as u64,
        };
        let address = &raw const program as u64;
        // The call with which the program installed it: the filters before it let that one through.
        match filter.flags {
            None => own_call(
                libc::SYS_prctl,
                [libc::PR_SET_SECCOMP as u64, 2, address, 0, 0, 0],
            )?,
            Some(flags) => own_call(
                libc::SYS_seccomp,
                [SET_MODE_FILTER.into(), flags.into(), address, 0, 0, 0],
            )?,
        };
    }
    Ok(())
}
