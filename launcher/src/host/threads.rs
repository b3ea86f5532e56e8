//! Host threads on stacks of our own.
//!
//! libc would give a finished thread's stack back when the kernel clears the id that libc watches; the
//! kernel clears the program's instead (set_tid_address). So the stacks are ours, and one is used
//! again once the kernel knows its thread no more.

use std::io;
use std::os::raw::c_void;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::relay;
use crate::guest::layout::PAGE;

/// Deep enough for the run loop with a signal frame of the largest vector state on top.
const STACK: usize = 128 << 10;

struct HostStack {
    base: usize,
    /// 0 until the thread runs, then its id.
    tid: AtomicI32,
}

static STACKS: Mutex<Vec<Arc<HostStack>>> = Mutex::new(Vec::new());

struct Start {
    stack: Arc<HostStack>,
    body: Box<dyn FnOnce() + Send>,
}

/// A thread that [`spawn`] started.
pub(crate) struct SpawnedThread(Arc<HostStack>);

impl SpawnedThread {
    /// Waits until the kernel knows the thread no more. Nobody may start threads meanwhile, which could get
    /// its stack.
    pub(crate) fn wait_until_gone(&self) {
        loop {
            match self.0.tid.load(Ordering::Acquire) {
                -1 => return,
                tid if tid > 0 && is_gone(tid) => return,
                _ => std::thread::sleep(PAUSE),
            }
        }
    }
}

/// Between two looks whether a thread is gone: it takes about that long.
const PAUSE: Duration = Duration::from_micros(50);

/// Runs `body` on a new, detached host thread. It inherits the caller's signal mask, priority and
/// affinity, as threads do.
///
/// # Errors
/// EAGAIN at the limit of threads, ENOMEM without memory for a stack.
pub(crate) fn spawn(body: Box<dyn FnOnce() + Send>) -> io::Result<SpawnedThread> {
    let stack = free_stack()?;
    let start = Box::into_raw(Box::new(Start {
        stack: stack.clone(),
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
    result.map(|()| SpawnedThread(stack))
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
        stack.tid.store(tid, Ordering::Release);
    }
}

extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `start` is the Box that `spawn` gave up for this thread.
    let start = unsafe { Box::from_raw(start.cast::<Start>()) };
    // SAFETY: gettid touches nothing.
    start
        .stack
        .tid
        .store(unsafe { libc::gettid() }, Ordering::Release);
    (start.body)();
    std::ptr::null_mut()
}

fn free_stack() -> io::Result<Arc<HostStack>> {
    let mut stacks = STACKS.lock().unwrap_or_else(PoisonError::into_inner);
    for stack in stacks.iter() {
        let tid = stack.tid.load(Ordering::Acquire);
        if tid == -1 || (tid > 0 && is_gone(tid)) {
            stack.tid.store(0, Ordering::Relaxed);
            return Ok(stack.clone());
        }
    }
    let stack = Arc::new(HostStack {
        base: map_stack()?,
        tid: AtomicI32::new(0),
    });
    stacks.push(stack.clone());
    Ok(stack)
}

/// Whether the kernel knows thread `tid` of this process no more.
fn is_gone(tid: i32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe {
        let args = [libc::getpid() as u64, tid as u64, 0, 0, 0, 0];
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
