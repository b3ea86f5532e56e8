//! Keeps a copy of a wrapped process's heap while it changes, and proves at the end that it is the heap.
//!
//! `cargo run -p vmmload-consumer --example incremental -- PID [SECONDS]`
//!
//! Each epoch, only the pages that were written since the last one are copied, out of /proc/PID/mem. For the
//! proof the process is stopped for a moment (SIGSTOP) and its whole heap is read. Where that differs from the copy,
//! the page must be among those that are reported as written as soon as the process goes on: then
//! nobody who copies what is reported ever misses a change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, io, thread};
use vmmload_consumer::{Consumer, MappingClass, Status, Woken};

const PAGE: u64 = 4096;
/// Epochs of programs with little time on a processor go on for long, since tracking may take only so much of it.
const LONGEST_EPOCH: Duration = Duration::from_secs(60);
/// A store at the very end of an epoch may count in the next one.
const EPOCHS_OF_PROOF: u32 = 3;

type Failure = Box<dyn std::error::Error>;
type Page = [u8; PAGE as usize];
type Pages = BTreeMap<u64, Page>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let number = |index: usize| args.get(index).and_then(|arg| arg.parse().ok());
    let Some(pid) = number(0) else {
        eprintln!("usage: incremental PID [SECONDS]; `vmmload ls` shows the pids");
        return ExitCode::FAILURE;
    };
    let time = Duration::from_secs(number(1).unwrap_or(5).into());
    match Replica::of(pid).and_then(|replica| replica.run(time)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("incremental: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The copy, and what it takes to keep it.
struct Replica {
    consumer: Consumer,
    memory: File,
    pages: Pages,
    /// Up to the end of this epoch, the copy has every change.
    epoch: u32,
    copied: u64,
}

impl Replica {
    fn of(pid: u32) -> Result<Self, Failure> {
        Ok(Self {
            consumer: Consumer::attach(pid)?,
            memory: File::open(format!("/proc/{pid}/mem"))?,
            pages: Pages::new(),
            epoch: 0,
            copied: 0,
        })
    }

    fn run(mut self, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        let mut rounds = 0;
        while Instant::now() < end {
            self.wait_for_epoch()?;
            self.update()?;
            rounds += 1;
        }
        println!(
            "{rounds} rounds: {} pages in the copy, {} copied in all",
            self.pages.len(),
            self.copied
        );
        self.prove()
    }

    /// Sleeps until another epoch has ended.
    fn wait_for_epoch(&mut self) -> Result<(), Failure> {
        // The records themselves are not needed: what was written is asked for by epoch.
        self.consumer.skip_to_now();
        match self.consumer.wait(Some(LONGEST_EPOCH)) {
            Woken::News => Ok(()),
            Woken::TimedOut => {
                Err("no epoch has ended for a minute; is the process stopped?".into())
            }
            Woken::Over => Err("the process is gone, and its memory with it".into()),
        }
    }

    /// Copies what was written since the last time, and what is new.
    fn update(&mut self) -> Result<BTreeSet<u64>, Failure> {
        // Asked first, copied then: what is stored meanwhile is in the next answer.
        let written = self.consumer.pages_written_since(self.epoch)?;
        let heap = self.heap();
        self.pages.retain(|page, _| heap.contains(page));
        let written_pages: BTreeSet<u64> = written.pages.into_iter().collect();
        for page in heap.step_by(PAGE as usize) {
            if !self.pages.contains_key(&page) || written_pages.contains(&page) {
                self.copy(page);
            }
        }
        self.epoch = written.epoch;
        Ok(written_pages)
    }

    fn copy(&mut self, page: u64) {
        self.copied += 1;
        match read_page(&self.memory, page) {
            Ok(bytes) => self.pages.insert(page, bytes),
            // Given back since the table of mappings was published.
            Err(_) => self.pages.remove(&page),
        };
    }

    fn heap(&self) -> Range<u64> {
        let mappings = self.consumer.mappings().unwrap_or_default();
        let mut heap = mappings
            .entries
            .iter()
            .filter(|entry| entry.class == MappingClass::Heap);
        let first = heap.next().map_or(0..0, |entry| entry.start..entry.end);
        heap.fold(first, |whole, entry| whole.start..entry.end)
    }

    fn prove(mut self) -> Result<(), Failure> {
        self.wait_for_epoch()?;
        self.update()?;
        let truth = self.stopped(|replica| {
            let pages = replica.heap().step_by(PAGE as usize);
            let read = |page| Some((page, read_page(&replica.memory, page).ok()?));
            pages.filter_map(read).collect::<Pages>()
        })?;
        let differs =
            |(page, bytes): (&u64, &Page)| (self.pages.get(page) != Some(bytes)).then_some(*page);
        let different: BTreeSet<u64> = truth.iter().filter_map(differs).collect();
        let since = self.epoch;
        while self.epoch < since + EPOCHS_OF_PROOF {
            self.wait_for_epoch()?;
            self.epoch = self.consumer.pages_written_since(since)?.epoch;
        }
        let reported: BTreeSet<u64> = self
            .consumer
            .pages_written_since(since)?
            .pages
            .into_iter()
            .collect();
        // New memory is no change of a page that was copied.
        let known = |page: &&u64| self.pages.contains_key(page);
        let missed: Vec<&u64> = different.difference(&reported).filter(known).collect();
        println!(
            "stopped: {} pages, of which {} had changed since the last round",
            truth.len(),
            different.len()
        );
        match missed.first() {
            None => {
                println!(
                    "equal: every change is among the {} pages reported since",
                    reported.len()
                );
                Ok(())
            }
            Some(page) => Err(format!(
                "{} changed pages were not reported; the first is {page:#x}",
                missed.len()
            )
            .into()),
        }
    }

    /// Calls `look` while the process stands still.
    fn stopped<T>(&self, look: impl FnOnce(&Self) -> T) -> Result<T, Failure> {
        let pid = self.consumer.pid();
        signal(libc::SIGSTOP, pid)?;
        let end = Instant::now() + Duration::from_secs(10);
        while !is_stopped(pid)? {
            if Instant::now() > end || self.consumer.status() != Status::Running {
                signal(libc::SIGCONT, pid)?;
                return Err("the process cannot be stopped".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        let seen = look(self);
        signal(libc::SIGCONT, pid)?;
        Ok(seen)
    }
}

fn read_page(memory: &File, page: u64) -> io::Result<Page> {
    let mut bytes = [0; PAGE as usize];
    memory.read_exact_at(&mut bytes, page)?;
    Ok(bytes)
}

fn signal(signal: i32, pid: u32) -> io::Result<()> {
    // SAFETY: kill(2) takes numbers and touches no memory.
    match unsafe { libc::kill(pid as libc::pid_t, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether all threads of a process stand still (proc_pid_stat(5), field 3).
fn is_stopped(pid: u32) -> Result<bool, Failure> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("stat"))?;
        let state = stat.rsplit_once(") ").map(|(_, fields)| &fields[..1]);
        if state != Some("T") {
            return Ok(false);
        }
    }
    Ok(true)
}
