//! Who runs a thread's vCPU: the thread itself, or a runner, while the thread waits for its calls in the request page.
//!
//! To everybody else this is the vCPU: whoever wants to see or change its registers finds it stopped, as it is after
//! every exit; if it is not, it is stopped for that. While the guest waits for the answer to a call that takes
//! no longer than closing the page: the guest leaves by itself.

use std::cell::{Cell, UnsafeCell};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::call_mode::{Seen, Way};
use super::runner::Runner;
use super::spin_budget;
use super::state::{Process, Role, VcpuStats};
use crate::cli::CallMode;
use crate::guest::request::RequestPage;
use crate::host::placement::{self, Placement};
use crate::host::relay::Call;
use crate::host::signals::{BLOCKED_IN_RUNNER, Pending};
use crate::host::{clock, processor};
use crate::kvm::exits::Exit;
use crate::kvm::vcpu::{Raw, Vcpu};
use crate::probes::syscall_entry::SyscallEntry;

/// The time-stamp counter's frequency where KVM does not know it: only heuristics go by it.
const USUAL_TSC_KHZ: u32 = 2_000_000;

/// Looks at the page that a pause is measured by.
const PAUSES: u64 = 64;

/// Looks between two readings of the clock.
const LOOKS: u32 = 8;

/// Where the guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Stopped: its registers are there to be seen.
    Stopped,
    /// In the runner's hands.
    Running,
    /// In the runner's hands, and it waits for the answer to the call that this thread executes.
    Calling,
}

/// What a thread is to do for its guest.
pub(crate) enum Turn {
    /// The guest has stopped.
    Exit(Exit),
    /// The guest waits for a call to be made.
    Call(Call),
}

/// A runner, with the placement that it has from its owner.
struct Placed {
    runner: Runner,
    placement: Placement,
}

/// One thread's vCPU.
pub(crate) struct Seat {
    vcpu: Box<UnsafeCell<Vcpu>>,
    id: u32,
    requests: RequestPage<'static>,
    process: &'static Process,
    stats: Arc<VcpuStats>,
    place: Cell<Place>,
    /// Whether KVM_RUN blocks signals as for a runner.
    is_masked: bool,
    /// What stopped the guest when somebody wanted to see its registers.
    held: Cell<Option<Exit>>,
    way: Way,
    runner: Option<Placed>,
    /// Among the threads that have runners run.
    budget_place: Arc<spin_budget::Place>,
    /// Since when the runner runs, as far as that is not noted yet.
    since: Cell<u64>,
}

impl Seat {
    /// The seat of a thread that begins.
    pub(crate) fn new(vcpu: Vcpu, stats: Arc<VcpuStats>, process: &'static Process) -> Self {
        let khz = vcpu.tsc_khz().unwrap_or(USUAL_TSC_KHZ);
        Self {
            id: vcpu.id(),
            requests: vcpu.requests().clone(),
            vcpu: Box::new(UnsafeCell::new(vcpu)),
            way: Way::new(process.config.call_mode, khz),
            budget_place: Arc::new(spin_budget::Place::new(&process.spin_budget)),
            since: Cell::new(0),
            process,
            stats,
            is_masked: false,
            place: Cell::new(Place::Stopped),
            held: Cell::new(None),
            runner: None,
        }
    }

    /// The vCPU, for another thread.
    pub(crate) fn into_vcpu(mut self) -> Vcpu {
        self.end_runner();
        self.set_masked(false);
        self.vcpu.into_inner()
    }

    /// The vCPU's number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Whether the guest has stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.place.get() == Place::Stopped
    }

    /// Runs the guest, or has it run, until something must be done for it, or for the signal noted in `pending`.
    pub(crate) fn run(&mut self, pending: &Pending) -> Turn {
        if let Some(exit) = self.held.take() {
            return Turn::Exit(exit);
        }
        if self.is_stopped() && !self.hand_over() {
            return Turn::Exit(self.run_here());
        }
        self.wait(pending)
    }

    fn run_here(&mut self) -> Exit {
        self.set_masked(false);
        self.stats.set_in_guest(true);
        let before = processor::tsc();
        let exit = self.vcpu.get_mut().run();
        self.stats.exits.add(1);
        self.note_call(&exit);
        if matches!(exit, Exit::Syscall) {
            let now = processor::tsc();
            self.way.left_guest(now.saturating_sub(before), now);
        }
        exit
    }

    fn set_masked(&mut self, masked: bool) {
        if self.is_masked != masked {
            let blocked = masked.then_some(BLOCKED_IN_RUNNER);
            // Fails only for a set of another size than the kernel's.
            let set = self.vcpu.get_mut().set_signal_mask(blocked);
            debug_assert!(set.is_ok());
            self.is_masked = masked;
        }
    }

    /// Has a runner run the guest, if that is the way now; whether it does.
    fn hand_over(&mut self) -> bool {
        if !self.way.is_in_page() && !self.begin_phase() {
            return false;
        }
        let is_there = |placed: &Placed| !placed.runner.is_ended();
        if !self.runner.as_ref().is_some_and(is_there) {
            // Where the process was to have one thread.
            self.leave_page();
            return false;
        }
        let now = processor::tsc();
        if !self.budget_place.take(now) {
            self.way.cannot(now);
            self.leave_page();
            return false;
        }
        self.since.set(now);
        self.set_masked(true);
        self.requests.open(self.way.limit());
        self.stats.set_in_guest(true);
        if let Some(Placed { runner, .. }) = &self.runner {
            // SAFETY: the vCPU stays where it is until `into_vcpu`, and whoever uses it stops it first (`place`).
            unsafe { runner.run(self.vcpu.get()) };
            self.place.set(Place::Running);
        }
        true
    }

    /// Whether a phase in the page begins.
    fn begin_phase(&mut self) -> bool {
        let now = processor::tsc();
        if !self.way.wants_page(now) {
            return false;
        }
        // A process that shares its parent's memory has no threads, descriptors of its own, and is gone soon.
        if self.process.role == Role::Sharer {
            self.way.cannot(now);
            return false;
        }
        let tries = self.process.config.call_mode == CallMode::Auto;
        if tries && self.process.spin_budget.are_processors_short() {
            self.way.not_now(now);
            return false;
        }
        if !self.budget_place.take(now) {
            self.way.cannot(now);
            return false;
        }
        let Some(runner_ns) = self.find_runner() else {
            self.budget_place.give();
            self.way.cannot(now);
            return false;
        };
        let entry = self.vcpu.get_mut().machine().entry.get();
        let sysret = entry == Some(&SyscallEntry::Ring0);
        self.requests.set_sysret(sysret);
        self.way.begin(runner_ns, processor::tsc());
        true
    }

    /// Sees to it that there is a runner which runs where this thread would; answers what processor time it has had.
    fn find_runner(&mut self) -> Option<u64> {
        if placement::is_processor_time_counted() {
            return None;
        }
        let placement = Placement::own()?;
        if placement.processors() < 2 || !placement.is_ordinary() {
            return None;
        }
        let fits = |placed: &Placed| placed.placement == placement && !placed.runner.is_ended();
        if !self.runner.as_ref().is_some_and(fits) {
            // The old one ends first.
            self.runner = None;
            self.way.set_pause(pause_cycles());
            let place = self.budget_place.clone();
            let runner = Runner::start(&self.process.runners, self.way.exit(), place).ok()?;
            self.process.thread_added_besides();
            self.runner = Some(Placed { runner, placement });
        }
        self.runner_ns()
    }

    fn runner_ns(&self) -> Option<u64> {
        clock::thread_ns(self.runner.as_ref()?.runner.tid())
    }

    /// The phase in the page is over: the guest has stopped, or will with its next call.
    fn phase_ended(&mut self) {
        self.requests.close();
        self.budget_place.give();
    }

    /// Waits for the guest, which a runner has.
    fn wait(&mut self, pending: &Pending) -> Turn {
        let begin = processor::tsc();
        self.way.waits(begin);
        let (mut last, mut looks) = (begin, 0);
        loop {
            if self.requests.is_waiting() {
                self.place.set(Place::Calling);
                self.stats.set_in_guest(false);
                self.stats.in_page.add(1);
                if self.way.called(last) {
                    self.look(last);
                }
                return Turn::Call(self.requests.call());
            }
            if let Some(raw) = self.take_raw() {
                if matches!(raw, Raw::Interrupted) && !pending.is_noted() {
                    // By a signal for the process that all of its threads block: a runner cannot run meanwhile.
                    self.way.cannot(last);
                    self.give_up();
                }
                return Turn::Exit(self.exit(raw));
            }
            if pending.is_noted() {
                return Turn::Exit(self.call_out());
            }
            std::hint::spin_loop();
            looks += 1;
            if looks % LOOKS != 0 {
                continue;
            }
            let now = processor::tsc();
            let gap = now.saturating_sub(last);
            if gap > self.way.gap() {
                self.way.lost(gap);
            }
            last = now;
            let waited = now.saturating_sub(begin);
            if waited > self.way.exit() {
                // The runner may be waiting for this very processor.
                std::thread::yield_now();
            }
            if waited > self.way.patience() || self.way.is_idle(now) {
                if self.way.is_in_page() {
                    self.way.idle(now);
                    self.phase_ended();
                }
                return Turn::Exit(self.call_out());
            }
        }
    }

    /// Looks how the phase goes, and ends it if not well: the guest then leaves with its next call.
    fn look(&mut self, now: u64) {
        self.spend(now);
        let seen = Seen {
            runner_ns: self.runner_ns().unwrap_or(0),
            has_budget: self.process.spin_budget.has_left(now),
        };
        if !self.way.look(&seen, now) {
            self.phase_ended();
        }
    }

    /// Notes what was spent since the runner runs or this was last called.
    fn spend(&self, now: u64) {
        let since = self.since.replace(now);
        self.process.spin_budget.spend(now.saturating_sub(since));
    }

    fn take_raw(&self) -> Option<Raw> {
        self.runner.as_ref()?.runner.take()
    }

    /// The guest has stopped.
    fn stopped(&self) {
        self.place.set(Place::Stopped);
        self.stats.exits.add(1);
    }

    /// What stopped it means.
    fn exit(&mut self, raw: Raw) -> Exit {
        self.spend(processor::tsc());
        self.stopped();
        let exit = self.vcpu.get_mut().exit(raw);
        self.note_call(&exit);
        exit
    }

    /// In a call, every instruction of the guest before it is complete.
    fn note_call(&self, exit: &Exit) {
        if matches!(exit, Exit::Syscall) {
            self.stats.set_in_guest(false);
        }
    }

    /// Stops the guest, which is not known to wait for an answer.
    fn call_out(&self) -> Exit {
        let raw = self.runner.as_ref().map(|placed| placed.runner.call_out());
        self.spend(processor::tsc());
        self.stopped();
        // SAFETY: the runner has stopped, and no reference into the vCPU is out: one is given only while `place` is
        // `Stopped`, and that changes only where this is borrowed exclusively.
        let vcpu = unsafe { &mut *self.vcpu.get() };
        let exit = vcpu.exit(raw.unwrap_or(Raw::Interrupted));
        self.note_call(&exit);
        exit
    }

    /// Sees to it that the guest has stopped, with the registers of the call that is being made, if one is.
    pub(crate) fn stop(&self) {
        match self.place.get() {
            Place::Stopped => {}
            Place::Running => self.held.set(Some(self.call_out())),
            Place::Calling => {
                self.requests.close();
                let raw = self.runner.as_ref().map(|placed| placed.runner.join());
                self.stopped();
                // SAFETY: as in `call_out`.
                let vcpu = unsafe { &mut *self.vcpu.get() };
                vcpu.exit_from_call(raw.unwrap_or(Raw::Interrupted));
            }
        }
    }

    /// The address behind the call that is being made.
    pub(crate) fn call_rip(&mut self) -> u64 {
        match self.place.get() {
            Place::Calling => self.requests.rip(),
            _ => self.regs().rip,
        }
    }

    /// Answers the call that is being made.
    pub(crate) fn answer(&mut self, value: u64) {
        if self.place.get() == Place::Calling
            && let Some(raw) = self.take_raw()
        {
            // It did not wait so long, and neither did the runner.
            self.way.left_page();
            self.stopped();
            self.vcpu.get_mut().exit_from_call(raw);
        }
        if self.is_stopped() {
            self.vcpu.get_mut().regs_mut().rax = value;
            return;
        }
        self.stats.set_in_guest(true);
        self.requests.answer(value);
        self.place.set(Place::Running);
    }

    /// Has this thread run its guest itself, unless it does so already.
    fn leave_page(&mut self) {
        self.stop();
        self.give_up();
    }

    /// As `leave_page`, and ends the runner: the next one is placed as this thread is then.
    pub(crate) fn end_runner(&mut self) {
        self.leave_page();
        // It ends, with nothing to run.
        self.runner = None;
    }

    fn give_up(&mut self) {
        if self.way.is_in_page() {
            self.way.end();
            self.phase_ended();
        }
    }
}

impl Deref for Seat {
    type Target = Vcpu;

    fn deref(&self) -> &Vcpu {
        self.stop();
        // SAFETY: the guest has stopped, and goes on only where this is borrowed exclusively.
        unsafe { &*self.vcpu.get() }
    }
}

impl DerefMut for Seat {
    fn deref_mut(&mut self) -> &mut Vcpu {
        self.stop();
        self.vcpu.get_mut()
    }
}

/// Cycles that one look at the page takes a guest.
fn pause_cycles() -> u64 {
    let before = processor::tsc();
    for _ in 0..PAUSES {
        std::hint::spin_loop();
    }
    (processor::tsc().saturating_sub(before) / PAUSES).max(1)
}
