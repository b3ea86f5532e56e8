//! Processes that came and went between two looks, so that nothing of them could be counted.

use std::collections::HashSet;
use std::fs;
use vmmload_consumer::{Child, ProcessId};

/// How many are remembered that no parent has told of.
const MOST_MET: usize = 4096;

/// Finds them: parents tell of their children, and who executes another program says so.
#[derive(Debug)]
pub(crate) struct Missed {
    /// Children from before that are none of ours, `CLOCK_MONOTONIC` nanoseconds.
    since_ns: u64,
    /// Those that were told of, and have not been met yet.
    expected: HashSet<ProcessId>,
    /// Those that were met, and that no parent has told of yet.
    met: HashSet<ProcessId>,
    count: u64,
}

impl Missed {
    /// Of those that come from now on.
    pub(crate) fn since(since_ns: u64) -> Self {
        Self {
            since_ns,
            expected: HashSet::new(),
            met: HashSet::new(),
            count: 0,
        }
    }

    /// A process, or another program that it executes, is watched from now on.
    pub(crate) fn meet(&mut self, process: ProcessId) {
        if !self.expected.remove(&process) {
            self.met.insert(process);
        }
    }

    /// A parent has told of a child.
    pub(crate) fn tell(&mut self, child: Child) {
        // One that the parent could not name is not to be found either.
        if child.time_ns < self.since_ns || child.process.pid == 0 {
            return;
        }
        if !self.met.remove(&child.process) {
            self.expected.insert(child.process);
        }
    }

    /// A process has said that it executes another program in vmmload.
    pub(crate) fn executes(&mut self, process: ProcessId) {
        self.expected.insert(process);
    }

    /// Counts those that are gone without having been met. Those that are watched have been.
    pub(crate) fn settle(
        &mut self,
        is_alive: impl Fn(ProcessId) -> bool,
        is_watched: impl Fn(ProcessId) -> bool,
    ) {
        self.expected.retain(|&process| !is_watched(process));
        let before = self.expected.len();
        self.expected.retain(|&process| is_alive(process));
        self.count += (before - self.expected.len()) as u64;
        // A parent may tell late, of a child that has ended; of the first process of all nobody tells.
        if self.met.len() > MOST_MET {
            self.met.retain(|&process| is_watched(process));
        }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

/// Whether a process runs: it, and not another one that has its id by now, and not only what its parent has yet to
/// wait for.
pub(crate) fn is_alive(process: ProcessId) -> bool {
    let stat = fs::read(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    let Some((_, behind)) = stat.rsplit_once(')') else {
        return false;
    };
    // Fields 3, 20 and 22 of proc_pid_stat(5). A first thread that has left before the others is a zombie until they
    // leave.
    let mut fields = behind.split_whitespace();
    let (state, threads) = (fields.next(), fields.nth(16));
    let start = fields.nth(1);
    let is_over = matches!(state, Some("Z" | "X")) && matches!(threads, Some("0" | "1"));
    !is_over && start == Some(&process.start.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> ProcessId {
        ProcessId { pid, start: 7 }
    }

    fn child(pid: u32, time_ns: u64) -> Child {
        let process = process(pid);
        Child { process, time_ns }
    }

    #[test]
    fn a_child_that_is_never_met_is_missed_once() {
        let mut missed = Missed::since(100);
        missed.tell(child(1, 50));
        missed.tell(child(2, 150));
        missed.settle(|_| true, |_| false);
        assert_eq!(missed.count(), 0);
        missed.settle(|_| false, |_| false);
        missed.settle(|_| false, |_| false);
        assert_eq!(missed.count(), 1);
    }

    #[test]
    fn a_child_is_not_missed_whether_it_is_met_or_told_of_first() {
        let mut missed = Missed::since(0);
        missed.meet(process(1));
        missed.tell(child(1, 1));
        missed.tell(child(2, 1));
        missed.meet(process(2));
        missed.settle(|_| false, |_| false);
        assert_eq!(missed.count(), 0);
    }

    #[test]
    fn a_program_that_is_executed_and_never_met_is_missed() {
        let mut missed = Missed::since(0);
        missed.executes(process(1));
        missed.meet(process(1));
        missed.meet(process(2));
        missed.executes(process(2));
        missed.settle(|_| false, |_| true);
        missed.executes(process(1));
        missed.settle(|_| false, |_| false);
        assert_eq!(missed.count(), 1);
    }

    #[test]
    fn a_process_is_alive_with_the_start_that_it_has() {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let (_, behind) = stat.rsplit_once(')').unwrap();
        let start = behind.split_whitespace().nth(19).unwrap().parse().unwrap();
        let pid = std::process::id();
        assert!(is_alive(ProcessId { pid, start }));
        let start = start + 1;
        assert!(!is_alive(ProcessId { pid, start }));
        assert!(!is_alive(ProcessId { pid: 0, start: 0 }));
    }
}
