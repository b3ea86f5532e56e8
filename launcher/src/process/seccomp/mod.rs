//! seccomp: what the program has filtered of its own calls.
//!
//! The kernel is not told: its filters would judge the launcher's calls, too. They are checked here by
//! its rules and asked before each call of the program's. Only a program that is executed natively
//! takes them along as the kernel's own.

pub(crate) mod bpf;
mod threads;

use std::sync::Arc;

use bpf::{Data, Program};
pub(crate) use threads::{Registry, ThreadFilters};

/// What a thread's calls are judged by. The values are prctl(2)'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    /// Nothing.
    #[default]
    Off = 0,
    /// read, write, exit and rt_sigreturn are left.
    Strict = 1,
    /// Filters.
    Filter = 2,
}

/// One filter, with the call that installed it: the one call that all filters before it let through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The program.
    pub program: Program,
    /// Flags of seccomp(2); none for prctl(2).
    pub flags: Option<u32>,
}

/// A thread's state: mode, and filters, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The mode.
    pub mode: Mode,
    /// The filters that judge each call, all of them.
    pub filters: Arc<Vec<Arc<Filter>>>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is made.
    Allow,
    /// It is not made and fails with this error number.
    Errno(i32),
    /// It is not made; SIGSYS with this si_errno.
    Trap(i32),
    /// The thread ends, by this signal; the last one takes the process along as its death would.
    EndThread(i32),
    /// The process dies of SIGSYS.
    KillProcess,
}

// linux/seccomp.h
pub(crate) const RET_KILL_PROCESS: u32 = 0x8000_0000;
pub(crate) const RET_KILL_THREAD: u32 = 0;
pub(crate) const RET_TRAP: u32 = 0x0003_0000;
pub(crate) const RET_ERRNO: u32 = 0x0005_0000;
pub(crate) const RET_USER_NOTIF: u32 = 0x7fc0_0000;
pub(crate) const RET_TRACE: u32 = 0x7ff0_0000;
pub(crate) const RET_LOG: u32 = 0x7ffc_0000;
pub(crate) const RET_ALLOW: u32 = 0x7fff_0000;
const RET_ACTION: u32 = 0xffff_0000;
const RET_DATA: u32 = 0x0000_ffff;

/// The highest error number that a call can return.
const MAX_ERRNO: u32 = 4095;
/// Instructions of all filters of a thread together (MAX_INSNS_PER_PATH),
const MOST_INSTRUCTIONS: usize = (1 << 18) / size_of::<bpf::Instruction>();
/// and what each filter counts on top.
const PENALTY: usize = 4;

impl Setting {
    /// Whether a filter of this program may join the others.
    pub(crate) fn has_room_for(&self, program: &Program) -> bool {
        let others = self.filters.iter();
        let others = others.map(|filter| filter.program.converted_len() + PENALTY);
        program.converted_len() + others.sum::<usize>() <= MOST_INSTRUCTIONS
    }

    /// This, with one filter more.
    pub(crate) fn with(&self, filter: Arc<Filter>) -> Self {
        let mut filters = Vec::clone(&self.filters);
        filters.push(filter);
        Self {
            mode: Mode::Filter,
            filters: Arc::new(filters),
        }
    }

    /// Whether `other` began as this: the same filters, and perhaps more.
    fn is_ancestor_of(&self, other: &Self) -> bool {
        let Some(last) = self.filters.last() else {
            return true;
        };
        let same = other.filters.get(self.filters.len() - 1);
        same.is_some_and(|same| Arc::ptr_eq(same, last))
    }

    /// What becomes of the call that `data` describes.
    pub(crate) fn judge(&self, data: &Data) -> Verdict {
        match self.mode {
            Mode::Off => Verdict::Allow,
            Mode::Strict => match i64::from(data.nr()) {
                libc::SYS_read | libc::SYS_write | libc::SYS_exit | libc::SYS_rt_sigreturn => {
                    Verdict::Allow
                }
                _ => Verdict::EndThread(libc::SIGKILL),
            },
            Mode::Filter => verdict(self.answer(data)),
        }
    }

    /// The filters' answer: that of the sharpest, of the newest among equals.
    fn answer(&self, data: &Data) -> u32 {
        let sharpness = |answer: u32| (answer & RET_ACTION) as i32;
        self.filters.iter().rev().fold(RET_ALLOW, |answer, filter| {
            let own = filter.program.run(data);
            match sharpness(own) < sharpness(answer) {
                true => own,
                false => answer,
            }
        })
    }
}

fn verdict(answer: u32) -> Verdict {
    let data = answer & RET_DATA;
    match answer & RET_ACTION {
        RET_ALLOW | RET_LOG => Verdict::Allow,
        RET_ERRNO => Verdict::Errno(data.min(MAX_ERRNO) as i32),
        // Nobody traces, and nobody listens.
        RET_TRACE | RET_USER_NOTIF => Verdict::Errno(libc::ENOSYS),
        RET_TRAP => Verdict::Trap(data as i32),
        RET_KILL_THREAD => Verdict::EndThread(libc::SIGSYS),
        _ => Verdict::KillProcess,
    }
}

#[cfg(test)]
mod tests {
    use super::bpf::Instruction;
    use super::*;

    fn returning(k: u32) -> Arc<Filter> {
        let end = Instruction {
            code: 6,
            jt: 0,
            jf: 0,
            k,
        };
        let program = Program::check(vec![end]).expect("a valid program");
        Arc::new(Filter {
            program,
            flags: None,
        })
    }

    fn judged(answers: &[u32]) -> Verdict {
        let none = Setting::default();
        let all = answers.iter().fold(none, |s, &k| s.with(returning(k)));
        all.judge(&Data::new(0, 0, &[0; 6]))
    }

    #[test]
    fn the_sharpest_answer_counts_and_of_equals_the_newest() {
        assert_eq!(judged(&[RET_ALLOW, RET_LOG, RET_ALLOW]), Verdict::Allow);
        assert_eq!(judged(&[RET_ERRNO | 1, RET_ERRNO | 2]), Verdict::Errno(2));
        assert_eq!(judged(&[RET_TRAP | 9, RET_ERRNO | 2]), Verdict::Trap(9));
        let killed = Verdict::EndThread(libc::SIGSYS);
        assert_eq!(judged(&[RET_TRAP, RET_KILL_THREAD, RET_ERRNO]), killed);
        assert_eq!(judged(&[RET_KILL_PROCESS, 0]), Verdict::KillProcess);
    }

    #[test]
    fn an_answer_that_the_kernel_does_not_know_kills() {
        assert_eq!(judged(&[0x0001_0000]), Verdict::KillProcess);
        assert_eq!(judged(&[RET_ERRNO | 0xffff]), Verdict::Errno(4095));
    }

    #[test]
    fn strict_mode_leaves_four_calls() {
        let strict = Setting {
            mode: Mode::Strict,
            ..Setting::default()
        };
        let judge = |nr: i64| strict.judge(&Data::new(nr as i32, 0, &[0; 6]));
        assert_eq!(judge(libc::SYS_write), Verdict::Allow);
        let killed = Verdict::EndThread(libc::SIGKILL);
        assert_eq!(judge(libc::SYS_exit_group), killed);
    }

    #[test]
    fn filters_of_a_thread_have_a_common_limit() {
        let mut all = Setting::default();
        let one = returning(0);
        while all.has_room_for(&one.program) {
            all = all.with(one.clone());
        }
        // 5 instructions each, and 4 on top for each but the new one.
        assert_eq!(all.filters.len(), (32_768 - 5) / 9 + 1);
    }
}
