//! The harvester: each epoch, drains the rings and publishes, without stopping a vCPU.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vmmload_consumer::{
    Consumer, Counter, CreateError, End, MappingEntry, PROT_SHARED, ProcessId, SegmentConfig,
    SegmentWriter, Track,
};

use super::pace::Pace;
use super::settle::Settler;
use super::vcpu_log::{Take, VcpuLog};
use crate::cli::RunConfig;
use crate::host::clock::Notice;
use crate::host::{clock, descriptors, messages, origin, signals as host, threads};
use crate::kvm::dirty_ring::DirtyRing;
use crate::process::mappings::Mapping;
use crate::process::overdue::Overdue;
use crate::process::stack;
use crate::process::state::{Process, VcpuStats};

/// The data path of one process. Whoever holds its lock is the ring's one writer: the harvester each
/// epoch, a vCPU's thread when its ring is full, the last thread at the end.
pub(crate) struct Tracker {
    identity: ProcessId,
    harvest: Mutex<Harvest>,
    /// Ends the thread.
    stop: Notice,
}

struct Harvest {
    writer: SegmentWriter,
    settler: Settler,
    logs: Vec<VcpuLog>,
    epoch: u32,
    pace: Pace,
    /// Generation of the table of mappings that was published last.
    mappings: Option<u64>,
    /// The end is published, and nothing may be after it. Processes that share the memory may live on.
    ended: bool,
}

/// Counter pages where address space is limited: 16 MiB, for 8 GiB of written memory.
const SMALL_HEAT_PAGES: u32 = 4096;

impl Tracker {
    /// A tracker with a new segment for this process, which shows `command` (NUL-separated) and `parent`,
    /// the wrapped process that forked it, for a KVM whose exits take `exit_ns`.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub(crate) fn create(
        config: &RunConfig,
        command: &[u8],
        parent: Option<ProcessId>,
        exit_ns: u64,
    ) -> Result<Self, CreateError> {
        let (pid, start) = (origin::pid(), origin::start());
        let identity = ProcessId { pid, start };
        let mut segment = SegmentConfig::new(pid);
        segment.start = Some(start);
        segment.parent = parent;
        segment.interval_ns = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX);
        segment.track = config.track;
        segment.max_overhead = config.max_overhead;
        segment.buffer = match config.track {
            Track::None => 0,
            Track::Write | Track::ReadWrite => config.buffer,
        };
        segment.command = command.to_vec();
        segment.directory = descriptors::segments();
        // Where address space is limited, the table of counters must not take it all.
        if stack::rlimit(libc::RLIMIT_AS) != u64::MAX {
            segment.heat_pages = SMALL_HEAT_PAGES;
        }
        let heat_pages = segment.heat_pages;
        let writer = SegmentWriter::create(&segment)?;
        Ok(Self::new(identity, writer, heat_pages, exit_ns))
    }

    /// A tracker of the process `identity` that publishes through `writer`, whose heat table has `heat_pages` pages, for a KVM
    /// whose exits take `exit_ns`.
    fn new(identity: ProcessId, writer: SegmentWriter, heat_pages: u32, exit_ns: u64) -> Self {
        let harvest = Harvest {
            writer,
            settler: Settler::new(heat_pages as usize),
            logs: Vec::new(),
            epoch: 0,
            pace: Pace::new(exit_ns),
            mappings: None,
            ended: false,
        };
        Self {
            identity,
            harvest: Mutex::new(harvest),
            stop: Notice::default(),
        }
    }

    /// The process whose segment this is.
    pub(crate) fn identity(&self) -> ProcessId {
        self.identity
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
            ended,
            ..
        } = &mut *harvest;
        let mut full = logs.iter_mut().filter(|log| log.id == id);
        if *ended {
            full.for_each(|log| log.harvest(Take::Happened, |_| {}));
            let _ = process.machine.vm.reset_dirty_rings();
            return;
        }
        let pages = settler.drain(process.machine, &mut full, Take::Happened, writer, *epoch);
        pace.armed(clock::monotonic_ns(), pages);
    }

    /// Starts the harvester's thread.
    ///
    /// # Errors
    /// What creating a thread says.
    pub(crate) fn start(process: &'static Process) -> io::Result<()> {
        process.tracker.lock().next_epoch(process);
        Self::spawn(process)
    }

    fn spawn(process: &'static Process) -> io::Result<()> {
        // The new thread inherits the mask: no signal of the program may end up there.
        let mask = host::set_mask(u64::MAX);
        let started = threads::spawn(Box::new(move || {
            threads::set_name(super::THREAD_NAME);
            host::catch_own_faults_only();
            let mut clock = Ticks::new(process.config.interval);
            let mut overdue = Overdue::default();
            while !process.tracker.stop.wait_until(clock.next()) {
                process.tracker.lock().next_epoch(process);
                overdue.check(process);
            }
        }));
        host::set_mask(mask);
        started
    }

    /// Ends the harvester's thread, where the calling thread is the program's only one.
    pub(crate) fn end_thread(&self) {
        self.stop.give();
        threads::wait_for_others();
    }

    /// Runs `f` while the calling thread is the only one: the program has no other, and the harvester's
    /// ends before and starts again after.
    pub(crate) fn without_thread<T>(process: &'static Process, f: impl FnOnce() -> T) -> T {
        process.tracker.end_thread();
        process.tracker.stop.take_back();
        let result = f();
        if let Err(e) = Self::spawn(process) {
            messages::say(&format!(
                "the harvester's thread cannot be started again: {e}. Pages are counted, but shown \
                 only at the end"
            ));
        }
        result
    }

    /// Publishes the last epoch and the end, shows the finished segment to `look`, and removes it. Who
    /// calls it second waits for the end of the process.
    pub(crate) fn finish(&self, process: &Process, end: End, look: impl FnOnce(&Consumer)) {
        let mut harvest = self.lock();
        if harvest.ended {
            drop(harvest);
            threads::sleep_for_ever();
        }
        harvest.ended = true;
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
        if self.ended {
            return;
        }
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
        ..MappingEntry::default()
    }
}

/// Moments an interval apart; those that were missed are left out.
struct Ticks {
    interval_ns: u64,
    next_ns: u64,
}

impl Ticks {
    fn new(interval: Duration) -> Self {
        let interval_ns = u64::try_from(interval.as_nanos())
            .unwrap_or(u64::MAX / 4)
            .max(1);
        Self {
            interval_ns,
            next_ns: clock::monotonic_ns(),
        }
    }

    /// The next one.
    fn next(&mut self) -> u64 {
        let now = clock::monotonic_ns();
        let missed = now.saturating_sub(self.next_ns) / self.interval_ns;
        self.next_ns = self
            .next_ns
            .saturating_add((missed + 1).saturating_mul(self.interval_ns));
        self.next_ns
    }
}
