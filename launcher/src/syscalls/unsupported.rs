//! What cannot be done, said by name on standard error.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Outcome, errno};
use crate::host::messages;
use crate::host::relay::Call;

/// Calls that were already named: each is said once.
static NAMED: AtomicU64 = AtomicU64::new(0);

fn say_once(bit: u32, text: &str) {
    if NAMED.fetch_or(1 << bit, Ordering::Relaxed) & (1 << bit) == 0 {
        messages::say(text);
    }
}

/// A thread, or another process beside it, of a process that shares its parent's memory.
pub(super) fn shares_memory(call: &Call) -> Outcome {
    let name = name_of(call);
    say_once(
        0,
        &format!(
            "{name}: a process that shares its parent's memory (vfork, or CLONE_VM without \
             CLONE_THREAD) cannot have threads in vmmload; the call fails with EAGAIN. Run the program \
             without vmmload"
        ),
    );
    Outcome::Return(errno(libc::EAGAIN))
}

/// A process with its parent's table of descriptors (CLONE_FILES), in which it would find and close those of
/// the parent's VM.
pub(super) fn shared_descriptors(call: &Call) -> Outcome {
    let name = name_of(call);
    say_once(
        7,
        &format!(
            "{name}: a wrapped program cannot have a process that shares its descriptors (CLONE_FILES \
             without CLONE_THREAD); the call fails with EINVAL. Run it without vmmload"
        ),
    );
    Outcome::Return(errno(libc::EINVAL))
}

fn name_of(call: &Call) -> &'static str {
    match call.nr as libc::c_long {
        libc::SYS_clone3 => "clone3",
        _ => "clone",
    }
}

/// SECCOMP_FILTER_FLAG_NEW_LISTENER.
pub(super) fn seccomp_listener() {
    say_once(
        1,
        "seccomp: calls of a wrapped program cannot be handed to a listener \
         (SECCOMP_FILTER_FLAG_NEW_LISTENER); the call fails with EINVAL. Run it without vmmload",
    );
}

/// execve(2) of a program that runs natively, where the kernel does not take the filters any more.
pub(super) fn seccomp_without_privileges() {
    say_once(
        2,
        "execve: the program would run natively, and the seccomp filters with it, which the kernel \
         does not accept any more from a process without CAP_SYS_ADMIN and no_new_privs; the call \
         fails with EACCES. Set no_new_privs (PR_SET_NO_NEW_PRIVS)",
    );
}

/// ptrace(2).
pub(super) fn tracing() -> Outcome {
    say_once(
        3,
        "ptrace: a wrapped program cannot trace others, nor be traced by them (strace, gdb); the call \
         fails with EPERM. To see its system calls, put strace -f in front of vmmload; to debug it, \
         run it without vmmload",
    );
    Outcome::Return(errno(libc::EPERM))
}

/// `int 0x80` in 64-bit code.
pub(crate) fn old_system_call() {
    say_once(
        5,
        "int 0x80: a wrapped program has no 32-bit system calls; the instruction raises SIGSEGV. Use the \
         instruction syscall, or run it without vmmload",
    );
}

/// modify_ldt(2) that would add a segment.
pub(super) fn segments() {
    say_once(
        6,
        "modify_ldt: a wrapped program has no segments of its own, as 16-bit and 32-bit code needs \
         them; the call fails with ENOSYS. Run it without vmmload",
    );
}
