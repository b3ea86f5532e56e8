//! A runner: a host thread that runs a vCPU for the thread that owns it, so that the owner can execute the guest's calls
//! while the guest waits for them.
//!
//! ```text
//! owner   IDLE -> RUN                      STOPPED -> IDLE -> ENDED
//! runner          RUN: KVM_RUN -> STOPPED
//! ```
//!
//! Whose turn it is stands in one word. The vCPU, and what KVM_RUN came back with, belong to the runner while that is
//! `RUN`, and to the owner otherwise.

use std::cell::UnsafeCell;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::spin_budget::Place;
use crate::host::{futex, processor, signals, threads};
use crate::kvm::vcpu::{Raw, Vcpu};

const IDLE: u32 = 0;
const RUN: u32 = 1;
const STOPPED: u32 = 2;
const ENDED: u32 = 3;

/// How often the owner looks whether the runner has stopped before it sleeps: about as long as an exit takes.
const LOOKS: u32 = 1000;

/// Signals for others that may interrupt a guest before its owner takes it: one that nobody takes stays.
const STRAYS: u32 = 64;

/// What owner and runner share.
struct Control {
    turn: AtomicU32,
    /// Who sleeps, or is about to: bit 0 the owner, bit 1 the runner.
    sleepers: AtomicU32,
    /// The runner is to come out of KVM_RUN, and was sent the signal for it.
    is_called: AtomicBool,
    tid: AtomicI32,
    vcpu: AtomicPtr<Vcpu>,
    raw: UnsafeCell<Option<Raw>>,
    /// How long the runner looks for its turn before it sleeps, in cycles.
    patience: u64,
    /// Among those that wait without sleeping.
    place: Arc<Place>,
}

// SAFETY: `raw` is used by whoever has the turn only (see the module), and the turn is passed on with release and taken
// with acquire. All else is atomic.
unsafe impl Sync for Control {}
// SAFETY: as above; nothing in it is bound to a thread.
unsafe impl Send for Control {}

const OWNER: u32 = 1;
const RUNNER: u32 = 2;

impl Control {
    /// Waits until `wanted` is true of the turn, which it returns; sleeps once `look` does not say any more to go on
    /// looking.
    fn wait_until(&self, wanted: fn(u32) -> bool, who: u32, mut look: impl FnMut() -> bool) -> u32 {
        loop {
            let turn = self.turn.load(Ordering::Acquire);
            if wanted(turn) {
                return turn;
            }
            if look() {
                std::hint::spin_loop();
                continue;
            }
            // Sequentially consistent, as in `pass`: either this sees the new turn, or that sees the sleeper.
            self.sleepers.fetch_or(who, Ordering::SeqCst);
            let turn = self.turn.load(Ordering::SeqCst);
            if !wanted(turn) {
                futex::sleep_while(&self.turn, turn);
            }
            self.sleepers.fetch_and(!who, Ordering::SeqCst);
        }
    }

    /// Passes the turn on to `who`.
    fn pass(&self, turn: u32, who: u32) {
        self.turn.store(turn, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) & who != 0 {
            futex::wake(&self.turn);
        }
    }

    /// Ends the runner, if it has nothing to run; whether it had not.
    fn end_if_idle(&self) -> bool {
        let end = self
            .turn
            .compare_exchange(IDLE, ENDED, Ordering::SeqCst, Ordering::SeqCst);
        if end.is_ok() {
            self.pass(ENDED, RUNNER);
        }
        end.is_ok()
    }

    /// The runner's thread.
    fn serve(&self) {
        loop {
            let since = processor::tsc();
            let look = || {
                let looks = processor::tsc().wrapping_sub(since) < self.patience;
                if !looks {
                    self.place.give();
                }
                looks
            };
            if self.wait_until(|turn| matches!(turn, RUN | ENDED), RUNNER, look) == ENDED {
                return;
            }
            if self.is_called.swap(false, Ordering::Acquire) {
                // The guest had stopped by itself when the owner called, or came out for that call.
                signals::take_call();
            }
            let raw = self.run();
            // SAFETY: it is the runner's turn.
            unsafe { *self.raw.get() = Some(raw) };
            self.pass(STOPPED, OWNER);
        }
    }

    fn run(&self) -> Raw {
        let vcpu = self.vcpu.load(Ordering::Relaxed);
        let mut strays = 0;
        loop {
            // SAFETY: it is the runner's turn, and the owner keeps the vCPU until it has the turn again.
            let (raw, kicked) = unsafe { ((*vcpu).enter(), (*vcpu).is_kicked()) };
            match raw {
                // Not for the owner: the process was stopped and goes on, or had a signal for another thread.
                Raw::Interrupted
                    if strays < STRAYS && !kicked && !self.is_called.load(Ordering::Acquire) =>
                {
                    strays += 1;
                }
                raw => return raw,
            }
        }
    }
}

/// A runner, as its owner has it.
pub(crate) struct Runner {
    control: Arc<Control>,
}

/// The runners of a process.
#[derive(Default)]
pub(crate) struct Runners(Mutex<Vec<Arc<Control>>>);

impl Runners {
    /// Ends those that run nothing: all, where the calling thread is the program's only one and its vCPU has stopped.
    pub(crate) fn end_idle(&self) {
        self.lock().retain(|control| !control.end_if_idle());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Control>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runner {
    /// Starts one, with the calling thread's processors, priority and memory policy. Once it has nothing to run, it looks
    /// for its turn for `patience` cycles before it sleeps, and gives `place` back.
    ///
    /// # Errors
    /// EAGAIN at the limit of threads, ENOMEM without memory for a stack.
    pub(crate) fn start(of: &Runners, patience: u64, place: Arc<Place>) -> io::Result<Self> {
        let control = Arc::new(Control {
            turn: AtomicU32::new(IDLE),
            sleepers: AtomicU32::new(0),
            is_called: AtomicBool::new(false),
            tid: AtomicI32::new(0),
            vcpu: AtomicPtr::new(ptr::null_mut()),
            raw: UnsafeCell::new(None),
            patience,
            place,
        });
        let own = control.clone();
        let mut all = of.lock();
        // No signal of the program's may end up there.
        let mask = signals::set_mask(u64::MAX);
        let started = threads::spawn(Box::new(move || {
            threads::set_name(super::RUNNER_NAME);
            signals::catch_own_faults_only();
            own.tid.store(threads::id(), Ordering::Release);
            own.serve();
        }));
        signals::set_mask(mask);
        started?;
        all.retain(|control| control.turn.load(Ordering::Relaxed) != ENDED);
        all.push(control.clone());
        drop(all);
        while control.tid.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        Ok(Self { control })
    }

    /// Its thread.
    pub(crate) fn tid(&self) -> i32 {
        self.control.tid.load(Ordering::Relaxed)
    }

    /// Whether it was ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.control.turn.load(Ordering::Relaxed) == ENDED
    }

    /// Has it run `vcpu`.
    ///
    /// # Safety
    /// `vcpu` is valid, and nobody uses it, until [`Runner::take`] has returned something.
    pub(crate) unsafe fn run(&self, vcpu: *mut Vcpu) {
        self.control.vcpu.store(vcpu, Ordering::Relaxed);
        self.control.pass(RUN, RUNNER);
    }

    /// What KVM_RUN came back with; None while it has not.
    pub(crate) fn take(&self) -> Option<Raw> {
        if self.control.turn.load(Ordering::Acquire) != STOPPED {
            return None;
        }
        // SAFETY: it is the owner's turn, which this thread is.
        let raw = unsafe { (*self.control.raw.get()).take() };
        self.control.turn.store(IDLE, Ordering::Release);
        raw
    }

    /// Waits until KVM_RUN has come back, which it is about to.
    pub(crate) fn join(&self) -> Raw {
        let mut looks = 0;
        self.control.wait_until(
            |turn| turn != RUN,
            OWNER,
            || {
                looks += 1;
                looks < LOOKS
            },
        );
        self.take().unwrap_or(Raw::Interrupted)
    }

    /// Calls it out of KVM_RUN, and waits for that.
    pub(crate) fn call_out(&self) -> Raw {
        let control = &self.control;
        if control.turn.load(Ordering::Acquire) == RUN {
            signals::call_runner(self.tid());
            // Only now: who sees it finds the signal waiting.
            control.is_called.store(true, Ordering::Release);
        }
        self.join()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Its vCPU has stopped, or the process ends.
        self.control.end_if_idle();
    }
}
