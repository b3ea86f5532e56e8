//! Thousands of processes and programs, and hundreds of threads that send each other signals: nothing is lost,
//! and nothing is left behind.
//!
//! `VMMLOAD_STRESS=full` does all of it, which takes some minutes on a slow KVM; otherwise a part is done.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use vmmload_tests::{Guest, Program, Session, machine};

/// How often something is done: in full, and usually.
fn times(full: u64, usually: u64) -> u64 {
    let in_full = std::env::var("VMMLOAD_STRESS").is_ok_and(|value| value == "full");
    machine::work(if in_full { full } else { usually }).max(4)
}

fn guest(name: &str, words: &[&str]) -> Program {
    let program = Guest::new(name).program().args(words);
    program.limit(Duration::from_secs(900))
}

#[test]
fn thousands_of_forks_copy_the_memory_and_report_their_ends() {
    let count = times(10_000, 1_600).to_string();
    guest("processes/many_forks", &[&count]).compare_success();
}

#[test]
fn program_executes_itself_hundreds_of_times() {
    let count = times(1_000, 240).to_string();
    guest("processes/many_execs", &["chain", &count]).compare_success();
}

#[test]
fn hundreds_of_programs_are_started_in_each_way() {
    let count = times(1_000, 240).to_string();
    guest("processes/many_execs", &["start", &count]).compare_success();
}

#[test]
fn hundreds_of_threads_lose_no_real_time_signal() {
    let threads = times(200, 200).to_string();
    let signals = times(200, 40).to_string();
    guest("threads/signal_storm", &[&threads, &signals]).compare_success();
}

/// What a process has, as the host sees it.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    mappings: usize,
    threads: usize,
    children: usize,
    private_kib: u64,
    shared_kib: u64,
}

impl Holdings {
    fn of(pid: i32) -> Self {
        let entries = |what: &str| {
            let listed = fs::read_dir(format!("/proc/{pid}/{what}"));
            listed.expect("the process is ours and lives").count()
        };
        let read = |what: &str| {
            let text = fs::read_to_string(format!("/proc/{pid}/{what}"));
            text.expect("the process is ours and lives")
        };
        let status = read("status");
        // Not of files: how much of those is mapped is the page cache's affair.
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            let number: Option<u64> = number.and_then(|number| number.parse().ok());
            number.expect("the kernel tells it in KiB")
        };
        Self {
            descriptors: entries("fd"),
            mappings: read("maps").lines().count(),
            threads: entries("task"),
            children: children(pid).len(),
            private_kib: kib("RssAnon:"),
            shared_kib: kib("RssShmem:"),
        }
    }

    /// Once the kernel has done away with the last thread, which may take it a moment.
    fn once_quiet(pid: i32) -> Self {
        let deadline = Instant::now() + machine::patience(Duration::from_secs(5));
        loop {
            let (before, now) = (Self::of(pid), {
                thread::sleep(Duration::from_millis(50));
                Self::of(pid)
            });
            if before == now || Instant::now() > deadline {
                return now;
            }
        }
    }
}

/// The fields of `/proc/PID/stat` behind the name: state, parent, group ...
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(String::from).collect())
}

fn processes() -> impl Iterator<Item = (i32, Vec<String>)> {
    let entries = fs::read_dir("/proc").expect("/proc can be listed");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?)))
}

/// Living and dead: a zombie is still its parent's child.
fn children(pid: i32) -> Vec<i32> {
    let parent = pid.to_string();
    let own = processes().filter(|(_, stat)| stat[1] == parent);
    own.map(|(pid, _)| pid).collect()
}

fn members_of_group(group: i32) -> Vec<i32> {
    let group = group.to_string();
    let members = processes().filter(|(_, stat)| stat[2] == group);
    members.map(|(pid, _)| pid).collect()
}

/// Does it some times, so that all that is kept for the next time is there, then many times; the process
/// must hold what it held before.
#[track_caller]
fn leaves_nothing(what: &str, first: u64, then: u64) {
    if !machine::can_run_inside() {
        return;
    }
    let program = Guest::new("processes/repeat").program().arg(what);
    let mut session = Session::start(program.inside_command());
    let pid = session.pid();
    let mut started = vec![pid];
    let mut round = |times: u64| {
        session.send(&format!("{times}\n"));
        let line = session.line_within(machine::patience(Duration::from_secs(600)));
        let line = line.unwrap_or_else(|cause| panic!("{times} {what}: {cause}"));
        started.extend(
            line.split_whitespace()
                .filter_map(|word| word.parse::<i32>().ok()),
        );
        assert!(line.ends_with("done"), "{line}");
        Holdings::once_quiet(pid)
    };
    let before = round(first);
    let after = round(then);
    println!("{what}: {before:?}, {then} more: {after:?}");
    // More threads than ever may have lived at once, and neighbours may be one mapping or two; but what is
    // left each time is more than that.
    for (before, after) in [
        (before.descriptors, after.descriptors),
        (before.mappings, after.mappings),
        (before.threads, after.threads),
    ] {
        assert!(after <= before + 12, "{after} instead of {before}");
    }
    assert_eq!(after.children, 0);
    // A few hundred bytes each time would be more.
    let grown = after.private_kib.saturating_sub(before.private_kib);
    assert!(grown <= 256 + then / 8, "{grown} KiB more");
    // The segment has memory for its records as they come, until its rings have gone round once.
    let grown = after.shared_kib.saturating_sub(before.shared_kib);
    assert!(grown <= 4096, "{grown} KiB more in shared memory");
    assert!(session.finish().success());
    let members = members_of_group(pid);
    assert!(members.is_empty(), "of the group are left: {members:?}");
    started.retain(|pid| Path::new(&format!("/dev/shm/vmmload-{pid}")).exists());
    // A number may have been given to a process of another test by now.
    started.retain(|&pid| stat(pid).is_none());
    assert!(
        started.is_empty(),
        "segments of the dead are left: {started:?}"
    );
}

#[test]
fn threads_that_come_and_go_leave_nothing_behind() {
    leaves_nothing("threads", 50, times(5_000, 600));
}

#[test]
fn children_that_come_and_go_leave_nothing_behind() {
    leaves_nothing("forks", 10, times(1_000, 150));
}

#[test]
fn images_that_replace_each_other_leave_nothing_behind() {
    leaves_nothing("execs", 5, times(500, 60));
}
