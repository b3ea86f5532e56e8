//! How the process ends. Whatever the way, the last epoch is published first.

use std::arch::asm;

use vmmload_consumer::End;

use super::state::{Process, Role};
use super::thread::GuestThread;
use crate::cli;
use crate::host::relay;
use crate::host::signals as host;
use crate::host::{clock, messages, processes, questions};
use crate::syscalls::kernel_writes;

/// Exit status of vmmload's own failures, as env(1) has it.
pub(crate) const OWN_FAILURE: i32 = 125;

/// Ends the process with `status`, all threads at once.
pub(crate) fn exit_process(process: &Process, status: i32) -> ! {
    host::set_mask(u64::MAX);
    finish(process, End::Exited(status as u8));
    end_harvester_first(process);
    exit_now(status)
}

/// Children are told that their parent has ended (PR_SET_PDEATHSIG) by each of its threads that ends, if
/// another is left to inherit them. So the harvester's must not be the last.
fn end_harvester_first(process: &Process) {
    let single = process.role != Role::Sharer && !process.has_several_threads();
    if single && processes::have_children() {
        process.runners.end_idle();
        process.tracker.end_thread();
    }
}

/// Ends the process by the signal that ended the program.
pub(crate) fn die_by_signal(process: &Process, signal: i32) -> ! {
    host::set_mask(u64::MAX);
    finish(process, End::Signaled(signal as u8));
    end_harvester_first(process);
    host::set_default(signal, 0);
    host::raise(signal);
    host::set_mask(!super::signals::bit(signal));
    // Only the first process of a namespace survives that, and only faults of its own end it.
    fault(signal);
    exit_now(128 + signal)
}

/// Has the processor raise a fault whose signal this is, if there is one.
fn fault(signal: i32) {
    // SAFETY: each of these instructions faults, and the signal, left to its default, ends the process.
    unsafe {
        match signal {
            libc::SIGSEGV => asm!("hlt"),
            libc::SIGILL => asm!("ud2"),
            libc::SIGTRAP => asm!("int3"),
            libc::SIGFPE => {
                asm!("div {zero}", zero = in(reg) 0u64, inout("rax") 1u64 => _, inout("rdx") 0u64 => _)
            }
            _ => {}
        }
    }
}

/// Ends the process because vmmload itself cannot go on.
pub(crate) fn internal_error(process: &Process, what: &str) -> ! {
    messages::say(&format!("internal error: {what}. Please report this line"));
    exit_process(process, OWN_FAILURE)
}

/// Publishes the end of an image that another is about to replace in this process, as `end` says.
///
/// There is no way back: this image can neither be tracked nor end in the usual ways any more. See
/// [`not_replaced`].
pub(crate) fn end_image(process: &Process, end: End) {
    finish(process, end);
    process.dispositions.ignore_again();
}

/// Ends the process after [`end_image`], when no other image came: by then everything that could fail
/// was tried, so the host has run out of memory, or files changed at this very moment.
pub(crate) fn not_replaced(errno: i32) -> ! {
    let error = std::io::Error::from_raw_os_error(errno);
    messages::say(&format!(
        "internal error: execve, after everything was checked: {error}. Please report this line"
    ));
    exit_now(OWN_FAILURE)
}

fn exit_now(status: i32) -> ! {
    loop {
        // SAFETY: ends the process; nothing of ours runs afterwards.
        unsafe { relay::raw(libc::SYS_exit_group, [status as u64, 0, 0, 0, 0, 0]) };
    }
}

fn finish(process: &Process, end: End) {
    // The segment is its parent's, and goes on with it.
    if process.role == Role::Sharer {
        return;
    }
    // Whoever comes second waits here until the first has ended the process.
    process
        .tracker
        .finish(process, end, |consumer, rows, marks| {
            let Some(mut out) = process.summary.as_ref() else {
                return;
            };
            if process.is_go_between() && end == End::Replaced {
                return;
            }
            let facts = cli::Facts {
                elapsed: clock::since(process.started_ns),
                unknown_calls: kernel_writes::unknown_calls(process),
                resident: cli::Facts::residency(consumer),
                rows,
                marks,
            };
            if let Err(e) = cli::write_summary(consumer, &facts, &mut out) {
                messages::say(&format!(
                    "the summary cannot be written: {e}. Check where it goes"
                ));
            }
        });
}

/// Ends one guest thread with `status`, as wait(2) shows it, from its own host thread, which must end right after.
/// Returns only if it is not the last one.
pub(crate) fn end_thread(thread: GuestThread, status: i32) {
    let process = thread.process;
    host::set_mask(u64::MAX);
    host::Pending::detach();
    let leader = thread.is_leader;
    thread.seccomp.retire();
    if thread.stats.kernel.is_on()
        && let Some(word) = questions::cleared_at_end()
    {
        // The kernel does it when the host thread ends, and so the guest's.
        thread.kernel_wrote(word, 4);
    }
    thread.release_vcpu();
    if process.thread_ended() {
        // The last thread's status is the process's (synchronize_group_exit).
        end_as(process, status);
    }
    if leader {
        // The first thread's stack is the launcher's own: end here, keeping the process.
        // SAFETY: ends this thread only; its vCPU is returned and its state detached.
        unsafe { relay::raw(libc::SYS_exit, [0; 6]) };
    }
}

/// Ends the process with a status as wait(2) shows it.
pub(super) fn end_as(process: &Process, status: i32) -> ! {
    match status & 0x7f {
        0 => exit_process(process, status >> 8),
        signal => die_by_signal(process, signal),
    }
}
