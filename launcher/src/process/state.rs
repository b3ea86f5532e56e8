//! What all threads of the wrapped program share.

use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{ffi::CString, fs::File, io};

use kvm_ioctls::Kvm;
use vmmload_consumer::{ProcessId, Track};

use super::mappings::Mappings;
use super::memory::Memory;
use super::next_run::Asked;
use super::runner::Runners;
use super::seccomp::Registry;
use super::signals::Dispositions;
use super::spin_budget::SpinBudget;
use crate::cli::{CallMode, Children, RunConfig};
use crate::host::descriptors::{self, Numbers};
use crate::host::placement::Placement;
use crate::host::{clock, threads};
use crate::kvm::vcpu::Vcpu;
use crate::machine::Machine;
use crate::probes::syscall_entry::SyscallEntry;
use crate::syscalls::kernel_writes::UnknownCalls;
use crate::tracking::harvester::Tracker;
use crate::tracking::kernel_log::KernelLog;

/// A counter with one writer, read by others now and then.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    /// Adds `n`. Only the owning thread may: there is no read-modify-write.
    pub(crate) fn add(&self, n: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    /// The value some moment ago.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one vCPU has been through, whichever threads used it.
#[derive(Debug, Default)]
pub(crate) struct VcpuStats {
    /// Returns of KVM_RUN.
    pub exits: Tally,
    /// Calls executed on the host as they were.
    pub relayed: Tally,
    /// Calls emulated.
    pub emulated: Tally,
    /// Calls of both kinds for which the guest was not left.
    pub in_page: Tally,
    /// Page faults served.
    pub faults: Tally,
    /// Times that the dirty ring was full.
    pub ring_full: Tally,
    /// Signals delivered.
    pub signals: Tally,
    /// Whether the guest may be in the middle of an instruction.
    pub in_guest: AtomicBool,
    /// The host thread that uses it, or 0.
    pub thread: AtomicI32,
    /// What the kernel wrote for its threads.
    pub kernel: KernelLog,
}

impl VcpuStats {
    /// Of a new vCPU, whose threads' pages are tracked as `track` says.
    pub(crate) fn new(track: Track) -> Self {
        let kernel = match track {
            Track::None => KernelLog::default(),
            _ => KernelLog::tracked(),
        };
        Self {
            kernel,
            ..Self::default()
        }
    }

    /// Notes that every instruction of the guest up to now is complete, or may not be.
    pub(crate) fn set_in_guest(&self, in_guest: bool) {
        // Pairs with the load in `tracking::vcpu_log`: who sees `false` sees the dirty-ring entries of
        // all stores before it, since the kernel wrote them on this thread.
        self.in_guest.store(in_guest, Ordering::Release);
    }
}

/// A vCPU between two threads.
pub(crate) struct IdleVcpu {
    /// The vCPU.
    pub vcpu: Vcpu,
    /// Its counters go on.
    pub stats: Arc<VcpuStats>,
}

/// A vCPU taken for a thread that may yet fail to start: unless it is used, it goes back.
pub(crate) struct ReservedVcpu {
    process: &'static Process,
    idle: Option<IdleVcpu>,
}

impl ReservedVcpu {
    /// The vCPU, for good.
    pub(crate) fn into_idle(mut self) -> IdleVcpu {
        self.idle
            .take()
            .expect("only this takes it, and consumes the reservation")
    }
}

impl Drop for ReservedVcpu {
    fn drop(&mut self) {
        if let Some(idle) = self.idle.take() {
            self.process.return_vcpu(idle);
        }
    }
}

/// What goes from a process to the children that it forks, whatever becomes of the files and rights that
/// it was found with.
pub(crate) struct Lineage {
    /// `/dev/kvm`.
    pub kvm: Kvm,
    /// The command line, NUL-separated, as the segment shows it.
    pub command: Vec<u8>,
    /// Whom it descends from.
    pub descent: Descent,
    /// Path of the program that runs.
    pub executable: CString,
}

/// Whom a process descends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descent {
    /// The first process of the `vmmload run` that it belongs to; `None`: itself.
    pub session: Option<ProcessId>,
    /// The wrapped process that forked it.
    pub parent: Option<ProcessId>,
}

/// What a process is to the VM that it runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The first process: the VM and the segment are its own.
    First,
    /// Forked by a wrapped process, with a VM and a segment of its own.
    Child,
    /// A child that shares its parent's memory, and with it the VM and the segment.
    Sharer,
}

/// The VM and what belongs to it: one for each memory. Made once and never dropped.
pub(crate) struct World {
    /// The VM.
    pub machine: &'static Machine,
    /// The memory of the programs in it.
    pub memory: Memory,
    /// The data path.
    pub tracker: Tracker,
    /// What a forked child needs for a VM and a segment of its own.
    pub lineage: Lineage,
    /// Calls of which it is not known what they wrote.
    pub unknown_calls: UnknownCalls,
    /// Each with the table of descriptors in which it was made: another process that shares the memory
    /// has it under the same number only by chance.
    idle: Mutex<Vec<(Numbers, IdleVcpu)>>,
    /// The first thread has vCPU 0.
    next_vcpu: AtomicU32,
}

impl World {
    /// A world whose vCPU 0 is in use.
    pub(crate) fn new(
        machine: &'static Machine,
        memory: Memory,
        tracker: Tracker,
        lineage: Lineage,
    ) -> &'static Self {
        Box::leak(Box::new(Self {
            machine,
            memory,
            tracker,
            lineage,
            unknown_calls: UnknownCalls::default(),
            idle: Mutex::new(Vec::new()),
            next_vcpu: AtomicU32::new(1),
        }))
    }
}

impl World {
    /// Takes the pages of `range` away from the guest because their mappings in `table`, which is locked for
    /// changing, are about to go. The caller makes the host call next.
    pub(crate) fn retire(&self, table: &Mappings, range: &Range<u64>) {
        self.memory.call_sites().forget(range);
        self.tracker.retire(self.machine, table, range);
    }
}

/// A wrapped process. Never dropped, unless it shares its parent's memory.
pub(crate) struct Process {
    world: &'static World,
    /// What it is to its VM.
    pub role: Role,
    /// What signals do.
    pub dispositions: Arc<Dispositions>,
    /// What its threads' calls are judged by.
    pub seccomp: Registry,
    /// What the user asked for.
    pub config: RunConfig,
    /// Where the summary goes at the end, out of the program's way.
    pub summary: Option<File>,
    /// When the program started, on the monotonic clock.
    pub started_ns: u64,
    /// Threads that run vCPUs for the program's.
    pub runners: Runners,
    /// What those may spend.
    pub spin_budget: SpinBudget,
    /// Threads started so far, the first included.
    pub threads_started: AtomicU64,
    live_threads: AtomicUsize,
    /// It may have a list of semaphore adjustments.
    may_adjust: AtomicBool,
    asked: Asked,
}

impl Deref for Process {
    type Target = World;

    fn deref(&self) -> &World {
        self.world
    }
}

impl Process {
    /// Of the program that it executes next.
    pub(crate) fn descent_of_next(&self) -> Descent {
        let parent = match self.role {
            Role::Sharer => Some(self.tracker.identity()),
            Role::First | Role::Child => self.lineage.descent.parent,
        };
        let session = Some(self.tracker.session());
        Descent { session, parent }
    }

    /// Whether the programs that it executes run wrapped, as far as that is the user's choice.
    pub(crate) fn wraps_programs(&self) -> bool {
        self.role == Role::First || self.config.children == Children::Follow
    }

    /// A process in `world` whose first thread is about to run.
    pub(crate) fn new(
        world: &'static World,
        role: Role,
        config: RunConfig,
        summary: Option<File>,
        dispositions: Arc<Dispositions>,
    ) -> Self {
        let budget = config
            .spin_budget
            .unwrap_or_else(|| 50 * Placement::own().map_or(2, |own| own.processors()));
        Self {
            runners: Runners::default(),
            spin_budget: SpinBudget::new(budget),
            world,
            role,
            dispositions,
            seccomp: Registry::default(),
            config,
            summary,
            started_ns: clock::monotonic_ns(),
            threads_started: AtomicU64::new(1),
            live_threads: AtomicUsize::new(1),
            may_adjust: AtomicBool::new(false),
            asked: Asked::default(),
        }
    }

    /// Whether its hot call sites are replaced: where `syscall` arrives in ring 3, it got there by a trap.
    pub(crate) fn replaces_call_sites(&self) -> bool {
        self.config.call_mode != CallMode::Exit
            && self.role != Role::Sharer
            && self.machine.entry.get() == Some(&SyscallEntry::Ring3)
    }

    /// What was asked for its next image.
    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// A child of this process in the same world. `handlers`: whether it shares the signal handlers,
    /// too.
    pub(crate) fn sharer(&self, handlers: bool) -> Self {
        let config = RunConfig {
            // The first process's alone.
            summary: None,
            ..self.config.clone()
        };
        let dispositions = match handlers {
            true => self.dispositions.clone(),
            false => Arc::new(self.dispositions.copied()),
        };
        Self::new(self.world, Role::Sharer, config, None, dispositions)
    }

    /// Whether there was never more than one vCPU in this memory.
    pub(crate) fn has_one_vcpu(&self) -> bool {
        self.next_vcpu.load(Ordering::Relaxed) == 1
    }

    /// A vCPU for a new thread: one that a finished thread left, or a new one.
    ///
    /// # Errors
    /// EAGAIN when KVM has no more, or what KVM says.
    pub(crate) fn reserve_vcpu(&'static self) -> io::Result<ReservedVcpu> {
        Ok(ReservedVcpu {
            process: self,
            idle: Some(self.take_vcpu()?),
        })
    }

    fn take_vcpu(&self) -> io::Result<IdleVcpu> {
        let here = descriptors::numbers();
        let mut idle = self.idle();
        if let Some(at) = idle.iter().rposition(|(made_in, _)| *made_in == here) {
            return Ok(idle.swap_remove(at).1);
        }
        drop(idle);
        let limit = self.machine.vm.caps().max_vcpus;
        let id = self
            .next_vcpu
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < limit).then_some(n + 1)
            })
            .map_err(|_| io::Error::from_raw_os_error(libc::EAGAIN))?;
        let (vcpu, ring) = Vcpu::create(self.machine, id)?;
        let stats = Arc::new(VcpuStats::new(self.config.track));
        self.tracker.add_vcpu(id, ring, stats.clone());
        Ok(IdleVcpu { vcpu, stats })
    }

    /// Gives a vCPU back that was taken by a thread with the same table of descriptors.
    pub(crate) fn return_vcpu(&self, idle: IdleVcpu) {
        self.idle().push((descriptors::numbers(), idle));
    }

    /// After a process that shares this memory is gone: its descriptors, and with them the vCPUs that it
    /// made itself, went with it.
    pub(crate) fn forget_vcpus(&self, made_in: Numbers) {
        let mut idle = self.idle();
        while let Some(at) = idle.iter().position(|(of, _)| *of == made_in) {
            // Dropping it would close a descriptor of this process.
            std::mem::forget(idle.swap_remove(at));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Numbers, IdleVcpu)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It may have a list of semaphore adjustments (semop(2), SEM_UNDO), now or from an earlier image.
    pub(crate) fn may_adjust_semaphores(&self) {
        self.may_adjust.store(true, Ordering::Relaxed);
    }

    /// Called after the calling thread has started one of the launcher's.
    pub(crate) fn thread_added_besides(&self) {
        let alone = self.threads_started.load(Ordering::Relaxed) == 1;
        if alone && !self.may_adjust.load(Ordering::Relaxed) {
            threads::leave_semaphore_list();
        }
    }

    /// One thread more.
    pub(crate) fn thread_started(&self) {
        self.live_threads.fetch_add(1, Ordering::Relaxed);
        self.threads_started.fetch_add(1, Ordering::Relaxed);
    }

    /// One thread less, before its first instruction.
    pub(crate) fn thread_failed(&self) {
        self.live_threads.fetch_sub(1, Ordering::Relaxed);
        self.threads_started.fetch_sub(1, Ordering::Relaxed);
    }

    /// One thread less; whether it was the last.
    pub(crate) fn thread_ended(&self) -> bool {
        self.live_threads.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether the program has more than one thread.
    pub(crate) fn has_several_threads(&self) -> bool {
        self.live_threads.load(Ordering::Acquire) > 1
    }

    /// Whether the calling thread is the only one left.
    pub(crate) fn is_last_thread(&self) -> bool {
        self.live_threads.load(Ordering::Acquire) == 1
    }
}
