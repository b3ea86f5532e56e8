//! One guest thread: a host thread that owns a vCPU, and its run loop.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use kvm_bindings::{kvm_regs, kvm_xsave};

use super::call_sites::hot::HotSites;
use super::faults;
use super::lifecycle;
use super::memory::Care;
use super::seat::{Seat, Turn};
use super::seccomp::ThreadFilters;
use super::signals::ThreadSignals;
use super::state::{IdleVcpu, Process, VcpuStats};
use crate::host::relay::{self, Call, Relayed};
use crate::host::signals::Pending;
use crate::host::{signals as host, threads};
use crate::kvm::exits::Exit;
use crate::syscalls::{self, Outcome};

/// What an interrupted call returns.
const EINTR: u64 = -(libc::EINTR as i64) as u64;

/// Bytes of the SYSCALL instruction, by which a call is repeated.
const SYSCALL_BYTES: u64 = 2;

/// A guest thread, on its own host thread.
pub(crate) struct GuestThread {
    /// The process it belongs to.
    pub process: &'static Process,
    /// Its vCPU.
    pub vcpu: Seat,
    /// The vCPU's counters.
    pub stats: Arc<VcpuStats>,
    /// Signal mask and alternate stack.
    pub signals: ThreadSignals,
    /// Where the host's handler notes a signal.
    pub pending: Box<Pending>,
    /// What its calls are judged by.
    pub seccomp: ThreadFilters,
    /// Whether it is the first thread.
    pub is_leader: bool,
    /// Its call sites, where they are replaced.
    hot_sites: Option<HotSites>,
    /// The instruction for which the host failed to provide memory, and how often.
    bad_memory: Option<(u64, u32)>,
}

/// The state that a new thread starts with.
pub(crate) struct Birth {
    /// General registers.
    pub regs: kvm_regs,
    /// FS and GS bases.
    pub bases: (u64, u64),
    /// Vector state.
    pub xsave: Box<kvm_xsave>,
    /// Signal mask.
    pub mask: u64,
    /// What its calls are judged by.
    pub seccomp: ThreadFilters,
}

impl GuestThread {
    /// Takes over a vCPU on the calling host thread, with all signals blocked.
    ///
    /// # Errors
    /// What KVM says to the state.
    pub(crate) fn new(
        process: &'static Process,
        idle: IdleVcpu,
        birth: &Birth,
        is_leader: bool,
    ) -> io::Result<Self> {
        let IdleVcpu { mut vcpu, stats } = idle;
        if let Err(e) = vcpu.start(birth.regs, birth.bases, Some(&birth.xsave)) {
            process.return_vcpu(IdleVcpu { vcpu, stats });
            return Err(e);
        }
        let pending = Pending::new(vcpu.immediate_exit());
        // SAFETY: `pending` is boxed and lives in the thread, and the vCPU with it, until
        // `end_thread` detaches it with all signals blocked.
        unsafe { pending.attach() };
        let tid = threads::id();
        process.seccomp.runs(&birth.seccomp, tid);
        stats.thread.store(tid, Ordering::Relaxed);
        Ok(Self {
            process,
            vcpu: Seat::new(vcpu, stats.clone(), process),
            stats,
            signals: ThreadSignals::new(birth.mask, is_leader),
            pending,
            seccomp: birth.seccomp.clone(),
            is_leader,
            hot_sites: process.replaces_call_sites().then(HotSites::new),
            bad_memory: None,
        })
    }

    /// Runs the thread to its end.
    pub(crate) fn run(mut self) {
        self.set_signal_mask(self.signals.mask);
        let status = self.run_loop();
        lifecycle::end_thread(self, status);
    }

    /// Runs the one thread of a process that shares its parent's memory, to the end of that process.
    pub(crate) fn run_sharing(&mut self) -> ! {
        self.set_signal_mask(self.signals.mask);
        let status = self.run_loop();
        lifecycle::end_as(self.process, status)
    }

    fn run_loop(&mut self) -> i32 {
        let mut shows_program = true;
        loop {
            if shows_program && self.vcpu.is_stopped() {
                self.deliver_pending(None);
            }
            let turn = self.vcpu.run(&self.pending);
            // A full ring stops the guest anywhere, as on the way back from a call: a signal waits until it has left the
            // stubs, which it does at once for one that is noted.
            shows_program = !matches!(turn, Turn::Exit(Exit::RingFull));
            let status = match turn {
                Turn::Call(call) => {
                    self.count_call_site(call.nr);
                    self.system_call(&call)
                }
                Turn::Exit(exit) => self.exit(exit),
            };
            if let Some(status) = status {
                return status;
            }
        }
    }

    /// Does what the guest has stopped for; Some(status) if it ends the thread.
    fn exit(&mut self, exit: Exit) -> Option<i32> {
        match exit {
            Exit::Syscall => {
                let nr = self.vcpu.regs().rax;
                self.count_call_site(nr);
                let r = self.vcpu.regs();
                let call = Call {
                    nr: r.rax,
                    args: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9],
                };
                return self.system_call(&call);
            }
            Exit::Exception(trap) => faults::handle(self, trap),
            Exit::RingFull => {
                self.stats.ring_full.add(1);
                self.process.tracker.drain(self.process, self.vcpu.id());
            }
            Exit::Interrupted => {}
            Exit::BadMemory => faults::bad_memory(self),
            Exit::Broken(what) => lifecycle::internal_error(self.process, &what),
        }
        None
    }

    /// Counts the call with number `nr` that is about to be made, and replaces its site once it is hot.
    fn count_call_site(&mut self, nr: u64) {
        let Some(hot) = &mut self.hot_sites else {
            return;
        };
        let end = self.vcpu.call_rip();
        let memory = &self.process.memory;
        if hot.count(end, memory.call_sites().generation()) {
            let alone = self.process.has_one_vcpu();
            memory.replace_call_site(end, nr, alone);
        }
    }

    /// Makes a call; Some(status) if it ends the thread.
    fn system_call(&mut self, call: &Call) -> Option<i32> {
        let outcome = match self.seccomp.is_active() {
            false => syscalls::handle(self, call),
            true => syscalls::seccomp::handle_filtered(self, call),
        };
        match outcome {
            Outcome::Return(value) => {
                syscalls::beside::consider(self, call);
                self.answer(value);
                if value == EINTR && self.pending.is_noted() {
                    self.signals.waited_with = syscalls::mask_while_waiting(call);
                }
            }
            Outcome::Resumed => {}
            Outcome::NotBegun => {
                self.repeat_call(call.nr);
                self.deliver_pending(None);
            }
            Outcome::Restart => {
                self.vcpu.regs_mut().rax = EINTR;
                self.deliver_pending(Some(call.nr));
            }
            Outcome::Exit(status) => return Some(status),
        }
        self.bad_memory = None;
        None
    }

    /// Gives the program the answer to the call that is being made.
    pub(crate) fn answer(&mut self, value: u64) {
        if self.pending.is_noted() {
            // Its handler runs before anything that follows the call.
            self.vcpu.stop();
        }
        self.vcpu.answer(value);
    }

    /// Executes a call of the program's on this host thread.
    pub(crate) fn relay(&self, call: &Call) -> Outcome {
        // SAFETY: the table in `syscalls` relays only calls that leave the launcher alone.
        match unsafe { relay::relay(self.pending.flag(), call) } {
            Relayed::Done(value) => Outcome::Return(value),
            Relayed::NotBegun => Outcome::NotBegun,
            Relayed::Restart => Outcome::Restart,
        }
    }

    /// Executes a call that neither blocks nor waits for signals.
    pub(crate) fn execute_now(&self, call: &Call) -> u64 {
        // SAFETY: as for `relay`.
        unsafe { relay::raw(call.nr as libc::c_long, call.args) as u64 }
    }

    /// Notes that the kernel, or the launcher in its place, wrote `len` bytes of the program's memory.
    pub(crate) fn kernel_wrote(&self, addr: u64, len: u64) {
        let log = &self.stats.kernel;
        if log.is_on() && !log.push(addr, len) {
            self.process.tracker.take_kernel_writes();
            log.push(addr, len);
        }
    }

    /// Puts the registers back to before the system-call instruction.
    pub(crate) fn repeat_call(&mut self, nr: u64) {
        let regs = self.vcpu.regs_mut();
        regs.rip = regs.rip.wrapping_sub(SYSCALL_BYTES);
        regs.rax = nr;
    }

    /// Counts failures of the host to provide memory for the instruction at `rip`.
    pub(crate) fn note_bad_memory(&mut self, rip: u64) -> u32 {
        let attempts = match self.bad_memory {
            Some((at, attempts)) if at == rip => attempts + 1,
            _ => 1,
        };
        self.bad_memory = Some((rip, attempts));
        attempts
    }

    /// How carefully the next fault is served.
    pub(crate) fn care(&mut self) -> Care {
        let rip = self.vcpu.regs().rip;
        let attempts = self
            .bad_memory
            .filter(|(at, _)| *at == rip)
            .map_or(0, |(_, n)| n);
        if attempts == 0 {
            self.bad_memory = None;
        }
        faults::care_of(attempts)
    }

    /// Gives the vCPU back for another thread.
    pub(crate) fn release_vcpu(self) {
        self.stats.thread.store(0, Ordering::Relaxed);
        self.process.return_vcpu(IdleVcpu {
            vcpu: self.vcpu.into_vcpu(),
            stats: self.stats,
        });
    }
}

/// What the parent waits for: the child's thread id, or a negative errno.
#[derive(Default)]
pub(super) struct Rendezvous {
    answer: AtomicI32,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Rendezvous {
    pub(super) fn tell(&self, answer: i32) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.answer.store(answer, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn wait(&self) -> i32 {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match self.answer.load(Ordering::Acquire) {
                0 => {
                    guard = self
                        .changed
                        .wait(guard)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                answer => return answer,
            }
        }
    }
}

/// What clone(2) says at a limit of the launcher's, such as that of descriptors.
pub(crate) fn at_limit(error: io::Error) -> i32 {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) | None => libc::EAGAIN,
        Some(errno) => errno,
    }
}

/// Starts a guest thread in state `birth`; returns its thread id.
///
/// `prepare` runs on the new host thread before the guest's first instruction, with its thread id,
/// and before this returns.
///
/// # Errors
/// An errno, as clone(2) has it.
pub(crate) fn start(
    process: &'static Process,
    birth: Birth,
    prepare: Box<dyn FnOnce(i32) -> Result<(), i32> + Send>,
) -> Result<i32, i32> {
    let errno = at_limit;
    let vcpu = process.reserve_vcpu().map_err(errno)?;
    let rendezvous = Arc::new(Rendezvous::default());
    let child = rendezvous.clone();
    process.thread_started();
    let body = Box::new(move || {
        let tid = threads::id();
        let attach = |()| GuestThread::new(process, vcpu.into_idle(), &birth, false);
        match prepare(tid).and_then(|ready| attach(ready).map_err(errno)) {
            Ok(thread) => {
                child.tell(tid);
                drop(child);
                thread.run();
            }
            Err(errno) => {
                process.thread_failed();
                child.tell(-errno);
            }
        }
    });
    // The new host thread inherits the mask: it must catch nothing before it has its place.
    let mask = host::set_mask(u64::MAX);
    let spawned = threads::spawn(body);
    if spawned.is_err() {
        process.thread_failed();
    }
    host::set_mask(mask);
    spawned.map_err(errno)?;
    match rendezvous.wait() {
        tid if tid > 0 => Ok(tid),
        errno => Err(-errno),
    }
}
