//! How the kernel places the calling thread, and whether a second thread of ours beside it would show.

use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use super::descriptors::Parked;
use super::{filesystem, origin, relay};

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

/// What the kernel tells of how busy the machine is. The file stays open, as the program's numbers of descriptors must
/// not show that it is looked at.
#[derive(Default)]
pub(crate) struct Load(OnceLock<Option<Parked>>);

impl Load {
    /// Whether more threads want a processor than there are on the whole machine: then another one of ours would only
    /// take turns with them. False where the kernel does not tell.
    pub(crate) fn are_processors_short(&self) -> bool {
        static ONLINE: OnceLock<u32> = OnceLock::new();
        // SAFETY: sysconf touches no memory of ours.
        let online =
            ONLINE.get_or_init(|| unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) } as u32);
        self.runnable().is_some_and(|threads| threads > *online)
    }

    /// Threads that run or want to, the calling one among them: the fourth number of proc_loadavg(5).
    fn runnable(&self) -> Option<u32> {
        let open = |proc| Parked::open(|| filesystem::open_at(proc, c"loadavg")).ok();
        let file = self.0.get_or_init(|| origin::descriptor().and_then(open));
        let file = file.as_ref()?.file();
        let mut text = [0u8; 64];
        let length = file.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        text.split(' ').nth(3)?.split('/').next()?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_placed_as_the_kernel_says() {
        let own = Placement::own().unwrap();
        let online = std::thread::available_parallelism().unwrap().get();
        assert!(own.processors() as usize >= online);
        assert!(own.is_ordinary());
        assert_eq!(Placement::own(), Some(own));
    }

    #[test]
    fn the_calling_thread_is_among_those_that_run() {
        origin::remember();
        let load = Load::default();
        assert!(load.runnable().unwrap() >= 1);
        assert!(load.runnable().unwrap() >= 1);
    }

    #[test]
    fn a_timer_of_processor_time_shows() {
        assert!(!is_processor_time_counted());
        let timer = [0u64, 0, 1000, 0];
        let args = [libc::ITIMER_PROF as u64, timer.as_ptr() as u64, 0];
        assert_eq!(call(libc::SYS_setitimer, args), 0);
        assert!(is_processor_time_counted());
        let none = [0u64; 4];
        let args = [libc::ITIMER_PROF as u64, none.as_ptr() as u64, 0];
        assert_eq!(call(libc::SYS_setitimer, args), 0);
        assert!(!is_processor_time_counted());
    }
}
