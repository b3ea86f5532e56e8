//! The code behind MSR_LSTAR, and what of the program's registers is where while it runs.
//!
//! It asks for the call in the vCPU's request page ([`super::request`]), which lies right behind it, and goes on with
//! the answer. Where nobody waits for calls, or the answer takes too long, it leaves the guest by an `out`.
//!
//! There are two ways in. By the `syscall` instruction, which has put the address behind it in rcx and the flags in r11;
//! the stub may then run in ring 0 or with the program's rights, and returns by `sysretq` or by restoring the flags
//! and jumping. Or, in ring 3, from a call site that was replaced ([`crate::process::call_sites`]), with the address to return to in
//! rcx: then no flag may change, and r11 is free.
//!
//! Nothing here uses the program's stack, below which it may keep data.

use super::layout::{PAGE, PORT_SYSCALL};
use super::request::{
    ANSWERED, ARGS, LIMIT, NR, OPEN, R11, RAX, RCX, RSP, STACK, SYSRET, VALUE, WAIT,
};

std::arch::global_asm!(
    ".pushsection .rodata.vmmload_stub, \"a\", @progbits",
    ".balign 64",
    ".set vmmload_request, vmmload_stub + {page}",
    // By `syscall`.
    ".globl vmmload_stub",
    "vmmload_stub:",
    "cmp qword ptr [rip + vmmload_request + 8*{OPEN}], 0",
    "je vmmload_stub_direct",
    // To step on behind the call is the launcher's to do.
    "test r11d, 0x100",
    "jnz vmmload_stub_direct",
    "mov [rip + vmmload_request + 8*{RAX}], rax",
    "mov [rip + vmmload_request + 8*{R11}], r11",
    "mov [rip + vmmload_request + 8*{NR}], eax",
    "mov [rip + vmmload_request + 8*{RCX}], rcx",
    "mov [rip + vmmload_request + 8*{ARGS}], rdi",
    "mov [rip + vmmload_request + 8*{ARGS} + 8], rsi",
    "mov [rip + vmmload_request + 8*{ARGS} + 16], rdx",
    "mov [rip + vmmload_request + 8*{ARGS} + 24], r10",
    "mov [rip + vmmload_request + 8*{ARGS} + 32], r8",
    "mov [rip + vmmload_request + 8*{ARGS} + 40], r9",
    ".globl vmmload_stub_kept",
    "vmmload_stub_kept:",
    "mov eax, [rip + vmmload_request + 8*{NR} + 4]",
    "inc eax",
    "mov [rip + vmmload_request + 8*{NR} + 4], eax",
    ".globl vmmload_stub_posted",
    "vmmload_stub_posted:",
    "mov rcx, [rip + vmmload_request + 8*{LIMIT}]",
    "2:",
    "cmp [rip + vmmload_request + 8*{ANSWERED}], eax",
    "je vmmload_stub_answered",
    "cmp qword ptr [rip + vmmload_request + 8*{WAIT}], 0",
    "je 3f",
    "pause",
    "dec rcx",
    "jnz 2b",
    "3:",
    "out {port}, al",
    "ud2",
    ".globl vmmload_stub_direct",
    "vmmload_stub_direct:",
    "out {port}, al",
    "ud2",
    ".globl vmmload_stub_answered",
    "vmmload_stub_answered:",
    "mov rax, [rip + vmmload_request + 8*{VALUE}]",
    "mov rcx, [rip + vmmload_request + 8*{RCX}]",
    "mov r11, [rip + vmmload_request + 8*{R11}]",
    "cmp qword ptr [rip + vmmload_request + 8*{SYSRET}], 0",
    "jne vmmload_stub_sysret",
    "mov [rip + vmmload_request + 8*{RSP}], rsp",
    "lea rsp, [rip + vmmload_request + 8*{STACK}]",
    ".globl vmmload_stub_own_stack",
    "vmmload_stub_own_stack:",
    "push r11",
    "popfq",
    "mov rsp, [rip + vmmload_request + 8*{RSP}]",
    ".globl vmmload_stub_jump",
    "vmmload_stub_jump:",
    "jmp rcx",
    ".globl vmmload_stub_sysret",
    "vmmload_stub_sysret:",
    "sysretq",
    "ud2",
    // From a call site. `jrcxz`, `lea`, `not` and `mov` leave the flags alone.
    ".globl vmmload_call",
    "vmmload_call:",
    "mov [rip + vmmload_request + 8*{RCX}], rcx",
    ".globl vmmload_call_begun",
    "vmmload_call_begun:",
    "mov rcx, [rip + vmmload_request + 8*{OPEN}]",
    "jrcxz 6f",
    "jmp 7f",
    "6:",
    "out {port}, al",
    "ud2",
    "7:",
    "mov [rip + vmmload_request + 8*{RAX}], rax",
    "mov [rip + vmmload_request + 8*{NR}], eax",
    "mov [rip + vmmload_request + 8*{ARGS}], rdi",
    "mov [rip + vmmload_request + 8*{ARGS} + 8], rsi",
    "mov [rip + vmmload_request + 8*{ARGS} + 16], rdx",
    "mov [rip + vmmload_request + 8*{ARGS} + 24], r10",
    "mov [rip + vmmload_request + 8*{ARGS} + 32], r8",
    "mov [rip + vmmload_request + 8*{ARGS} + 40], r9",
    ".globl vmmload_call_kept",
    "vmmload_call_kept:",
    "mov eax, [rip + vmmload_request + 8*{NR} + 4]",
    "lea eax, [rax + 1]",
    "mov [rip + vmmload_request + 8*{NR} + 4], eax",
    ".globl vmmload_call_posted",
    "vmmload_call_posted:",
    "mov r11, [rip + vmmload_request + 8*{LIMIT}]",
    "4:",
    "mov ecx, [rip + vmmload_request + 8*{ANSWERED}]",
    "not ecx",
    "lea ecx, [rcx + rax + 1]", // post - answered
    "jrcxz vmmload_call_answered",
    "mov rcx, [rip + vmmload_request + 8*{WAIT}]",
    "jrcxz 5f",
    "pause",
    "lea r11, [r11 - 1]",
    "mov rcx, r11",
    "jrcxz 5f",
    "jmp 4b",
    "5:",
    "out {port}, al",
    "ud2",
    ".globl vmmload_call_answered",
    "vmmload_call_answered:",
    "mov rax, [rip + vmmload_request + 8*{VALUE}]",
    "mov rcx, [rip + vmmload_request + 8*{RCX}]",
    "jmp rcx",
    ".globl vmmload_stub_end",
    "vmmload_stub_end:",
    ".popsection",
    page = const PAGE,
    port = const PORT_SYSCALL,
    NR = const NR,
    ARGS = const ARGS,
    RAX = const RAX,
    ANSWERED = const ANSWERED,
    VALUE = const VALUE,
    OPEN = const OPEN,
    WAIT = const WAIT,
    LIMIT = const LIMIT,
    SYSRET = const SYSRET,
    RCX = const RCX,
    R11 = const R11,
    RSP = const RSP,
    STACK = const STACK,
);

unsafe extern "C" {
    static vmmload_stub: u8;
    static vmmload_stub_kept: u8;
    static vmmload_stub_posted: u8;
    static vmmload_stub_direct: u8;
    static vmmload_stub_answered: u8;
    static vmmload_stub_own_stack: u8;
    static vmmload_stub_jump: u8;
    static vmmload_stub_sysret: u8;
    static vmmload_call: u8;
    static vmmload_call_begun: u8;
    static vmmload_call_kept: u8;
    static vmmload_call_posted: u8;
    static vmmload_call_answered: u8;
    static vmmload_stub_end: u8;
}

/// Offsets in the page.
macro_rules! offset {
    ($label:ident) => {
        (&raw const $label as u64) - (&raw const vmmload_stub as u64)
    };
}

/// Where `syscall` arrives: MSR_LSTAR.
pub(crate) const SYSCALL_ENTRY: u64 = 0;

/// Offset from which the guests of `probes` are placed.
pub(crate) const PROBES: u64 = PAGE / 2;

/// The code, to be copied to the begin of the page.
pub(crate) fn code() -> &'static [u8] {
    let length = offset!(vmmload_stub_end) as usize;
    debug_assert!(length <= PROBES as usize);
    // SAFETY: from label to label it is the code above, constant data of this program.
    unsafe { std::slice::from_raw_parts(&raw const vmmload_stub, length) }
}

/// Offset of the `sysretq` that goes back to ring 3, where the entry was in ring 0.
pub(crate) fn sysret() -> u64 {
    offset!(vmmload_stub_sysret)
}

/// Offset of the `out` by which the guest leaves where nobody waits for calls.
pub(crate) fn direct() -> u64 {
    offset!(vmmload_stub_direct)
}

/// Offset at which replaced call sites arrive.
pub(crate) fn call_entry() -> u64 {
    offset!(vmmload_call)
}

/// By which way the program came into the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the `syscall` instruction.
    Syscall,
    /// From a replaced call site: the processor's flags are the program's.
    Site,
}

/// How far a call has come, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Progress {
    /// It was not asked for in the page: rax, and rcx and r11 as far as `syscall` set them, are as they were.
    Begun,
    /// As before, but rcx is in the page.
    RcxKept,
    /// As before, and so are rax and r11.
    Kept,
    /// It was asked for.
    Posted,
    /// The guest has seen the answer.
    Answered {
        /// The stack pointer is in the page.
        own_stack: bool,
    },
    /// On the way back: rax, rcx and r11 are as `syscall` leaves them.
    Returning,
}

/// What the instruction at `offset` of the page, or the `out` right before it, belongs to; None for a probe's guest.
pub(crate) fn place(offset: u64) -> Option<(Way, Progress)> {
    let by_syscall = [
        (0, Progress::Begun),
        (offset!(vmmload_stub_kept), Progress::Kept),
        (offset!(vmmload_stub_posted), Progress::Posted),
        (offset!(vmmload_stub_direct), Progress::Begun),
        (
            offset!(vmmload_stub_answered),
            Progress::Answered { own_stack: false },
        ),
        (
            offset!(vmmload_stub_own_stack),
            Progress::Answered { own_stack: true },
        ),
        (
            offset!(vmmload_stub_jump),
            Progress::Answered { own_stack: false },
        ),
        (offset!(vmmload_stub_sysret), Progress::Returning),
    ];
    let from_site = [
        (offset!(vmmload_call), Progress::Begun),
        (offset!(vmmload_call_begun), Progress::RcxKept),
        (offset!(vmmload_call_kept), Progress::Kept),
        (offset!(vmmload_call_posted), Progress::Posted),
        (
            offset!(vmmload_call_answered),
            Progress::Answered { own_stack: false },
        ),
    ];
    if offset >= offset!(vmmload_stub_end) {
        return None;
    }
    let (way, parts) = match offset < offset!(vmmload_call) {
        true => (Way::Syscall, &by_syscall[..]),
        false => (Way::Site, &from_site[..]),
    };
    let part = parts.iter().rev().find(|(from, _)| *from <= offset);
    part.map(|&(_, progress)| (way, progress))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_out_belongs_to_the_same_place_before_and_behind_it() {
        let code = code();
        let out = [0xe6, PORT_SYSCALL as u8, 0x0f, 0x0b];
        let outs: Vec<u64> = (0..code.len() - 3)
            .filter(|&at| code[at..at + 4] == out)
            .map(|at| at as u64)
            .collect();
        assert_eq!(outs.len(), 4);
        let places: Vec<_> = outs.iter().map(|&at| place(at)).collect();
        let expected = [
            (Way::Syscall, Progress::Posted),
            (Way::Syscall, Progress::Begun),
            (Way::Site, Progress::RcxKept),
            (Way::Site, Progress::Posted),
        ];
        assert_eq!(places, expected.map(Some));
        for at in outs {
            assert_eq!(place(at), place(at + 2));
        }
    }

    #[test]
    fn what_is_behind_the_code_is_no_part_of_a_call() {
        assert_eq!(place(SYSCALL_ENTRY), Some((Way::Syscall, Progress::Begun)));
        assert_eq!(place(PROBES), None);
        assert_eq!(place(sysret()), Some((Way::Syscall, Progress::Returning)));
    }
}
