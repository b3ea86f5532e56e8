//! The harvester: each epoch, drains the rings and publishes, without stopping a vCPU.

use std::io;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vmmload_consumer::{
    Consumer, Counter, CreateError, End, MappingEntry, PROT_SHARED, SegmentConfig, SegmentWriter,
};

use super::pace::Pace;
use super::settle::Settler;
use super::ticks::{Stop, Ticks};
use super::vcpu_log::{Take, VcpuLog};
use crate::cli::RunConfig;
use crate::host::threads::{self, SpawnedThread};
use crate::host::{clock, messages, origin, signals as host};
use crate::kvm::dirty_ring::DirtyRing;
use crate::process::mappings::Mapping;
use crate::process::stack;
use crate::process::state::{Process, VcpuStats};

/// The data path of one process. Whoever holds its lock is the ring's one writer: the harvester each
/// epoch, a vCPU's thread when its ring is full, the last thread at the end.
pub(crate) struct Tracker {
    harvest: Mutex<Harvest>,
    /// The harvester, while it runs.
    thread: Mutex<Option<Harvester>>,
}

struct Harvester {
    stop: Arc<Stop>,
    thread: SpawnedThread,
}

struct Harvest {
    writer: SegmentWriter,
    settler: Settler,
    logs: Vec<VcpuLog>,
    epoch: u32,
    pace: Pace,
    /// Generation of the table of mappings that was published last.
    mappings: Option<u64>,
}

/// Counter pages where address space is limited: 16 MiB, for 8 GiB of written memory.
const SMALL_HEAT_PAGES: u32 = 4096;

impl Tracker {
    /// A tracker with a new segment for this process, which shows `command` (NUL-separated), for a KVM
    /// whose exits take `exit_ns`.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub(crate) fn create(
        config: &RunConfig,
        command: &[u8],
        exit_ns: u64,
    ) -> Result<Self, CreateError> {
        let mut segment = SegmentConfig::new(origin::pid());
        segment.start = Some(origin::start());
        segment.interval_ns = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX);
        segment.track = config.track;
        segment.command = command.to_vec();
        // Where address space is limited, the table of counters must not take it all.
        if stack::rlimit(libc::RLIMIT_AS) != u64::MAX {
            segment.heat_pages = SMALL_HEAT_PAGES;
        }
        let heat_pages = segment.heat_pages;
        let writer = SegmentWriter::create(&segment)?;
        Ok(Self::new(writer, heat_pages, exit_ns))
    }

    /// A tracker that publishes through `writer`, whose heat table has `heat_pages` pages, for a KVM
    /// whose exits take `exit_ns`.
    fn new(writer: SegmentWriter, heat_pages: u32, exit_ns: u64) -> Self {
        let harvest = Harvest {
            writer,
            settler: Settler::new(heat_pages as usize),
            logs: Vec::new(),
            epoch: 0,
            pace: Pace::new(exit_ns),
            mappings: None,
        };
        Self {
            harvest: Mutex::new(harvest),
            thread: Mutex::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Harvest> {
        self.harvest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Includes vCPU `id`, which has not run yet.
    pub(crate) fn add_vcpu(&self, id: u32, ring: Option<DirtyRing>, stats: Arc<VcpuStats>) {
        self.lock().logs.push(VcpuLog::new(id, ring, stats));
    }

    /// Drains the ring of vCPU `id` now, on its own thread, because it is full.
    pub(crate) fn drain(&self, process: &Process, id: u32) {
        let mut harvest = self.lock();
        let Harvest {
            writer,
            settler,
            logs,
            epoch,
            pace,
            ..
        } = &mut *harvest;
        let full = logs.iter_mut().filter(|log| log.id == id);
        let pages = settler.drain(process.machine, full, Take::Happened, writer, *epoch);
        pace.armed(clock::monotonic_ns(), pages);
    }

    /// Starts the harvester's thread.
    ///
    /// # Errors
    /// What creating a thread says.
    pub(crate) fn start(process: &'static Process) -> io::Result<()> {
        process.tracker.lock().next_epoch(process);
        Self::go_on(process)
    }

    fn go_on(process: &'static Process) -> io::Result<()> {
        let stop = Arc::new(Stop::default());
        let asked = stop.clone();
        // The new thread inherits the mask: no signal of the program may end up there.
        let mask = host::set_mask(u64::MAX);
        let started = threads::spawn(Box::new(move || {
            let mut clock = Ticks::new(process.config.interval);
            while clock.wait(&asked) {
                process.tracker.lock().next_epoch(process);
            }
        }));
        host::set_mask(mask);
        let thread = started?;
        *process.tracker.thread() = Some(Harvester { stop, thread });
        Ok(())
    }

    fn thread(&self) -> MutexGuard<'_, Option<Harvester>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` while there is no harvester: what the kernel allows only to processes of one thread.
    ///
    /// # Errors
    /// What creating a thread says: there is no harvester any more.
    pub(crate) fn without_thread<T>(
        process: &'static Process,
        f: impl FnOnce() -> T,
    ) -> io::Result<T> {
        if let Some(harvester) = process.tracker.thread().take() {
            harvester.stop.ask();
            harvester.thread.wait_until_gone();
        }
        let answer = f();
        Self::go_on(process)?;
        Ok(answer)
    }

    /// Publishes the last epoch and the end, shows the finished segment to `look`, and removes it.
    /// The lock stays taken: nothing is published after the end.
    pub(crate) fn finish(&self, process: &Process, end: End, look: impl FnOnce(&Consumer)) {
        let mut harvest = ManuallyDrop::new(self.lock());
        harvest.publish(process, Take::All);
        harvest.writer.finish(end);
        if process.summary.is_some() {
            match Consumer::attach(origin::pid()) {
                Ok(consumer) => look(&consumer),
                Err(e) => messages::say(&format!("no summary: {e}")),
            }
        }
        harvest.writer.unlink();
    }
}

impl Harvest {
    /// Everything up to now, into the present epoch.
    fn publish(&mut self, process: &Process, take: Take) {
        let Self {
            writer,
            settler,
            logs,
            epoch,
            pace,
            ..
        } = self;
        let pages = settler.drain(process.machine, logs.iter_mut(), take, writer, *epoch);
        pace.armed(clock::monotonic_ns(), pages);
        self.publish_mappings(process);
        self.publish_counters(process);
    }

    /// Ends the present epoch and begins the next, unless it has to go on.
    fn next_epoch(&mut self, process: &Process) {
        let mut idle = true;
        for log in &mut self.logs {
            idle &= log.is_idle();
        }
        if !self.pace.ends(clock::monotonic_ns(), idle) {
            self.publish_mappings(process);
            self.publish_counters(process);
            return;
        }
        if self.epoch > 0 {
            self.publish(process, Take::Happened);
        } else {
            self.publish_mappings(process);
        }
        self.epoch += 1;
        self.writer.begin_epoch(self.epoch, clock::monotonic_ns());
    }

    fn publish_mappings(&mut self, process: &Process) {
        let table = process.memory.read();
        if self.mappings == Some(table.generation()) {
            return;
        }
        self.mappings = Some(table.generation());
        self.writer.publish_mappings(
            table
                .iter()
                .map(|(range, m)| entry(range.start, range.end, m)),
        );
    }

    fn publish_counters(&self, process: &Process) {
        let sum =
            |of: fn(&VcpuStats) -> u64| self.logs.iter().map(|log| of(&log.stats)).sum::<u64>();
        let threads = process
            .threads_started
            .load(std::sync::atomic::Ordering::Relaxed);
        for (counter, value) in [
            (Counter::SyscallsRelayed, sum(|s| s.relayed.get())),
            (Counter::SyscallsEmulated, sum(|s| s.emulated.get())),
            (Counter::VmExits, sum(|s| s.exits.get())),
            (Counter::PageFaultExits, sum(|s| s.faults.get())),
            (Counter::RingFullExits, sum(|s| s.ring_full.get())),
            (Counter::Signals, sum(|s| s.signals.get())),
            (Counter::ThreadsStarted, threads),
            (Counter::Vcpus, self.logs.len() as u64),
            (Counter::StretchedTicks, self.pace.stretched()),
        ] {
            self.writer.set_counter(counter, value);
        }
    }
}

fn entry(start: u64, end: u64, mapping: &Mapping) -> MappingEntry<'_> {
    let shared = if mapping.shared { PROT_SHARED } else { 0 };
    MappingEntry {
        start,
        end,
        offset: mapping.offset_at(start),
        prot: mapping.prot.bits() | shared,
        name: mapping.name(),
    }
}
