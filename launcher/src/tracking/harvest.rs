//! The state of one process's data path, from the rings to the segment. Its owner, the tracker, holds a lock.

use std::ops::Range;
use std::sync::atomic::Ordering;

use vmmload_consumer::{Child, Counter, End, Kind, SegmentWriter};

use super::back_off::BackOff;
use super::book::{Book, Ended};
use super::census::{Row, entry};
use super::kernel_writes::KernelWrites;
use super::marks::{MarkCensus, MarkTotals};
use super::pace::{Pace, Reason};
use super::settle::{Settler, Target};
use super::vcpu_log::{Take, VcpuLog};
use crate::cli::RunConfig;
use crate::host::{clock, messages, origin};
use crate::machine::{Arming, Machine};
use crate::probes::rearm::Rearm;
use crate::process::mappings::Mappings;
use crate::process::state::{Process, VcpuStats};

/// Everything that turns what KVM and the relay note into what readers see.
pub(super) struct Harvest {
    book: Book,
    settler: Settler,
    kernel: KernelWrites,
    marks: MarkCensus,
    /// The program has made a mark in the present epoch.
    is_marked: bool,
    back_off: BackOff,
    logs: Vec<VcpuLog>,
    pace: Pace,
    /// How reads are armed again, where they are watched.
    reads: Option<Rearm>,
    /// Each look that finds something ends an epoch.
    continuous: bool,
    /// Generation of the table of mappings that was published last.
    mappings: Option<u64>,
    /// The end is published, and nothing may be after it. Processes that share the memory may live on.
    ended: bool,
    /// The user was told that memory is short.
    is_starved: bool,
}

impl Harvest {
    /// For the segment of `writer`, whose heat table has `heat_pages` pages, and the KVM of `machine`.
    pub(super) fn new(
        writer: SegmentWriter,
        heat_pages: u32,
        machine: &Machine,
        config: &RunConfig,
    ) -> Self {
        let arming = machine.arming().unwrap_or(Arming {
            store_ns: 0,
            reads: None,
        });
        Self {
            book: Book::new(writer, heat_pages),
            settler: Settler::new(),
            kernel: KernelWrites::default(),
            marks: MarkCensus::default(),
            is_marked: false,
            back_off: BackOff::default(),
            logs: Vec::new(),
            pace: Pace::new(arming, config.max_overhead),
            reads: arming.reads.map(|reads| reads.rearm),
            continuous: config.interval.is_zero(),
            mappings: None,
            ended: false,
            is_starved: false,
        }
    }

    /// Includes a vCPU that has not run yet.
    pub(super) fn add(&mut self, log: VcpuLog) {
        self.logs.push(log);
    }

    /// See [`super::harvester::Tracker::child_came`].
    pub(super) fn child(&mut self, child: Child) {
        self.book.child(child);
    }

    /// Empties the ring of vCPU `id`, on its own thread.
    pub(super) fn drain_vcpu(&mut self, machine: &Machine, table: &Mappings, id: u32) {
        let full = self.logs.iter_mut().filter(|log| log.id == id);
        if self.ended {
            let mut taken = 0;
            full.for_each(|log| log.harvest(Take::Happened, |_| taken += 1));
            let _ = machine.rearm_writes(taken);
            return;
        }
        let mut target = Target {
            machine,
            table,
            book: &mut self.book,
        };
        self.settler.drain(&mut target, full, Take::Happened, None);
    }

    /// See [`super::harvester::Tracker::retire`].
    pub(super) fn retire(&mut self, machine: &Machine, table: &Mappings, range: &Range<u64>) {
        if self.ended {
            machine.tables.clear(range.start, range.end);
            return;
        }
        self.take_kernel_writes();
        self.kernel.settle_range(&mut self.book, table, range);
        let reads = self.reads.is_some();
        let book = &mut self.book;
        machine
            .tables
            .retire(range.start, range.end, |va, touched| {
                if touched.written {
                    book.count(table, va, Kind::Write, 0);
                } else if reads && !book.was_seen(va, Kind::Write) {
                    book.count(table, va, Kind::Read, 0);
                }
            });
        book.retire(table, range);
    }

    /// See [`super::harvester::Tracker::discard`].
    pub(super) fn discard(&self, range: &Range<u64>) {
        if !self.ended {
            self.book.writer.discard(range);
        }
    }

    /// Takes what the vCPUs' threads have noted of the kernel's writes.
    pub(super) fn take_kernel_writes(&mut self) {
        for log in &self.logs {
            log.stats.kernel.drain(|addr, len| {
                if !self.ended {
                    self.kernel.add(addr, len);
                }
            });
        }
    }

    /// Notes what is there in the midst of an epoch.
    pub(super) fn note(&mut self) {
        for log in &mut self.logs {
            log.note();
        }
    }

    /// One look at everything; whether there was anything.
    pub(super) fn tick(&mut self, process: &Process, table: &Mappings) -> bool {
        if self.ended {
            return false;
        }
        self.book.writer.announce_marks();
        let paid = self.pace.is_paid(&mut self.logs);
        self.take_kernel_writes();
        let found = !self.continuous || self.has_news(process.machine);
        if self.book.epoch > 0 {
            if !found || !self.pace.ends(paid) {
                self.publish_mappings(table);
                self.publish_counters(process);
                return found;
            }
            if self.is_marked {
                self.watch_all(process.machine, table);
            }
            self.end_epoch(process, table, Take::Happened, Reason::Time);
        } else {
            self.publish_mappings(table);
        }
        // With an interval of zero the frequency of events is what the user wants to see.
        let costs_too_much = !self.continuous && self.pace.must_stretch(process.config.interval);
        self.begin_epoch(process.machine, table, costs_too_much);
        found
    }

    /// Ends the present epoch because the program wants it to, and begins the next, whose number it answers. That is
    /// never refused, but the time that it costs is the program's: the next epoch that nobody asks for is
    /// the longer.
    pub(super) fn end_asked_for(&mut self, process: &Process, table: &Mappings) -> u32 {
        if !self.ended {
            self.take_kernel_writes();
            self.watch_all(process.machine, table);
            self.end_epoch(process, table, Take::Happened, Reason::Asked);
            // How often this is done says nothing about pages that are written all the time.
            self.begin_epoch(process.machine, table, false);
        }
        self.book.epoch
    }

    /// Counts what has been stored until now, as far as can be told that it has. Whether there is more that could be
    /// told soon.
    pub(super) fn settle_now(&mut self, machine: &Machine, table: &Mappings) -> bool {
        if self.ended {
            return false;
        }
        let mut target = Target {
            machine,
            table,
            book: &mut self.book,
        };
        let logs = self.logs.iter_mut();
        self.settler.drain(&mut target, logs, Take::Happened, None);
        self.is_holding()
    }

    /// Whether the last stores of vCPUs that are in the guest are yet to be told from those to come.
    pub(super) fn is_holding(&self) -> bool {
        !self.ended && self.logs.iter().any(VcpuLog::is_holding)
    }

    /// Ends the season of those pages that are left alone: where the program tells its phases apart, pages belong to
    /// those that they were stored to in, and rather the epochs are longer.
    fn watch_all(&mut self, machine: &Machine, table: &Mappings) {
        self.back_off.watch_again(machine, table, &mut self.book);
    }

    fn begin_epoch(&mut self, machine: &Machine, table: &Mappings, costs_too_much: bool) {
        self.is_marked = false;
        self.book.begin_epoch(clock::monotonic_ns());
        let book = &mut self.book;
        self.back_off.adapt(machine, table, book, costs_too_much);
        table.set_epoch(self.book.epoch);
    }

    /// Notes what the program says, on its thread with vCPU `id`: what that one has stored until now is in the
    /// present epoch, or will be. To settle it now would have it pay for the same pages again.
    pub(super) fn mark(&mut self, name: &str, id: u32, thread: u32) {
        if self.ended {
            return;
        }
        let own = self.logs.iter_mut().filter(|log| log.id == id);
        own.for_each(VcpuLog::note_happened);
        // Looked at under the lock: marks are in the order of their times, and within their epochs.
        let now_ns = clock::monotonic_ns();
        self.is_marked = true;
        self.marks.add(name, now_ns);
        self.book.writer.mark(name, now_ns, thread);
    }

    /// Whether the present epoch would have an event, as far as can be told without ending it.
    fn has_news(&self, machine: &Machine) -> bool {
        let accessed = self.reads.is_some() && machine.tables.is_accessed();
        accessed || !self.kernel.is_empty() || self.logs.iter().any(VcpuLog::has_entries)
    }

    /// Publishes everything up to now, into the present epoch, and what became of it.
    fn end_epoch(&mut self, process: &Process, table: &Mappings, take: Take, why: Reason) {
        // What is touched from here on may be seen in this epoch, or in the next.
        let end_ns = clock::monotonic_ns();
        let mut target = Target {
            machine: process.machine,
            table,
            book: &mut self.book,
        };
        let logs = self.logs.iter_mut();
        self.settler.drain(&mut target, logs, take, self.reads);
        self.kernel.settle(&mut self.book, table);
        let (touched, fresh) = (self.book.touched().into(), self.book.fresh());
        let (cost_ns, ticks) = self.pace.armed(&mut self.logs, touched, fresh, why);
        self.publish_mappings(table);
        // Another process may ask, which shares the memory and has counts of its own.
        if why == Reason::Time {
            self.publish_counters(process);
        }
        self.book.end_epoch(Ended {
            at_ns: end_ns,
            cost_ns,
            ticks,
            left_alone: self.back_off.len(),
        });
        self.say_if_starved();
    }

    fn say_if_starved(&mut self) {
        if self.is_starved || !self.book.writer.is_starved() {
            return;
        }
        self.is_starved = true;
        messages::say(&format!(
            "/dev/shm is full: not all that process {} touches is recorded from now on. Make room there (df \
             /dev/shm, `vmmload ls --prune`, a container's --shm-size)",
            origin::pid()
        ));
    }

    /// Publishes the last epoch and the end. False if that was done before.
    pub(super) fn end(&mut self, process: &Process, table: &Mappings, end: End) -> bool {
        if self.ended {
            return false;
        }
        self.take_kernel_writes();
        self.ended = true;
        self.back_off
            .count_all(process.machine, table, &mut self.book);
        self.end_epoch(process, table, Take::All, Reason::Time);
        self.book.writer.finish(end);
        true
    }

    /// The totals by mapping.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.book.census.by_name()
    }

    /// The marks by name, with times since `started_ns`.
    pub(super) fn marks(&self, started_ns: u64) -> MarkTotals {
        self.marks.totals(started_ns)
    }

    /// Removes the segment's name.
    pub(super) fn unlink(&self) {
        self.book.writer.unlink();
    }

    fn publish_mappings(&mut self, table: &Mappings) {
        if self.mappings == Some(table.generation()) {
            return;
        }
        self.mappings = Some(table.generation());
        let there = table.iter().map(|(range, mapping)| entry(range, mapping));
        self.book.publish_mappings(there);
    }

    fn publish_counters(&self, process: &Process) {
        let sum =
            |of: fn(&VcpuStats) -> u64| self.logs.iter().map(|log| of(&log.stats)).sum::<u64>();
        let threads = process.threads_started.load(Ordering::Relaxed);
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
            (Counter::KernelBytes, self.kernel.bytes()),
            (Counter::UnknownCalls, process.unknown_calls.total()),
            (Counter::CallsWithoutExit, sum(|s| s.in_page.get())),
        ] {
            self.book.writer.set_counter(counter, value);
        }
    }
}
