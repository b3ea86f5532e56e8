//! Processes that do little else than make system calls, in each way that vmmload has to serve them: their children and
//! programs, their ends, their stops, and the time that they use. See `call_modes.rs`.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Program, Session, call_mode_tests, call_modes, machine};

call_mode_tests! {
    children_are_forked_from_all_threads_between_calls: "calls/starts" ["fork"];
    children_borrow_memory_and_thread_between_calls: "calls/starts" ["vfork"];
    programs_are_spawned_from_all_threads_between_calls: "calls/starts" ["spawn"];
    programs_and_ends_come_from_other_threads_than_the_first: "calls/starts" ["ends"];
    children_are_forked_by_handlers_between_calls: "calls/starts" ["handler"];
    keys_of_a_terminal_stop_and_interrupt_calling_programs: "calls/terminal";
    no_clock_of_a_calling_process_is_ahead_of_time: "calls/clocks" ["clocks"];
    timers_of_the_time_used_fire_and_not_too_early: "calls/clocks" ["timers"];
    virtual_timer_fires_and_not_too_early: "calls/clocks" ["virtual"];
    limit_of_a_second_ends_a_calling_process_after_a_second: "calls/clocks" ["limit"];
}

/// The counting guest, natively or inside, with the file that it counts in.
struct Counting {
    session: Session,
    file: PathBuf,
    _scratch: Scratch,
}

/// So many threads count: natively, which shows that the test itself is right, and in each mode.
fn each_counting(threads: usize, act: impl Fn(&mut Counting)) {
    let start = |command: fn(&Program) -> Command, mode: &str| {
        let scratch = Scratch::new();
        let file = scratch.path().join("counts");
        let program = Guest::new("calls/counter").program();
        let program = program.arg(&file).arg(threads.to_string());
        let mut session = Session::start(command(&program.env(call_modes::VARIABLE, mode)));
        assert_eq!(session.line(), "ready");
        let mut counting = Counting {
            session,
            file,
            _scratch: scratch,
        };
        counting.goes_on();
        act(&mut counting);
    };
    start(Program::native_command, "");
    if machine::can_run_inside() {
        for mode in call_modes::chosen() {
            start(Program::inside_command, &mode);
        }
    }
}

impl Counting {
    /// What each thread has counted.
    fn counts(&self) -> Vec<u64> {
        let bytes = fs::read(&self.file).expect("the guest has made the file");
        let words = bytes.chunks_exact(8).map(|word| word.try_into());
        words
            .map(|word| u64::from_ne_bytes(word.expect("eight bytes")))
            .collect()
    }

    /// Waits until every thread that has ever counted has counted on.
    #[track_caller]
    fn goes_on(&mut self) {
        let before = self.counts();
        let deadline = Instant::now() + machine::patience(Duration::from_secs(20));
        let is_behind = |now: &[u64]| {
            let mut pairs = before.iter().zip(now);
            let all = before.iter().all(|&count| count == 0);
            pairs.any(|(&before, &now)| before > 0 && now <= before) || (all && now[0] == 0)
        };
        while is_behind(&self.counts()) {
            assert!(Instant::now() < deadline, "does not count on: {before:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[track_caller]
    fn stands_still(&self) {
        let before = self.counts();
        thread::sleep(Duration::from_millis(200));
        assert_eq!(before, self.counts(), "a stopped program does nothing");
    }

    #[track_caller]
    fn expect_change(&self, flags: i32) -> ExitStatus {
        let change = self.session.change(flags);
        change.expect("the change is reported to the parent")
    }

    #[track_caller]
    fn stops_and_continues(&mut self, signal: i32) {
        self.session.signal(signal);
        let status = self.expect_change(libc::WUNTRACED);
        assert_eq!(status.stopped_signal(), Some(signal), "{status}");
        self.stands_still();
        self.session.signal(libc::SIGCONT);
        let status = self.expect_change(libc::WCONTINUED);
        assert!(status.continued(), "{status}");
        self.goes_on();
    }

    /// Dies of the signal, soon and as a whole.
    #[track_caller]
    fn dies_of(&mut self, signal: i32) {
        let pid = self.session.pid();
        let begin = Instant::now();
        self.session.signal(signal);
        let status = self.session.finish();
        let took = begin.elapsed();
        assert_eq!(status.signal(), Some(signal), "{status}");
        assert!(
            took < machine::patience(Duration::from_secs(10)),
            "{took:?}"
        );
        assert_eq!(members_of_group(pid), [0; 0], "left of the group");
        self.stands_still();
    }
}

/// All processes of a group that live, by number. The harness gives each command a group of its own.
fn members_of_group(group: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc can be listed");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_group = |&pid: &i32| {
        let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
        let stat = stat.unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' '));
        fields.and_then(|mut fields| fields.nth(2)?.parse().ok()) == Some(group)
    };
    pids.filter(of_group).collect()
}

#[test]
fn stopped_threads_make_no_call_until_they_are_continued() {
    for threads in [1, 4] {
        each_counting(threads, |counting| {
            for signal in [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGSTOP] {
                counting.stops_and_continues(signal);
            }
            counting.dies_of(libc::SIGTERM);
        });
    }
}

#[test]
fn program_that_is_stopped_while_it_calls_can_be_killed() {
    each_counting(3, |counting| {
        counting.session.signal(libc::SIGSTOP);
        counting.expect_change(libc::WUNTRACED);
        counting.stands_still();
        counting.dies_of(libc::SIGKILL);
    });
}

#[test]
fn calling_threads_are_killed_as_a_whole() {
    for threads in [1, 4, 40] {
        each_counting(threads, |counting| counting.dies_of(libc::SIGKILL));
    }
}

#[test]
fn calling_program_dies_of_what_it_is_sent() {
    for signal in [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGALRM,
        libc::SIGRTMIN() + 3,
    ] {
        each_counting(4, |counting| counting.dies_of(signal));
    }
}

#[test]
fn calling_program_dies_of_signals_that_dump_core() {
    for signal in [libc::SIGQUIT, libc::SIGABRT, libc::SIGSEGV, libc::SIGSYS] {
        each_counting(4, |counting| counting.dies_of(signal));
    }
}

#[test]
fn hundreds_of_stops_lose_no_call() {
    each_counting(2, |counting| {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(2) {
            counting.session.signal(libc::SIGSTOP);
            counting.session.signal(libc::SIGCONT);
            thread::sleep(Duration::from_millis(3));
        }
        counting.goes_on();
        counting.dies_of(libc::SIGTERM);
    });
}
