//! Names of segments: who takes them away, and never that of a living process.

use super::{path_of, small, unique_name};
use crate::reclaim::prune_one;
use crate::{Consumer, CreateError, SegmentConfig, SegmentWriter, Status, segment_name};
use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Names the segment that a copy of this test program is to write.
const NAME: &str = "VMMLOAD_TEST_SEGMENT";
/// The process that it is for.
const PID: &str = "VMMLOAD_TEST_PID";

/// Another process that writes a segment until it is killed.
struct Writer {
    process: Child,
    /// Of the segment's file.
    inode: u64,
}

impl Writer {
    /// Of a segment with this name, as if for process `pid`.
    fn start(name: &str, pid: u32) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::reclaiming::writes_until_killed"])
            .args(["--ignored", "--nocapture"])
            .env(NAME, name)
            .env(PID, pid.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let inode = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("inode ")?.parse().ok());
        let inode = inode.expect("the writer has created its segment");
        Self { process, inode }
    }

    fn has_name(&self, name: &str) -> bool {
        fs::metadata(path_of(name)).is_ok_and(|file| file.ino() == self.inode)
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
#[ignore = "runs in a process of its own, which is killed"]
fn writes_until_killed() {
    let Ok(name) = std::env::var(NAME) else {
        return;
    };
    let config = SegmentConfig {
        pid: std::env::var(PID).unwrap().parse().unwrap(),
        start: Some(0),
        ..small(1024)
    };
    let writer = SegmentWriter::create_named(&config, &name).unwrap();
    println!("\ninode {}", fs::metadata(path_of(&name)).unwrap().ino());
    thread::sleep(Duration::from_secs(60));
    drop(writer);
}

/// A number that no process has, of this test alone: the kernel's go up to 2^22.
fn nobody() -> u32 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (3 << 30) + std::process::id() * 64 + number as u32
}

fn is_pruned(pid: u32) -> bool {
    prune_one(pid, Some(crate::sys::effective_uid()))
}

#[test]
fn a_writer_that_was_killed_shows_as_died_and_its_segment_is_reclaimed() {
    let mut process = Command::new("sleep").arg("1000").spawn().unwrap();
    let (name, pid) = (unique_name(), process.id());
    let config = SegmentConfig { pid, ..small(1024) };
    let writer = Writer::start(&name, pid);
    let consumer = Consumer::open(&path_of(&name)).unwrap();
    assert_eq!(consumer.status(), Status::Running);
    let refused = SegmentWriter::create_named(&config, &name).unwrap_err();
    assert!(matches!(refused, CreateError::InUse { .. }), "{refused}");
    // Its memory is locked.
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(consumer.status(), Status::Died);
    let refused = SegmentWriter::create_named(&config, &name).unwrap_err();
    assert!(matches!(refused, CreateError::InUse { .. }), "{refused}");
    writer.kill();
    let successor = SegmentWriter::create_named(&config, &name).unwrap();
    assert!(path_of(&name).exists());
    drop(successor);
    assert!(!path_of(&name).exists());
}

#[test]
fn pruning_takes_dead_segments_and_leaves_living_ones_and_readers_alone() {
    let pid = nobody();
    let name = segment_name(pid);
    let writer = Writer::start(&name, pid);
    assert!(!is_pruned(pid) && writer.has_name(&name), "it is locked");
    let reader = Consumer::attach(pid).unwrap();
    writer.kill();
    assert!(is_pruned(pid) && !path_of(&name).exists());
    assert!(!is_pruned(pid));
    assert_eq!((reader.pid(), reader.status()), (pid, Status::Died));

    // Nothing but its process says that this one is in use.
    let mut process = Command::new("sleep").arg("1000").spawn().unwrap();
    let (pid, name) = (process.id(), segment_name(process.id()));
    Writer::start(&name, pid).kill();
    assert!(!is_pruned(pid) && path_of(&name).exists());
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(is_pruned(pid) && !path_of(&name).exists());
}

#[test]
fn a_segment_that_was_never_finished_goes_when_it_is_old() {
    let pids = [&b""[..], b"vmmload\0", &[0; 4096]].map(|content| {
        let pid = nobody();
        fs::write(path_of(&segment_name(pid)), content).unwrap();
        assert!(!is_pruned(pid), "its writer may be at it");
        pid
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_left = |pid: &u32| path_of(&segment_name(*pid)).exists();
    while pids.iter().any(is_left) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(100));
        let _ = pids.map(is_pruned);
    }
    assert!(!pids.iter().any(is_left));
}

#[test]
fn what_is_no_segment_is_left_alone() {
    let pid = nobody();
    let path = path_of(&segment_name(pid));
    fs::write(&path, [1; 4096]).unwrap();
    assert!(!is_pruned(pid));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(!is_pruned(pid));
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    assert!(!is_pruned(pid));
    fs::remove_file(&path).unwrap();
}

#[test]
fn an_unfinished_segment_in_the_way_of_a_new_one_is_replaced() {
    let pid = nobody();
    let path = path_of(&segment_name(pid));
    fs::write(&path, [0; 4096]).unwrap();
    let config = SegmentConfig { pid, ..small(1024) };
    let _writer = SegmentWriter::create(&config).unwrap();
    assert_eq!(Consumer::attach(pid).unwrap().pid(), pid);
}

#[test]
fn a_run_within_a_run_takes_the_name_over_for_good() {
    let config = SegmentConfig {
        start: Some(crate::sys::process_stat(std::process::id()).unwrap().start),
        ..small(1024)
    };
    let name = unique_name();
    let inode = || fs::metadata(path_of(&name)).map(|file| file.ino());
    let outer = SegmentWriter::create_named(&config, &name).unwrap();
    let first = inode().unwrap();
    let inner = SegmentWriter::create_named(&config, &name).unwrap();
    let second = inode().unwrap();
    assert_ne!(first, second);
    drop(outer);
    assert_eq!(inode().unwrap(), second);
    drop(inner);
    assert!(inode().is_err());
}

#[test]
fn a_shared_segment_is_never_readable_by_more_than_were_named() {
    // Who is not root can give files to no group that is not the one they have anyway.
    let group = match crate::sys::effective_uid() {
        0 => 4711,
        _ => fs::metadata("/proc/self").unwrap().gid(),
    };
    let (name, over) = (unique_name(), AtomicBool::new(false));
    let config = SegmentConfig {
        mode: 0o640,
        group: Some(group),
        ..small(1024)
    };
    let states = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut states = HashSet::new();
            while !over.load(Ordering::Relaxed) {
                let facts = fs::metadata(path_of(&name));
                states.extend(facts.map(|facts| (facts.mode() & 0o7777, facts.gid() == group)));
            }
            states
        });
        for _ in 0..500 {
            drop(SegmentWriter::create_named(&config, &name).unwrap());
        }
        over.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert!(states.contains(&(0o640, true)), "{states:?}");
    for (mode, is_groups) in states {
        assert!(
            mode & !0o600 == 0 || (mode, is_groups) == (0o640, true),
            "{mode:o}"
        );
    }
}

/// Two who prune against writers that are killed and come again under the same names. `/proc` knows nothing of
/// these writers, as where they run in another namespace of processes: only their locks tell that they live.
#[test]
fn no_living_segment_ever_loses_its_name() {
    const WRITERS: usize = 3;
    const TIME: Duration = Duration::from_secs(3);
    let pids: [u32; WRITERS] = std::array::from_fn(|_| nobody());
    let (over, pruned) = (AtomicBool::new(false), AtomicU64::new(0));
    let written: u64 = thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let removed = pids.iter().filter(|&&pid| is_pruned(pid)).count();
                    pruned.fetch_add(removed as u64, Ordering::Relaxed);
                }
            });
        }
        let writers = pids.map(|pid| scope.spawn(move || write_again_and_again(pid, TIME)));
        let written = writers.map(|writer| writer.join());
        over.store(true, Ordering::Relaxed);
        written.into_iter().map(Result::unwrap).sum()
    });
    let pruned = pruned.into_inner();
    assert!(written > 10, "{written} segments were written");
    assert!(pruned > 0 && pruned <= written, "{pruned} of {written}");
    let _ = pids.map(is_pruned);
}

/// How many segments were written under one name, each by a process that was killed.
fn write_again_and_again(pid: u32, time: Duration) -> u64 {
    let name = segment_name(pid);
    let deadline = Instant::now() + time;
    let mut written = 0;
    while Instant::now() < deadline {
        let writer = Writer::start(&name, pid);
        for _ in 0..written % 4 {
            thread::sleep(Duration::from_micros(300));
            assert!(writer.has_name(&name), "segment {written} of {name}");
        }
        assert!(writer.has_name(&name), "segment {written} of {name}");
        writer.kill();
        written += 1;
    }
    written
}

/// What looking for dead segments takes where all are alive. For people: `--ignored --nocapture`.
#[test]
#[ignore = "prints a time for people, and asserts nothing about it"]
fn pruning_among_a_hundred_living_segments() {
    let pids: [u32; 100] = std::array::from_fn(|_| nobody());
    let config = |pid| SegmentConfig { pid, ..small(1024) };
    let writers = pids.map(|pid| SegmentWriter::create(&config(pid)).unwrap());
    let files = fs::read_dir(path_of("")).unwrap().count();
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let start = Instant::now();
            crate::prune_own();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "{files} files: least {:?}, median {:?}",
        times[0], times[10]
    );
    drop(writers);
}
