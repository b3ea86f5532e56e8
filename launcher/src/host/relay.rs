//! The instruction that turns a guest's system call into a host call.
//!
//! A signal must interrupt a call that it reaches before the kernel does, as it would natively.
//! So the handler of [`super::signals`] compares the interrupted instruction with the labels here:
//!
//! ```text
//! check   is a signal waiting?  yes -> not begun
//! syscall
//! end     result in rax
//! ```
//!
//! Between `check` and `syscall` the call has not begun; *at* `syscall` with rcx = `end` the kernel
//! went back to have it restarted (SA_RESTART; the instruction leaves the return address in rcx,
//! AMD64 manual volume 3, SYSCALL), otherwise rcx is 0.

use std::sync::atomic::AtomicU32;

/// A call as the kernel takes it: number, then six arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Call {
    /// Contents of rax.
    pub nr: u64,
    /// Contents of rdi, rsi, rdx, r10, r8, r9.
    pub args: [u64; 6],
}

/// What became of a relayed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// The kernel's answer, as it goes into rax.
    Done(u64),
    /// A signal came first: the call has not begun.
    NotBegun,
    /// A signal ended the call and the kernel would restart it if the handler has SA_RESTART.
    Restart,
}

#[repr(C)]
struct Answer {
    rax: u64,
    how: u64,
}

const HOW_DONE: u64 = 0;
const HOW_NOT_BEGUN: u64 = 1;

std::arch::global_asm!(
    ".pushsection .text.vmmload_relay, \"ax\", @progbits",
    ".globl vmmload_relay",
    ".type vmmload_relay, @function",
    "vmmload_relay:",
    "push rbx",
    "mov rbx, rdi",
    "mov rax, [rsi]",
    "mov rdi, [rsi + 8]",
    "mov rdx, [rsi + 24]",
    "mov r10, [rsi + 32]",
    "mov r8, [rsi + 40]",
    "mov r9, [rsi + 48]",
    "mov rsi, [rsi + 16]",
    "xor ecx, ecx",
    ".globl vmmload_relay_check",
    "vmmload_relay_check:",
    "cmp dword ptr [rbx], 0",
    "jne vmmload_relay_not_begun",
    ".globl vmmload_relay_syscall",
    "vmmload_relay_syscall:",
    "syscall",
    ".globl vmmload_relay_end",
    "vmmload_relay_end:",
    "xor edx, edx",
    "pop rbx",
    "ret",
    ".globl vmmload_relay_not_begun",
    "vmmload_relay_not_begun:",
    "mov edx, 1",
    "pop rbx",
    "ret",
    ".globl vmmload_relay_restart",
    "vmmload_relay_restart:",
    "mov edx, 2",
    "pop rbx",
    "ret",
    ".size vmmload_relay, . - vmmload_relay",
    ".popsection",
);

unsafe extern "C" {
    fn vmmload_relay(pending: *const AtomicU32, call: *const Call) -> Answer;
    static vmmload_relay_check: u8;
    static vmmload_relay_syscall: u8;
    static vmmload_relay_end: u8;
    static vmmload_relay_not_begun: u8;
    static vmmload_relay_restart: u8;
}

/// Executes `call`, unless `pending` is or becomes nonzero before it begins.
///
/// # Safety
/// The call is the program's own, with the program's own arguments, and is none of those that would
/// change the launcher's part of the process: the table in `syscalls` sees to that.
pub(crate) unsafe fn relay(pending: &AtomicU32, call: &Call) -> Relayed {
    // SAFETY: both references are valid for the call; the assembly follows the C ABI.
    let answer = unsafe { vmmload_relay(pending, call) };
    match answer.how {
        HOW_DONE => Relayed::Done(answer.rax),
        HOW_NOT_BEGUN => Relayed::NotBegun,
        _ => Relayed::Restart,
    }
}

/// Where a signal handler must send the thread on, if it interrupted a relayed call.
///
/// `rip` and `rcx` are those of the interrupted context.
pub(crate) fn redirect(rip: u64, rcx: u64) -> Option<u64> {
    let check = (&raw const vmmload_relay_check) as u64;
    let syscall = (&raw const vmmload_relay_syscall) as u64;
    let end = (&raw const vmmload_relay_end) as u64;
    if rip == syscall && rcx == end {
        Some((&raw const vmmload_relay_restart) as u64)
    } else if (check..=syscall).contains(&rip) {
        Some((&raw const vmmload_relay_not_begun) as u64)
    } else {
        None
    }
}

/// Whether the instruction at `rip` is the one to which a relayed call returns.
pub(crate) fn has_returned(rip: u64) -> bool {
    rip == (&raw const vmmload_relay_end) as u64
}

/// A call of the launcher's own, without libc's errno: the kernel's answer as it is.
///
/// # Safety
/// As for the call itself.
pub(crate) unsafe fn raw(nr: libc::c_long, args: [u64; 6]) -> i64 {
    let result: i64;
    // SAFETY: the caller answers for the call; the instruction clobbers rcx and r11 only.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") nr => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// An answer of the kernel's as a result: the errors are -4095 to -1, all else is a value.
///
/// # Errors
/// The error number.
pub(crate) fn check(answer: i64) -> Result<u64, i32> {
    if (-4095..0).contains(&answer) {
        Err(-answer as i32)
    } else {
        Ok(answer as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executes_a_call_and_returns_the_kernels_answer() {
        let call = Call {
            nr: libc::SYS_getpid as u64,
            args: [0; 6],
        };
        // SAFETY: getpid touches nothing.
        let answer = unsafe { relay(&AtomicU32::new(0), &call) };
        assert_eq!(answer, Relayed::Done(u64::from(std::process::id())));
    }

    #[test]
    fn does_not_begin_a_call_when_a_signal_is_waiting() {
        let call = Call {
            nr: libc::SYS_getpid as u64,
            args: [0; 6],
        };
        // SAFETY: getpid touches nothing.
        let answer = unsafe { relay(&AtomicU32::new(1), &call) };
        assert_eq!(answer, Relayed::NotBegun);
    }

    #[test]
    fn tells_a_call_to_restart_from_one_that_has_not_begun() {
        let syscall = (&raw const vmmload_relay_syscall) as u64;
        let end = (&raw const vmmload_relay_end) as u64;
        assert_eq!(
            redirect(syscall, end),
            Some((&raw const vmmload_relay_restart) as u64)
        );
        assert_eq!(
            redirect(syscall, 0),
            Some((&raw const vmmload_relay_not_begun) as u64)
        );
        assert_eq!(redirect(end, end), None);
    }
}
