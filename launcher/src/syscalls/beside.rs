//! Calls after which a thread of ours beside the program's would show, or would not be placed as that is.

use crate::host::relay::Call;
use crate::process::thread::GuestThread;

/// CLOCK_REALTIME and all others but those of processor time are told by small numbers (linux/time.h); those of other
/// processes and threads are negative.
fn is_of_processor_time(clock: u64) -> bool {
    let clock = clock as i32;
    clock < 0
        || matches!(
            clock,
            libc::CLOCK_PROCESS_CPUTIME_ID | libc::CLOCK_THREAD_CPUTIME_ID
        )
}

/// Called after each call, before it is answered: has the thread run its guest itself where that matters, and notes what
/// later threads of ours must respect.
#[inline]
pub(crate) fn consider(thread: &mut GuestThread, call: &Call) {
    match call.nr as u32 as libc::c_long {
        // Timers and counters of processor time: who runs the guest must not be a question.
        libc::SYS_timer_create if is_of_processor_time(call.args[0]) => {
            thread.process.spin_budget.close();
        }
        libc::SYS_semop | libc::SYS_semtimedop => {
            thread.process.may_adjust_semaphores();
            return;
        }
        libc::SYS_perf_event_open => thread.process.spin_budget.close(),
        // A runner is placed as its owner was when it was started; limits are looked at when a phase begins.
        libc::SYS_sched_setaffinity
        | libc::SYS_sched_setscheduler
        | libc::SYS_sched_setparam
        | libc::SYS_sched_setattr
        | libc::SYS_setpriority
        | libc::SYS_ioprio_set
        | libc::SYS_set_mempolicy
        | libc::SYS_setitimer
        | libc::SYS_setrlimit
        | libc::SYS_prlimit64 => {}
        _ => return,
    }
    thread.vcpu.end_runner();
}
