//! Exceptions in the guest: pages to fill in, or a signal as arch/x86/kernel/traps.c raises it.

use super::memory::{Care, Denied};
use super::seccomp::Verdict;
use super::signals::SI_KERNEL;
use super::thread::GuestThread;
use super::{lifecycle, resident};
use crate::guest::layout::USER_END;
use crate::host::guest_memory;
use crate::host::relay::Call;
use crate::host::signals::SigInfo;
use crate::kvm::exits::Trap;
use crate::syscalls::{seccomp, unsupported};

const VECTOR_UNDEFINED: u64 = 6;
const VECTOR_PROTECTION: u64 = 13;
const VECTOR_PAGE_FAULT: u64 = 14;
/// An error code that names an entry of the table of interrupts.
const ERROR_IN_IDT: u64 = 2;
/// The opcode of a software interrupt, and the number that is 32-bit Linux's system call.
const INT: u8 = 0xcd;
const OLD_SYSTEM_CALL: u8 = 0x80;
/// A page fault's error code: not for lack of a page.
const ERROR_PRESENT: u64 = 1;

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
const TRAP_BRKPT: i32 = 1;
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
    if is_at_call_site(thread, trap.vector) {
        return;
    }
    let rip = thread.vcpu.regs().rip;
    let trap = match trap.vector {
        VECTOR_UNDEFINED | VECTOR_PROTECTION => as_without_gate(trap, rip),
        _ => trap,
    };
    let (signal, code, addr) = match trap.vector {
        0 => (libc::SIGFPE, FPE_INTDIV, rip),
        1 if is_behind_icebp(rip) => (libc::SIGTRAP, TRAP_BRKPT, rip),
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

/// Whether the trap comes of a replaced call site and means nothing to the program.
fn is_at_call_site(thread: &mut GuestThread, vector: u64) -> bool {
    let sites = thread.process.memory.call_sites();
    let rip = thread.vcpu.regs().rip;
    match vector {
        // The jump to the thunk: what it stands for has not been executed yet.
        1 if matches!(sites.original(rip), Some((_, true))) => true,
        // The site is being replaced.
        3 if sites.was_changing(rip.wrapping_sub(1)) => {
            thread.vcpu.regs_mut().rip = rip.wrapping_sub(1);
            true
        }
        _ => {
            if let Some((original, _)) = sites.original(rip) {
                thread.vcpu.regs_mut().rip = original;
            }
            false
        }
    }
}

/// A software interrupt without a gate is #GP, which not every KVM gives; any other exception is `trap`.
fn as_without_gate(trap: Trap, rip: u64) -> Trap {
    let Ok([INT, gate]) = guest_memory::read::<[u8; 2]>(rip) else {
        return trap;
    };
    if gate == OLD_SYSTEM_CALL {
        unsupported::old_system_call();
    }
    Trap {
        vector: VECTOR_PROTECTION,
        error: u64::from(gate) << 3 | ERROR_IN_IDT,
        ..trap
    }
}

/// Whether the instruction before `rip` is the one-byte breakpoint INT1, and no step came to an end.
fn is_behind_icebp(rip: u64) -> bool {
    guest_memory::read::<u8>(rip.wrapping_sub(1)) == Ok(0xf1)
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
    let error = match denied {
        // As the kernel: whether there is a page beyond the program's addresses is not told.
        _ if trap.cr2 >= USER_END => trap.error | ERROR_PRESENT,
        // The guest was given an entry before the program had touched the page.
        Denied::Rights if !resident::is_there(trap.cr2) => trap.error & !ERROR_PRESENT,
        _ => trap.error,
    };
    let fault = (trap.vector, error, trap.cr2);
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
