//! The thread's own processor state, and features of the kernel that would act on the launcher
//! instead of the program. Each is answered as by a kernel or processor without the feature.

use super::threads::own_call;
use super::{Outcome, errno, guest_calls, seccomp, unsupported};
use crate::guest::layout::PAGE;
use crate::host::process_view::{MmMap, PR_SET_MM_MAP};
use crate::host::relay::Call;
use crate::host::{guest_memory, process_view};
use crate::process::memory::page_up;
use crate::process::thread::GuestThread;

// linux/asm/prctl.h
const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;
const ARCH_GET_CPUID: u64 = 0x1011;
const ARCH_SET_CPUID: u64 = 0x1012;
const ARCH_GET_XCOMP_SUPP: u64 = 0x1021;
const ARCH_XCOMP_LAST: u64 = 0x1025;
const ARCH_SHSTK_ENABLE: u64 = 0x5001;
const ARCH_SHSTK_STATUS: u64 = 0x5005;

const ARCH_ENABLE_TAGGED_ADDR: u64 = 0x4002;
const ARCH_GET_MAX_TAG_BITS: u64 = 0x4003;

// linux/prctl.h
const PR_SET_SYSCALL_USER_DISPATCH: u64 = 59;
const PR_SET_VMA: u64 = 0x5356_4d41;
const PR_SET_VMA_ANON_NAME: u64 = 0;
/// ANON_VMA_NAME_MAX_LEN of the kernel, the final zero included.
const ANON_NAME_BYTES: usize = 80;
const PR_SET_MM_START_BRK: u64 = 6;
const PR_SET_MM_BRK: u64 = 7;
/// First address that is not the program's, with 4-level paging.
const TASK_SIZE: u64 = 0x7fff_ffff_f000;

/// arch_prctl(2).
pub(super) fn arch_prctl(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [code, addr, ..] = call.args;
    match code {
        // The bases are the vCPU's, not the host thread's.
        ARCH_SET_FS | ARCH_SET_GS => {
            if addr >= TASK_SIZE {
                return Outcome::Return(errno(libc::EPERM));
            }
            match thread.vcpu.set_base(code == ARCH_SET_GS, addr) {
                Ok(()) => Outcome::Return(0),
                Err(e) => Outcome::Return(errno(e.raw_os_error().unwrap_or(libc::EPERM))),
            }
        }
        ARCH_GET_FS | ARCH_GET_GS => {
            let Ok((fs, gs)) = thread.vcpu.bases() else {
                return Outcome::Return(errno(libc::EPERM));
            };
            let base = if code == ARCH_GET_GS { gs } else { fs };
            match guest_memory::write(addr, &base) {
                Ok(()) => Outcome::Return(0),
                Err(_) => Outcome::Return(errno(libc::EFAULT)),
            }
        }
        // CPUID faulting would be armed for the host thread only: as on a processor without it.
        ARCH_GET_CPUID => Outcome::Return(1),
        ARCH_SET_CPUID => Outcome::Return(errno(libc::ENODEV)),
        // Tiles are permitted for each process; the VM's vCPUs have none.
        ARCH_GET_XCOMP_SUPP..=ARCH_XCOMP_LAST => Outcome::Return(errno(libc::EINVAL)),
        // Tags would be ignored in the host's addresses and not in the guest's: as on a processor
        // without them.
        ARCH_ENABLE_TAGGED_ADDR => Outcome::Return(errno(libc::ENODEV)),
        ARCH_GET_MAX_TAG_BITS => match guest_memory::write(addr, &0u64) {
            Ok(()) => Outcome::Return(0),
            Err(_) => Outcome::Return(errno(libc::EFAULT)),
        },
        // A shadow stack would be the host thread's: as on a processor without them.
        ARCH_SHSTK_ENABLE..=ARCH_SHSTK_STATUS => Outcome::Return(errno(libc::EOPNOTSUPP)),
        _ => thread.relay(call),
    }
}

/// prctl(2), for the options that would act on the launcher.
pub(super) fn prctl(thread: &mut GuestThread, call: &Call) -> Outcome {
    match call.args[0] {
        option if option == libc::PR_SET_SECCOMP as u64 => seccomp::set_by_prctl(thread, call),
        option if option == libc::PR_GET_SECCOMP as u64 => seccomp::mode(thread, call),
        // It would turn the host thread's calls into signals.
        PR_SET_SYSCALL_USER_DISPATCH => Outcome::Return(errno(libc::EINVAL)),
        // It would trap the host's RDTSC and leave the guest's alone.
        option if option == libc::PR_SET_TSC as u64 => Outcome::Return(errno(libc::EINVAL)),
        option if option == libc::PR_SET_MM as u64 => set_mm(thread, call),
        PR_SET_VMA => name_memory(thread, call),
        vmmload_guest::protocol::OPTION => guest_calls::answer(thread, call),
        _ => thread.relay(call),
    }
}

/// prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME): the table of mappings has the name even where the kernel is built
/// without it, and says so to the program.
fn name_memory(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [_, what, addr, len, name, _] = call.args;
    let outcome = thread.relay(call);
    let refused = outcome == Outcome::Return(errno(libc::EINVAL));
    let taken = outcome == Outcome::Return(0) || refused;
    let end = page_up(len).and_then(|len| addr.checked_add(len));
    let (Some(end), PR_SET_VMA_ANON_NAME, true) = (end, what, taken && addr % PAGE == 0) else {
        return outcome;
    };
    let mut buffer = [0; ANON_NAME_BYTES];
    let name = match name {
        0 => None,
        name => match guest_memory::read_string(name, &mut buffer) {
            Some(name) if name.iter().all(|b| (b' '..=b'~').contains(b)) => Some(name),
            _ => return outcome,
        },
    };
    let name = name.map(|name| String::from_utf8_lossy(name).into_owned());
    thread.process.name_memory(addr..end, name.as_deref());
    outcome
}

/// prctl(PR_SET_MM): what ps(1) shows is the program's to set, the kernel's heap is the launcher's.
fn set_mm(thread: &mut GuestThread, call: &Call) -> Outcome {
    match call.args[1] {
        PR_SET_MM_START_BRK | PR_SET_MM_BRK => Outcome::Return(errno(libc::EINVAL)),
        PR_SET_MM_MAP if call.args[3] == size_of::<MmMap>() as u64 => {
            let map = guest_memory::read::<MmMap>(call.args[2]).map_err(|_| libc::EFAULT);
            Outcome::from_result(map.and_then(process_view::set))
        }
        _ => thread.relay(call),
    }
}

/// ptrace(2): the host's thread would stop, and show the launcher's registers. So nobody becomes a tracer,
/// as where the administrator does not allow it, and other requests find nothing to trace.
pub(super) fn ptrace(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [request, pid, ..] = call.args;
    let there = || own_call(libc::SYS_kill, [pid, 0, 0, 0, 0, 0]) != Err(libc::ESRCH);
    match u32::try_from(request) {
        Ok(libc::PTRACE_TRACEME) => unsupported::tracing(),
        Ok(libc::PTRACE_ATTACH | PTRACE_SEIZE) if there() => unsupported::tracing(),
        _ => thread.relay(call),
    }
}

/// linux/ptrace.h
const PTRACE_SEIZE: u32 = 0x4206;

/// rseq(2): the kernel cannot restart a sequence that it interrupts inside the VM.
pub(super) fn rseq(_: &mut GuestThread, _: &Call) -> Outcome {
    Outcome::Return(errno(libc::ENOSYS))
}

/// modify_ldt, set_thread_area, get_thread_area: the guest has no segments of its own.
pub(super) fn no_segments(_: &mut GuestThread, call: &Call) -> Outcome {
    let writes = matches!(call.args[0] as i32, 1 | 0x11);
    if call.nr as u32 as libc::c_long == libc::SYS_modify_ldt && writes {
        unsupported::segments();
    }
    Outcome::Return(errno(libc::ENOSYS))
}

/// memfd_secret(2): KVM cannot reach such memory.
pub(super) fn no_secret_memory(_: &mut GuestThread, _: &Call) -> Outcome {
    Outcome::Return(errno(libc::ENOSYS))
}

/// userfaultfd(2): faults of the guest are KVM's, which a descriptor for faults of user code alone
/// never reports.
pub(super) fn userfaultfd(thread: &mut GuestThread, call: &Call) -> Outcome {
    if call.args[0] & UFFD_USER_MODE_ONLY != 0 {
        return Outcome::Return(errno(libc::EINVAL));
    }
    thread.relay(call)
}

/// linux/userfaultfd.h; a kernel before 5.11 does not know it.
const UFFD_USER_MODE_ONLY: u64 = 1;

/// iopl, ioperm: ports of the machine cannot be reached from the VM.
pub(super) fn no_ports(_: &mut GuestThread, _: &Call) -> Outcome {
    Outcome::Return(errno(libc::EPERM))
}

/// pkey_alloc(2): the guest runs without protection keys (arch_set_user_pkey_access).
pub(super) fn pkey_alloc(_: &mut GuestThread, _: &Call) -> Outcome {
    Outcome::Return(errno(libc::EINVAL))
}

/// map_shadow_stack(2).
pub(super) fn no_shadow_stack(_: &mut GuestThread, _: &Call) -> Outcome {
    Outcome::Return(errno(libc::EOPNOTSUPP))
}
