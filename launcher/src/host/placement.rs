//! How the kernel places the calling thread, and whether a second thread of ours beside it would show.

use super::relay;

/// Words of a set of processors: for as many as Debian's kernel knows.
const WORDS: usize = 128;

/// What a thread passes on to those that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    processors: [u64; WORDS],
    nice: i64,
    policy: i64,
}

fn call(nr: libc::c_long, args: [u64; 3]) -> i64 {
    let [a, b, c] = args;
    // SAFETY: the calls below write to what their callers lend, within the sizes that they say.
    unsafe { relay::raw(nr, [a, b, c, 0, 0, 0]) }
}

impl Placement {
    /// The calling thread's; None where the kernel does not tell.
    pub(crate) fn own() -> Option<Self> {
        let mut processors = [0u64; WORDS];
        let bytes = size_of_val(&processors) as u64;
        let set = processors.as_mut_ptr() as u64;
        if call(libc::SYS_sched_getaffinity, [0, bytes, set]) < 0 {
            return None;
        }
        Some(Self {
            processors,
            nice: call(libc::SYS_getpriority, [libc::PRIO_PROCESS as u64, 0, 0]),
            policy: call(libc::SYS_sched_getscheduler, [0; 3]),
        })
    }

    /// On how many processors it may run.
    pub(crate) fn processors(&self) -> u32 {
        self.processors.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether it shares processors by the usual rules, under which a thread that looks for work does no harm.
    pub(crate) fn is_ordinary(&self) -> bool {
        matches!(self.policy as i32, libc::SCHED_OTHER | libc::SCHED_BATCH)
    }
}

/// Whether somebody counts the processor time of this process: a limit of it, or a timer that runs by it.
pub(crate) fn is_processor_time_counted() -> bool {
    let mut limit = [u64::MAX; 2];
    let limits = [libc::RLIMIT_CPU as u64, limit.as_mut_ptr() as u64, 0];
    let is_limited = call(libc::SYS_getrlimit, limits) == 0 && limit[0] != u64::MAX;
    let runs = |timer: libc::c_int| {
        let mut left = [0u64; 4];
        let args = [timer as u64, left.as_mut_ptr() as u64, 0];
        call(libc::SYS_getitimer, args) == 0 && left[2..] != [0, 0]
    };
    is_limited || runs(libc::ITIMER_VIRTUAL) || runs(libc::ITIMER_PROF)
}
