//! Exceptions in the guest: pages to fill in, or a signal as arch/x86/kernel/traps.c raises it.

use super::lifecycle;
use super::memory::{Care, Denied};
use super::seccomp::Verdict;
use super::signals::SI_KERNEL;
use super::thread::GuestThread;
use crate::host::guest_memory;
use crate::host::relay::Call;
use crate::host::signals::SigInfo;
use crate::kvm::vcpu::Trap;
use crate::syscalls::{seccomp, unsupported};

const VECTOR_PAGE_FAULT: u64 = 14;

/// The page of legacy calls that Linux emulates on x86-64, and where its three calls begin.
const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;
const VSYSCALLS: [(u64, libc::c_long); 3] = [
    (VSYSCALL, libc::SYS_gettimeofday),
    (VSYSCALL + 0x400, libc::SYS_time),
    (VSYSCALL + 0x800, libc::SYS_getcpu),
];

// si_code values, from asm-generic/siginfo.h.
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const BUS_MCEERR_AR: i32 = 4;
const TRAP_TRACE: i32 = 2;
const ILL_ILLOPN: i32 = 2;
const FPE_INTDIV: i32 = 1;
const FPE_FLTDIV: i32 = 3;
const FPE_FLTOVF: i32 = 4;
const FPE_FLTUND: i32 = 5;
const FPE_FLTRES: i32 = 6;
const FPE_FLTINV: i32 = 7;

/// Serves a page fault or raises the signal that the exception means.
pub(crate) fn handle(thread: &mut GuestThread, trap: Trap) {
    if trap.vector == VECTOR_PAGE_FAULT {
        return page_fault(thread, trap);
    }
    let rip = thread.vcpu.regs().rip;
    let (signal, code, addr) = match trap.vector {
        // Not every KVM gives #GP for a software interrupt without a gate.
        6 | 13 if is_software_interrupt(rip) => {
            if is_old_system_call(rip) {
                unsupported::old_system_call();
            }
            (libc::SIGSEGV, SI_KERNEL, 0)
        }
        0 => (libc::SIGFPE, FPE_INTDIV, rip),
        1 => (libc::SIGTRAP, TRAP_TRACE, rip),
        3 => (libc::SIGTRAP, SI_KERNEL, 0),
        6 => (libc::SIGILL, ILL_ILLOPN, rip),
        11 | 12 => (libc::SIGBUS, SI_KERNEL, 0),
        16 => (libc::SIGFPE, x87_code(thread), rip),
        17 => (libc::SIGBUS, BUS_ADRALN, 0),
        19 => (libc::SIGFPE, sse_code(thread), rip),
        // #OF, #BR, #GP and what ring 3 cannot raise.
        _ => (libc::SIGSEGV, SI_KERNEL, 0),
    };
    thread.force_signal(
        &SigInfo::fault(signal, code, addr),
        (trap.vector, trap.error, 0),
    );
}

/// Whether the instruction at `rip` is `int n`.
fn is_software_interrupt(rip: u64) -> bool {
    guest_memory::read::<u8>(rip) == Ok(0xcd)
}

/// Whether it is `int 0x80`.
fn is_old_system_call(rip: u64) -> bool {
    guest_memory::read(rip) == Ok([0xcdu8, 0x80])
}

fn page_fault(thread: &mut GuestThread, trap: Trap) {
    if trap.cr2 & !0xfff == VSYSCALL && vsyscall(thread) {
        return;
    }
    thread.stats.faults.add(1);
    let care = thread.care();
    let Err(denied) = thread.process.memory.fault(trap.cr2, trap.error, care) else {
        return;
    };
    let (signal, code) = match denied {
        Denied::NotMapped => (libc::SIGSEGV, SEGV_MAPERR),
        Denied::Rights => (libc::SIGSEGV, SEGV_ACCERR),
        Denied::NoPage => (libc::SIGBUS, BUS_ADRERR),
        Denied::Poisoned => (libc::SIGBUS, BUS_MCEERR_AR),
        Denied::Malformed => {
            let what = format!("reserved bits in a page-table entry for {:#x}", trap.cr2);
            lifecycle::internal_error(thread.process, &what)
        }
    };
    // As the kernel: an address that it does not tell the program is no less a fault.
    let fault = (trap.vector, trap.error, trap.cr2);
    thread.force_signal(&SigInfo::fault(signal, code, trap.cr2), fault);
}

/// Emulates a call into the vsyscall page; whether it was one.
fn vsyscall(thread: &mut GuestThread) -> bool {
    let regs = *thread.vcpu.regs();
    let Some(&(_, nr)) = VSYSCALLS.iter().find(|(addr, _)| *addr == regs.rip) else {
        return false;
    };
    let Ok(back) = guest_memory::read::<u64>(regs.rsp) else {
        return false;
    };
    let call = Call {
        nr: nr as u64,
        args: [regs.rdi, regs.rsi, 0, 0, 0, 0],
    };
    let result = match thread.seccomp.is_active() {
        false => thread.execute_now(&call),
        true => return filtered_vsyscall(thread, &call, back),
    };
    return_from_vsyscall(thread, result, back);
    true
}

/// As emulate_vsyscall: whatever the filters say, the program goes on behind its call.
fn filtered_vsyscall(thread: &mut GuestThread, call: &Call, back: u64) -> bool {
    let ip = thread.vcpu.regs().rip;
    let (verdict, data) = seccomp::judge(thread, call, ip);
    let result = match verdict {
        Verdict::Allow => thread.execute_now(call),
        Verdict::Errno(error) => -i64::from(error) as u64,
        Verdict::Trap(_) => call.nr,
        Verdict::EndThread(signal) => lifecycle::die_by_signal(thread.process, signal),
        Verdict::KillProcess => lifecycle::die_by_signal(thread.process, libc::SIGSYS),
    };
    return_from_vsyscall(thread, result, back);
    if let Verdict::Trap(error) = verdict {
        seccomp::trap(thread, &data, error);
    }
    true
}

fn return_from_vsyscall(thread: &mut GuestThread, result: u64, back: u64) {
    let regs = thread.vcpu.all_regs_mut();
    regs.rax = result;
    regs.rip = back;
    regs.rsp += 8;
}

/// After the host could not provide a page: makes the guest fault on it, with its address.
pub(crate) fn bad_memory(thread: &mut GuestThread) {
    let rip = thread.vcpu.regs().rip;
    match thread.note_bad_memory(rip) {
        1 => thread.process.memory.drop_suspects(false),
        2 => thread.process.memory.drop_suspects(true),
        3..=64 => {}
        _ => {
            let what = format!("KVM cannot access memory for the instruction at {rip:#x}");
            lifecycle::internal_error(thread.process, &what);
        }
    }
}

/// Whether a fault is served with care: while the host has just failed to provide a page.
pub(crate) fn care_of(attempts: u32) -> Care {
    if attempts == 0 {
        Care::Around
    } else {
        Care::OnePage
    }
}

/// Which unmasked x87 exception is pending (fpu__exception_code).
fn x87_code(thread: &GuestThread) -> i32 {
    let Ok(state) = thread.vcpu.xsave() else {
        return 0;
    };
    let (control, status) = (state.region[0] & 0xffff, state.region[0] >> 16);
    float_code(status & !control & 0x3f)
}

/// Which unmasked SSE exception is pending.
fn sse_code(thread: &GuestThread) -> i32 {
    let Ok(state) = thread.vcpu.xsave() else {
        return 0;
    };
    let mxcsr = state.region[6];
    float_code(mxcsr & !(mxcsr >> 7) & 0x3f)
}

fn float_code(exceptions: u32) -> i32 {
    match exceptions {
        e if e & 0x01 != 0 => FPE_FLTINV,
        e if e & 0x04 != 0 => FPE_FLTDIV,
        e if e & 0x08 != 0 => FPE_FLTOVF,
        e if e & 0x12 != 0 => FPE_FLTUND,
        e if e & 0x20 != 0 => FPE_FLTRES,
        _ => 0,
    }
}
