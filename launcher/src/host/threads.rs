//! Host threads on stacks of our own.
//!
//! libc would give a finished thread's stack back when the kernel clears the id that libc watches; the
//! kernel clears the program's instead (set_tid_address). So the stacks are ours, and one is used
//! again once the kernel knows its thread no more.

use std::ffi::CString;
use std::io;
use std::os::raw::c_void;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{clock, descriptors, relay};
use crate::guest::layout::PAGE;

/// Deep enough for the run loop with a signal frame of the largest vector state on top.
const STACK: usize = 128 << 10;

/// What a thread that ends may take, in nanoseconds.
const LONGEST_END: u64 = 2_000_000_000;

struct HostStack {
    base: usize,
    /// 0 until the thread runs, then its id; -1 where nobody uses it.
    tid: AtomicI32,
    /// The thread's process: another may share this memory.
    pid: AtomicI32,
}

static STACKS: Mutex<Vec<Arc<HostStack>>> = Mutex::new(Vec::new());

struct Start {
    stack: Arc<HostStack>,
    descriptors: descriptors::Numbers,
    body: Box<dyn FnOnce() + Send>,
}

/// A stack for a process that shares this one's memory. Its user must have gone before it is dropped.
pub(crate) struct Stack(Arc<HostStack>);

impl Stack {
    /// A stack that is in nobody's use.
    ///
    /// # Errors
    /// ENOMEM without memory for one.
    pub(crate) fn reserve() -> io::Result<Self> {
        free_stack().map(Self)
    }

    /// Its lowest address and its size.
    pub(crate) fn range(&self) -> (u64, u64) {
        (self.0.base as u64, STACK as u64)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.0.tid.store(-1, Ordering::Release);
    }
}

/// Waits for the end of the process, which another thread is about to bring. All signals are blocked.
pub(crate) fn sleep_for_ever() -> ! {
    loop {
        // SAFETY: takes nothing and touches nothing.
        unsafe { libc::pause() };
    }
}

/// Interrupts the processors on which other threads of this process run, so that vCPUs leave the guest for a moment.
/// Nothing happens where the kernel does not offer that.
pub(crate) fn disturb_others() {
    // membarrier(2). For the private kind a process can see whether it has registered, and the program has not.
    let [register, barrier] = [
        libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED,
        libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED,
    ];
    for command in [register, barrier] {
        // SAFETY: the call touches no memory.
        unsafe { relay::raw(libc::SYS_membarrier, [command as u64, 0, 0, 0, 0, 0]) };
    }
}

/// Names the calling thread.
pub(crate) fn set_name(name: &str) {
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: `name` is a string for the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Runs `body` on a new, detached host thread. It inherits the caller's signal mask, priority and
/// affinity, as threads do.
///
/// # Errors
/// EAGAIN at the limit of threads, ENOMEM without memory for a stack.
pub(crate) fn spawn(body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let stack = free_stack()?;
    let start = Box::into_raw(Box::new(Start {
        stack: stack.clone(),
        descriptors: descriptors::numbers(),
        body,
    }));
    let check = |result: i32| match result {
        0 => Ok(()),
        e => Err(io::Error::from_raw_os_error(e)),
    };
    // SAFETY: the attributes are initialised before use and destroyed after; the stack is `STACK`
    // bytes that no live thread uses; `start` is a Box that `run` takes back, or we do on failure.
    let result = unsafe {
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        let mut thread = std::mem::zeroed::<libc::pthread_t>();
        libc::pthread_attr_init(&mut attributes);
        let result = check(libc::pthread_attr_setdetachstate(
            &mut attributes,
            libc::PTHREAD_CREATE_DETACHED,
        ))
        .and_then(|()| {
            check(libc::pthread_attr_setstack(
                &mut attributes,
                stack.base as *mut c_void,
                STACK,
            ))
        })
        .and_then(|()| {
            check(libc::pthread_create(
                &mut thread,
                &attributes,
                run,
                start.cast(),
            ))
        });
        libc::pthread_attr_destroy(&mut attributes);
        if result.is_err() {
            drop(Box::from_raw(start));
        }
        result
    };
    if result.is_err() {
        // No thread ever ran on it: mark it free again.
        stack.tid.store(-1, Ordering::Release);
    }
    result
}

/// Whether this process may have threads at all: not after unshare(2) with CLONE_NEWPID or CLONE_NEWTIME,
/// which leaves it in other namespaces than its children.
pub(crate) fn can_be_started() -> bool {
    ["pid", "time"].into_iter().all(|kind| {
        let link = |of| std::fs::read_link(format!("/proc/self/ns/{kind}{of}")).ok();
        link("") == link("_for_children")
    })
}

/// Gives the calling thread no list of semaphore adjustments (semop(2), SEM_UNDO) any more: making a thread has
/// given it one to share with that thread, which kcmp(2) shows. Only for a process that has not made
/// any adjustment yet.
pub(crate) fn leave_semaphore_list() {
    // SAFETY: unshare with this flag touches no memory. It fails only without System V semaphores.
    unsafe { libc::unshare(libc::CLONE_SYSVSEM) };
}

/// Runs `f` while no stack is handed out.
pub(crate) fn with_stacks_still<T>(f: impl FnOnce() -> T) -> T {
    let _stacks = STACKS.lock().unwrap_or_else(PoisonError::into_inner);
    f()
}

/// In a forked child: the calling thread is the only one, under a new id.
pub(crate) fn after_fork() {
    let here = 0u8;
    let here = &raw const here as usize;
    let stacks = STACKS.lock().unwrap_or_else(PoisonError::into_inner);
    for stack in stacks.iter() {
        let own = (stack.base..stack.base + STACK).contains(&here);
        // SAFETY: gettid touches nothing.
        let tid = if own { unsafe { libc::gettid() } } else { -1 };
        stack
            .pid
            .store(std::process::id() as i32, Ordering::Relaxed);
        stack.tid.store(tid, Ordering::Release);
    }
}

extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `start` is the Box that `spawn` gave up for this thread.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    let pid = std::process::id() as i32;
    start.stack.pid.store(pid, Ordering::Relaxed);
    // SAFETY: gettid touches nothing.
    start
        .stack
        .tid
        .store(unsafe { libc::gettid() }, Ordering::Release);
    descriptors::set_numbers(start.descriptors);
    (start.body)();
    std::ptr::null_mut()
}

fn free_stack() -> io::Result<Arc<HostStack>> {
    let mut stacks = STACKS.lock().unwrap_or_else(PoisonError::into_inner);
    for stack in stacks.iter() {
        let tid = stack.tid.load(Ordering::Acquire);
        if tid == -1 || (tid > 0 && is_gone(stack.pid.load(Ordering::Relaxed), tid)) {
            stack.tid.store(0, Ordering::Relaxed);
            return Ok(stack.clone());
        }
    }
    let stack = Arc::new(HostStack {
        base: map_stack()?,
        tid: AtomicI32::new(0),
        pid: AtomicI32::new(0),
    });
    stacks.push(stack.clone());
    Ok(stack)
}

/// Waits until all threads that this process started here have ended, but for the calling one: each is
/// about to, unless it is suspended in the place of a child that shares the memory. So not for ever.
pub(crate) fn wait_for_others() {
    // SAFETY: getpid and gettid touch nothing.
    let (process, own) = unsafe { (libc::getpid(), libc::gettid()) };
    let deadline = clock::monotonic_ns() + LONGEST_END;
    let stacks = STACKS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for stack in stacks {
        let is_there = || match stack.tid.load(Ordering::Acquire) {
            -1 => false,
            // It has not come to its first instruction yet.
            0 => true,
            _ if stack.pid.load(Ordering::Relaxed) != process => false,
            tid => tid != own && !is_gone(process, tid),
        };
        while is_there() && clock::monotonic_ns() < deadline {
            std::thread::yield_now();
        }
    }
}

/// Whether the kernel knows thread `tid` of process `pid` no more.
fn is_gone(pid: i32, tid: i32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe {
        let args = [pid as u64, tid as u64, 0, 0, 0, 0];
        relay::raw(libc::SYS_tgkill, args) == -i64::from(libc::ESRCH)
    }
}

/// A stack with an inaccessible page below it.
fn map_stack() -> io::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a fresh mapping, and a change of its own upper part.
    unsafe {
        let guard = PAGE as usize;
        let base = libc::mmap(
            std::ptr::null_mut(),
            STACK + guard,
            libc::PROT_NONE,
            flags,
            -1,
            0,
        );
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = base.byte_add(guard);
        if libc::mprotect(stack, STACK, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            let error = io::Error::last_os_error();
            libc::munmap(base, STACK + guard);
            return Err(error);
        }
        Ok(stack as usize)
    }
}

/// The calling thread's id.
pub(crate) fn id() -> i32 {
    // SAFETY: gettid touches nothing.
    unsafe { libc::gettid() }
}
