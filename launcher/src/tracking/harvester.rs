//! The harvester: each epoch, drains the rings and publishes, without stopping a vCPU.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vmmload_consumer::{
    Child, Consumer, CreateError, End, ProcessId, SegmentConfig, SegmentWriter, Track, monotonic_ns,
};

use super::census::Row;
use super::harvest::Harvest;
use super::marks::MarkTotals;
use super::ticks::Ticks;
use super::vcpu_log::VcpuLog;
use crate::cli::{RunConfig, Sharing, with_causes};
use crate::host::clock::Notice;
use crate::host::{descriptors, messages, origin, signals as host, threads};
use crate::kvm::dirty_ring::DirtyRing;
use crate::machine::{Machine, Tracking};
use crate::process::mappings::Mappings;
use crate::process::overdue::Overdue;
use crate::process::stack;
use crate::process::state::{Descent, Process, VcpuStats};

/// The data path of one process. Whoever holds its lock is the ring's one writer: the harvester each
/// epoch, a vCPU's thread when its ring is full, the last thread at the end.
pub(crate) struct Tracker {
    identity: ProcessId,
    session: ProcessId,
    /// Whether anything is watched.
    watches: bool,
    /// Locked after the table of mappings, where both are.
    harvest: Mutex<Harvest>,
    /// Ends the thread.
    stop: Notice,
}

/// Counter pages where address space is limited: 16 MiB, for 8 GiB of written memory.
const SMALL_HEAT_PAGES: u32 = 4096;

/// Sizes of what is written for nobody.
const UNREAD_RECORDS: u32 = 1024;
const UNREAD_HEAT_PAGES: u32 = 64;

/// How often vCPUs are made to leave the guest, at most, before an epoch that the program ends: the first times
/// without a pause, and then with one, since a thread may wait for a processor.
const LONGEST_WAIT: u32 = 200;
const WITHOUT_PAUSE: u32 = 16;
const PAUSE: Duration = Duration::from_micros(100);

/// Has nobody else read the segments of this process and of those that it starts, and says why.
fn keep_private(config: &mut RunConfig, why: &str) {
    messages::say(&format!(
        "the segment of process {} can be read by its own user only: {why}",
        origin::pid()
    ));
    config.sharing = Sharing::PRIVATE;
}

/// What the segment of this process is to hold.
fn segment(config: &RunConfig, command: &[u8], descent: Descent) -> SegmentConfig {
    let mut segment = SegmentConfig::new(origin::pid());
    segment.start = Some(origin::start());
    segment.parent = descent.parent;
    segment.session = descent.session;
    segment.interval_ns = u64::try_from(config.interval.as_nanos()).unwrap_or(u64::MAX);
    segment.track = config.track;
    segment.max_overhead = config.max_overhead;
    segment.buffer = Tracking::of(config).ring_entries;
    segment.command = command.to_vec();
    segment.directory = descriptors::segments();
    (segment.mode, segment.group) = (config.sharing.mode, config.sharing.group);
    segment.ring_records = config.ring_size;
    // Where memory is limited, the tables of counters, and of who owns them, must not take it all.
    let limits = [libc::RLIMIT_AS, libc::RLIMIT_DATA];
    if limits.iter().any(|&limit| stack::rlimit(limit) != u64::MAX) {
        segment.heat_pages = SMALL_HEAT_PAGES;
    }
    segment.heat_pages = config.heat_size.unwrap_or(segment.heat_pages);
    segment
}

impl Tracker {
    /// A tracker with a new segment for this process, which shows `command` (NUL-separated) and whom it descends
    /// from, for the KVM of `machine`.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub(crate) fn create(
        config: &RunConfig,
        command: &[u8],
        descent: Descent,
        machine: &Machine,
    ) -> Result<Self, CreateError> {
        let segment = segment(config, command, descent);
        Ok(Self::of(
            &segment,
            SegmentWriter::create(&segment)?,
            machine,
            config,
        ))
    }

    /// As [`Tracker::create`], for a process that goes on what comes: it was started by a program that has rights
    /// and limits of its own by now. Says what it has to go without, and has it known to its children.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub(crate) fn create_anyhow(
        config: &mut RunConfig,
        command: &[u8],
        descent: Descent,
        machine: &Machine,
    ) -> Result<Self, CreateError> {
        let Sharing {
            group, namespace, ..
        } = config.sharing;
        if group.is_some() && namespace != origin::user_namespace() {
            keep_private(
                config,
                "--ring-group is another group in its user namespace",
            );
        }
        let mut created = Self::create(config, command, descent, machine);
        if let Err(error @ CreateError::Share { .. }) = &created {
            keep_private(config, &with_causes(error));
            created = Self::create(config, command, descent, machine);
        }
        let Err(error) = &created else {
            return created;
        };
        let (pid, cause) = (origin::pid(), with_causes(error));
        messages::say(&format!("process {pid} runs without a segment: {cause}"));
        let mut segment = segment(config, command, descent);
        segment.unread = true;
        (segment.ring_records, segment.heat_pages) = (UNREAD_RECORDS, UNREAD_HEAT_PAGES);
        let writer = SegmentWriter::create(&segment)?;
        Ok(Self::of(&segment, writer, machine, config))
    }

    fn of(
        segment: &SegmentConfig,
        writer: SegmentWriter,
        machine: &Machine,
        config: &RunConfig,
    ) -> Self {
        let (pid, start) = (segment.pid, segment.start.unwrap_or(0));
        let identity = ProcessId { pid, start };
        Self {
            identity,
            session: segment.session.unwrap_or(identity),
            watches: config.track != Track::None,
            harvest: Mutex::new(Harvest::new(writer, segment.heat_pages, machine, config)),
            stop: Notice::default(),
        }
    }

    /// Tells the readers that this process has a wrapped child.
    pub(crate) fn child_came(&self, process: ProcessId) {
        let time_ns = monotonic_ns();
        self.lock().child(Child { process, time_ns });
    }

    /// Tells the readers what the calling thread of the program, with vCPU `id`, says that it begins. As the segment has one writer,
    /// this waits for one that is at work: for the time that looking at the rings takes, at most.
    pub(crate) fn mark(&self, name: &str, id: u32) {
        let thread = threads::id() as u32;
        self.lock().mark(name, id, thread);
    }

    /// Ends the epoch at once, because the program wants it to: what the calling thread has stored until now is
    /// published when this returns, and so is what others have, but for the last two pages of those that are in the guest
    /// and get no processor for some time. Answers the number of the epoch that begins.
    pub(crate) fn end_epoch(&self, process: &Process) -> u32 {
        self.wait_for_others(process);
        let table = process.memory.read();
        self.lock().end_asked_for(process, &table)
    }

    /// Waits, but not for long, until the stores that other threads of the program have made before are known to have
    /// happened: for those in the guest, that takes a few exits, which are brought about.
    fn wait_for_others(&self, process: &Process) {
        let mut holding = {
            let table = process.memory.read();
            self.lock().settle_now(process.machine, &table)
        };
        for round in 0..LONGEST_WAIT {
            if !holding {
                break;
            }
            threads::disturb_others();
            if round >= WITHOUT_PAUSE {
                std::thread::sleep(PAUSE);
            }
            holding = self.lock().is_holding();
        }
    }

    /// The first process of its `vmmload run`.
    pub(crate) fn session(&self) -> ProcessId {
        self.session
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
        self.lock().add(VcpuLog::new(id, ring, stats));
    }

    /// Drains the ring of vCPU `id` now, on its own thread, because it is full.
    pub(crate) fn drain(&self, process: &Process, id: u32) {
        let table = process.memory.read();
        self.lock().drain_vcpu(process.machine, &table, id);
    }

    /// Makes room in the logs of what the kernel wrote, because one is full.
    pub(crate) fn take_kernel_writes(&self) {
        self.lock().take_kernel_writes();
    }

    /// Takes the pages of `range` away from the guest because their mappings in `table` are about to go: what
    /// they had until now is counted as theirs. The caller makes the host call next.
    pub(crate) fn retire(&self, machine: &Machine, table: &Mappings, range: &Range<u64>) {
        if self.watches {
            self.lock().retire(machine, table, range);
        } else {
            machine.tables.clear(range.start, range.end);
        }
    }

    /// The contents of `range` were given back to the kernel, while its mappings stay.
    pub(crate) fn discard(&self, range: &Range<u64>) {
        if self.watches {
            self.lock().discard(range);
        }
    }

    /// Starts the harvester's thread.
    ///
    /// # Errors
    /// What creating a thread says.
    pub(crate) fn start(process: &'static Process) -> io::Result<()> {
        process.tracker.tick(process);
        Self::spawn(process)
    }

    /// One look at everything; whether there was anything.
    fn tick(&self, process: &Process) -> bool {
        let table = process.memory.read();
        self.lock().tick(process, &table)
    }

    fn spawn(process: &'static Process) -> io::Result<()> {
        // The new thread inherits the mask: no signal of the program may end up there.
        let mask = host::set_mask(u64::MAX);
        let started = threads::spawn(Box::new(move || {
            threads::set_name(super::THREAD_NAME);
            host::catch_own_faults_only();
            let mut clock = Ticks::new(process.config.interval);
            let mut overdue = Overdue::default();
            let tracker = &process.tracker;
            let mut found = true;
            loop {
                let (middle, end) = clock.next(found);
                if tracker.stop.wait_until(middle) {
                    break;
                }
                tracker.lock().note();
                if tracker.stop.wait_until(end) {
                    break;
                }
                found = tracker.tick(process);
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

    /// Publishes the last epoch and the end, shows the finished segment and the totals by mapping to `look`,
    /// and removes it. Who calls it second waits for the end of the process.
    pub(crate) fn finish(
        &self,
        process: &Process,
        end: End,
        look: impl FnOnce(&Consumer, Vec<Row>, MarkTotals),
    ) {
        let table = process.memory.read();
        let mut harvest = self.lock();
        let first = harvest.end(process, &table, end);
        drop(table);
        if !first {
            drop(harvest);
            threads::sleep_for_ever();
        }
        if process.summary.is_some() {
            match Consumer::attach(origin::pid()) {
                Ok(consumer) => {
                    let marks = harvest.marks(process.started_ns);
                    look(&consumer, harvest.rows(), marks);
                }
                Err(e) => messages::say(&format!("no summary: {e}")),
            }
        }
        harvest.unlink();
    }
}
