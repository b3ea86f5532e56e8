//! A child that shares its parent's memory, as vfork(2) and clone(2) with CLONE_VM make it: it runs in the
//! same VM, on a vCPU of its own, and what it writes is counted with what its parent writes.
//!
//! On the host it is such a child, too, and it uses the libc state (TLS, errno, the heap's caches) of the
//! thread that started it, which is suspended until the child has executed another program or has ended.
//! Where the program's own thread goes on meanwhile, another host thread is suspended in its place.

use std::os::raw::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::state::Process;
use super::thread::{Birth, GuestThread, Rendezvous, at_limit};
use crate::host::descriptors::{self, CopiedNumbers, Numbers, TrueLimit};
use crate::host::processes::{self, CloneArgs};
use crate::host::signals::Pending;
use crate::host::{guest_memory, threads};

/// How a child differs from its parent.
pub(crate) struct Child {
    /// Its registers, FS and GS bases, vector state and mask.
    pub birth: Birth,
    /// What the program asked for, with the flags that the kernel gets.
    pub args: CloneArgs,
    /// Its handlers go back to the default.
    pub clear_handlers: bool,
}

/// What the child finds when it starts.
struct Start {
    thread: *mut GuestThread,
    numbers: Option<Numbers>,
    limit: TrueLimit,
    clear_handlers: bool,
    beside: Option<Beside>,
    pid: AtomicI32,
}

/// Where the parent does not wait for the child's end.
struct Beside {
    parent: Arc<Rendezvous>,
    /// For CLONE_PARENT_SETTID.
    parent_tid: u64,
}

/// Starts the child and waits until it has executed another program or has ended; returns its id. All
/// signals are blocked.
///
/// # Errors
/// An errno, as clone(2) has it.
pub(crate) fn run_child(thread: &GuestThread, child: &Child) -> Result<i32, i32> {
    let alt_stack = thread.signals.alt_stack;
    let prepare = |child: &mut GuestThread| child.signals.alt_stack = alt_stack;
    let answer = run(thread.process, child, None, prepare);
    // SAFETY: as when the thread started; the child, which used this thread's place, is gone.
    unsafe { thread.pending.attach() };
    answer
}

/// Starts the child to run beside its parent; returns its id. All signals are blocked.
///
/// # Errors
/// An errno, as clone(2) has it.
pub(crate) fn start_child(process: &'static Process, mut child: Child) -> Result<i32, i32> {
    let rendezvous = Arc::new(Rendezvous::default());
    let parent = rendezvous.clone();
    let body = move || {
        let parent_tid = match child.args.flags & libc::CLONE_PARENT_SETTID as u64 {
            0 => 0,
            _ => child.args.parent_tid,
        };
        child.args.flags |= (libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID) as u64;
        let beside = Beside {
            parent: parent.clone(),
            parent_tid,
        };
        if let Err(errno) = run(process, &child, Some(beside), |_| ()) {
            parent.tell(-errno);
        }
        Pending::detach();
    };
    threads::spawn(Box::new(body)).map_err(at_limit)?;
    match rendezvous.wait() {
        pid if pid > 0 => Ok(pid),
        errno => Err(-errno),
    }
}

fn run(
    process: &'static Process,
    child: &Child,
    beside: Option<Beside>,
    prepare: impl FnOnce(&mut GuestThread),
) -> Result<i32, i32> {
    let errno = at_limit;
    let shares = |flag: i32| child.args.flags & flag as u64 != 0;
    let vcpu = process.reserve_vcpu().map_err(errno)?;
    let stack = threads::Stack::reserve().map_err(errno)?;
    let copied = (!shares(libc::CLONE_FILES)).then(CopiedNumbers::new);
    let own = Box::new(process.sharer(shares(libc::CLONE_SIGHAND)));
    // SAFETY: the child alone uses it, and is gone when this function returns; it has no threads.
    let own_process: &'static Process = unsafe { &*std::ptr::from_ref(own.as_ref()) };
    let mut thread = Box::new(
        GuestThread::new(own_process, vcpu.into_idle(), &child.birth, true).map_err(errno)?,
    );
    prepare(&mut thread);
    let mut start = Start {
        thread: &raw mut *thread,
        // SAFETY: `copied` outlives the child.
        numbers: copied.as_ref().map(|copied| unsafe { copied.numbers() }),
        limit: TrueLimit::get().map_err(errno)?,
        clear_handlers: child.clear_handlers,
        beside,
        pid: AtomicI32::new(0),
    };
    let (base, size) = stack.range();
    let mut args = child.args;
    (args.stack, args.stack_size) = (base, size);
    if start.beside.is_some() {
        args.parent_tid = start.pid.as_ptr() as u64;
    }
    let numbers = descriptors::numbers();
    // SAFETY: `start` and the stack are the child's until it is gone.
    let answer = unsafe { processes::clone_sharing(&args, run_guest, (&raw mut start).cast()) };
    descriptors::set_numbers(numbers);
    if let Some(own) = start.numbers {
        process.forget_vcpus(own);
    }
    // However the child ended, its vCPU has stopped.
    thread.stats.set_in_guest(false);
    thread.release_vcpu();
    answer
}

/// The child.
extern "C" fn run_guest(start: *mut c_void) -> ! {
    // SAFETY: `run` passes a `Start`, and leaves it and what it points to alone until the child is gone.
    let (start, thread) = unsafe {
        let start = &*start.cast::<Start>();
        (start, &mut *start.thread)
    };
    if let Some(numbers) = start.numbers {
        descriptors::set_numbers(numbers);
    }
    start.limit.restore();
    if start.clear_handlers {
        thread.process.dispositions.clear_handlers();
    }
    if let Some(beside) = &start.beside {
        let pid = start.pid.load(Ordering::Acquire);
        if beside.parent_tid != 0 {
            // As in the kernel, a wrong address is the program's own business.
            let _ = guest_memory::write(beside.parent_tid, &pid);
        }
        beside.parent.tell(pid);
    }
    thread.run_sharing()
}
