//! Signals that end the process while every thread that could take one waits where no handler runs.
//!
//! The kernel ends such waits (TASK_KILLABLE) for a signal that it knows to be fatal. Those that the program
//! leaves to the default are caught on the host, so that the last epoch is published first: the kernel takes
//! them for harmless, and they stay pending. The harvester's thread, which runs all the time, sees that.

use super::signals::{SIGNALS, bit};
use super::state::Process;
use super::{HELPERS, lifecycle};
use crate::host::{proc_files, signals as host};

/// What was pending for the process when it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Overdue(u64);

impl Overdue {
    /// Ends the process if a fatal signal that some thread should have taken is still pending.
    pub(crate) fn check(&mut self, process: &Process) {
        let pending = host::pending();
        let overdue = pending & self.0;
        self.0 = pending;
        if overdue == 0 {
            return;
        }
        let fatal = overdue & process.dispositions.fatal() & !blocked_by_all();
        let first = (1..=SIGNALS).find(|&signal| fatal & bit(signal) != 0);
        if let Some(signal) = first {
            lifecycle::die_by_signal(process, signal);
        }
    }
}

/// The signals that no thread of the program would take.
fn blocked_by_all() -> u64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return u64::MAX;
    };
    let masks = threads.flatten().filter_map(|thread| {
        let status = proc_files::text(thread.path().join("status").to_str()?)?;
        let line = |name| status.lines().find_map(|l| l.strip_prefix(name));
        if HELPERS.contains(&line("Name:")?.trim()) {
            return None;
        }
        u64::from_str_radix(line("SigBlk:")?.trim(), 16).ok()
    });
    masks.fold(u64::MAX, |all, mask| all & mask)
}
