//! fork(2): the child goes on with a VM of its own, over its copy of the memory.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::Arc;

use kvm_ioctls::Kvm;

use super::handover;
use super::lifecycle::OWN_FAILURE;
use super::memory::{Copied, Forked};
use super::state::{Descent, IdleVcpu, Lineage, Process, Role, VcpuStats, World};
use super::thread::{Birth, GuestThread};
use crate::cli::RunConfig;
use crate::host::descriptors::Parked;
use crate::host::processes::{self, CloneArgs};
use crate::host::{descriptors, messages, origin, threads};
use crate::kvm::vcpu::Vcpu;
use crate::machine::Tracking;
use crate::session::RunError;
use crate::tracking::harvester::Tracker;

/// How a child differs from its parent.
pub(crate) struct Child {
    /// Its registers, FS and GS bases, vector state and mask.
    pub birth: Birth,
    /// Its handlers go back to the default.
    pub clear_handlers: bool,
    /// The parent waits until it has ended or executes another program, as in vfork(2).
    pub parent_waits: bool,
    /// What only the kernel can give it.
    pub kernel: Option<CloneArgs>,
    /// Called in the child, before its first instruction.
    pub prepare: fn(&CloneArgs),
    /// For `prepare`.
    pub args: CloneArgs,
}

/// Forks. Returns the child's id, in the parent only: the child runs the guest from here on, on this
/// copy of the host thread's stack, until its end. All signals are blocked.
///
/// # Errors
/// What the kernel says.
pub(crate) fn fork(thread: &GuestThread, child: Child) -> io::Result<i32> {
    let notice = match child.parent_waits {
        true => Some(processes::end_notice()?),
        false => None,
    };
    let process = thread.process;
    match process
        .memory
        .fork(|| processes::fork(child.kernel.as_ref()))?
    {
        Forked::Parent(pid) => {
            process.tracker.child_came(origin::child(pid));
            if let Some((read, write)) = notice {
                drop(write);
                processes::wait_for_end(&read);
            }
            Ok(pid)
        }
        Forked::Child(memory) => {
            let kept = notice.map(|(_, write)| write);
            match start(thread, &child, memory, kept) {
                Ok(thread) => {
                    // Its last thread ends the process, and leaves the host thread no other way.
                    thread.run();
                    unreachable!("the first thread ends with its process")
                }
                Err(e) => fail(&e),
            }
        }
    }
}

/// A child that cannot have a VM. Its parent was told that it exists, so it ends as by a failure of
/// the launcher.
fn fail(error: &RunError) -> ! {
    messages::say(&format!(
        "the child process {} cannot be wrapped: {error}",
        std::process::id()
    ));
    // SAFETY: ends the process without running anything of ours.
    unsafe { libc::_exit(OWN_FAILURE) }
}

fn start(
    parent: &GuestThread,
    child: &Child,
    memory: Copied<'_>,
    kept: Option<Parked>,
) -> Result<GuestThread, RunError> {
    threads::after_fork();
    let process = parent.process;
    let kvm = process.lineage.kvm.as_raw_fd();
    let notice = kept.as_ref().map(|kept| kept.file().as_raw_fd());
    let keep: Vec<RawFd> = [
        Some(kvm),
        notice,
        handover::launcher(),
        origin::descriptor(),
    ]
    .into_iter()
    .flatten()
    .collect();
    descriptors::close_after_fork(&keep);
    // Closed by the kernel: at this process's end, or when it executes another program.
    std::mem::forget(kept);
    // SAFETY: the descriptor is still open, and the parent's copy of its owner is not used here.
    let kvm = unsafe { Kvm::from_raw_fd(kvm) };

    let (process, vcpu) = wrap(process, memory, kvm)?;
    if child.clear_handlers {
        process.dispositions.clear_handlers();
    }
    process.memory.offer_again(child.birth.regs.rsp);
    Tracker::start(process).map_err(RunError::Harvester)?;
    if !has_semaphore_list(&child.args) {
        threads::leave_semaphore_list();
    }
    (child.prepare)(&child.args);
    let mut thread = GuestThread::new(process, vcpu, &child.birth, true).map_err(RunError::Vcpu)?;
    thread.signals.alt_stack = parent.signals.alt_stack;
    if child.args.flags & libc::CLONE_CHILD_SETTID as u64 != 0 {
        thread.kernel_wrote(child.args.child_tid, 4);
    }
    Ok(thread)
}

/// Whether the child shares its parent's list of semaphore adjustments.
fn has_semaphore_list(args: &CloneArgs) -> bool {
    args.flags & libc::CLONE_SYSVSEM as u64 != 0
}

/// The child as a process like its parent `of`, with a VM, a first vCPU and a segment of its own.
fn wrap(
    of: &Process,
    memory: Copied<'_>,
    kvm: Kvm,
) -> Result<(&'static Process, IdleVcpu), RunError> {
    let mut config = RunConfig {
        // The first process's alone.
        summary: None,
        ..of.config.clone()
    };
    let machine = of.machine.create_again(&kvm, Tracking::of(&config))?;
    let (vcpu, ring) = Vcpu::create(machine, 0).map_err(RunError::Vcpu)?;
    let lineage = Lineage {
        kvm,
        command: of.lineage.command.clone(),
        descent: Descent {
            session: Some(of.tracker.session()),
            parent: Some(of.tracker.identity()),
        },
        executable: of.lineage.executable.clone(),
    };
    let tracker = Tracker::create_anyhow(&mut config, &lineage.command, lineage.descent, machine)
        .map_err(RunError::Segment)?;
    let stats = Arc::new(VcpuStats::new(config.track));
    tracker.add_vcpu(0, ring, stats.clone());
    let world = World::new(machine, memory.into_memory(machine), tracker, lineage);
    let dispositions = Arc::new(of.dispositions.copied());
    let process = Process::new(world, Role::Child, config, None, dispositions);
    Ok((Box::leak(Box::new(process)), IdleVcpu { vcpu, stats }))
}
