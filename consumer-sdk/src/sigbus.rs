//! Keeps a reader alive when a segment is cut short under it.
//!
//! Reading a mapping behind the end of its file raises SIGBUS, and so does a hole of a sparse file when
//! /dev/shm is full. Both are in the hands of the segment's owner, and neither may end a reader. So the
//! first attach installs a handler that puts zeroes in the place of what is missing, and notes
//! that the mapping is damaged. Faults anywhere else go to the handler that was there before.
//!
//! Which mappings are readers' is a table of words, one for each mapping, so that the handler sees a mapping
//! whole or not at all. A mapping is entered before anybody reads it and taken out before it
//! is unmapped. Who faults in it reads it, so it stays entered until its handler returns.

use crate::sync::{AtomicU64, Ordering};
use crate::wire::PAGE_SIZE;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, transmute};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr};

/// Mappings that one process can watch at a time.
pub(crate) const MAX_WATCHED: usize = 4096;

/// Bits of [`Slot::extent`] that count pages; the number of the first page is above them. Addresses of
/// processes have 47 bits, unless asked for by hint.
const PAGES_BITS: u32 = 28;
const PAGES_MASK: u64 = (1 << PAGES_BITS) - 1;

/// One watched mapping, or none.
struct Slot {
    /// `first page << PAGES_BITS | pages`; zero: free.
    extent: AtomicU64,
    damaged: AtomicBool,
}

static WATCHED: [Slot; MAX_WATCHED] = [const {
    Slot {
        extent: AtomicU64::new(0),
        damaged: AtomicBool::new(false),
    }
}; MAX_WATCHED];

/// Whether the process's signals are left as they are.
static LEFT_ALONE: AtomicBool = AtomicBool::new(false);

/// What SIGBUS did before: a `sigaction` that is never freed, since a handler may be reading it.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// What it does in a process that never said.
// SAFETY: all zeroes is a value of that plain C structure: the default action, and an empty mask.
static DEFAULT: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };

/// Installs no handler for SIGBUS at later attaches, for a process whose signals are not its own to
/// handle. A segment that is cut short then ends it.
///
/// Otherwise the first attach takes SIGBUS over for the whole process, once, and passes on what does not
/// happen in a segment. A handler that is installed later takes the place of that one, and has to call it
/// for what is none of its own. No thread that reads a segment may block SIGBUS.
pub fn leave_sigbus_alone() {
    LEFT_ALONE.store(true, Ordering::Relaxed);
}

/// Why a mapping cannot be watched.
#[derive(Debug)]
pub(crate) enum Unwatched {
    /// So many are watched already.
    Full,
    /// sigaction(2) failed.
    Handler(io::Error),
}

/// A mapping that the handler mends for as long as this lives.
#[derive(Debug)]
pub(crate) struct Watch(Option<usize>);

impl Watch {
    /// Watches the mapping of `bytes` bytes at `start`. It must not be unmapped before the result is
    /// dropped.
    ///
    /// # Errors
    /// See [`Unwatched`].
    pub(crate) fn new(start: *const u8, bytes: usize) -> Result<Self, Unwatched> {
        if LEFT_ALONE.load(Ordering::Relaxed) {
            return Ok(Self(None));
        }
        static INSTALLED: OnceLock<c_int> = OnceLock::new();
        match *INSTALLED.get_or_init(install) {
            0 => {}
            errno => return Err(Unwatched::Handler(io::Error::from_raw_os_error(errno))),
        }
        let first = (start as usize / PAGE_SIZE) as u64;
        let pages = bytes.div_ceil(PAGE_SIZE) as u64;
        let extent = first << PAGES_BITS | pages;
        // Acquire, pairs with the release in `drop`: the slot's damage was cleared.
        let claim = |slot: &Slot| {
            let (success, failure) = (Ordering::Acquire, Ordering::Relaxed);
            let exchange = slot.extent.compare_exchange(0, extent, success, failure);
            exchange.is_ok()
        };
        let fits = pages >> PAGES_BITS == 0 && first >> (u64::BITS - PAGES_BITS) == 0;
        let slot = fits.then(|| WATCHED.iter().position(claim)).flatten();
        slot.map(|slot| Self(Some(slot))).ok_or(Unwatched::Full)
    }

    /// Whether a part of the mapping was missing when it was read.
    pub(crate) fn is_damaged(&self) -> bool {
        self.0
            .is_some_and(|slot| WATCHED[slot].damaged.load(Ordering::Relaxed))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            WATCHED[slot].damaged.store(false, Ordering::Relaxed);
            WATCHED[slot].extent.store(0, Ordering::Release);
        }
    }
}

/// Puts our handler in front of the one that is there. Zero, or an errno.
fn install() -> c_int {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the first call asks only, the second reads `ours` and both fill `before`, a plain C structure
    // of which all zeroes is a valid value. `handle` has the type that SA_SIGINFO asks for.
    unsafe {
        if libc::sigaction(libc::SIGBUS, ptr::null(), before.as_mut_ptr()) != 0 {
            return errno();
        }
        // Known before our handler can be called.
        PREVIOUS.store(
            Box::into_raw(Box::new(before.assume_init())),
            Ordering::Release,
        );
        let mut ours = before.assume_init();
        ours.sa_sigaction = handle as *const () as usize;
        // The previous handler is called from ours, so ours has its mask and what else it relies on.
        ours.sa_flags &= libc::SA_NODEFER | libc::SA_RESTART;
        ours.sa_flags |= libc::SA_SIGINFO | libc::SA_ONSTACK;
        match libc::sigaction(libc::SIGBUS, &raw const ours, ptr::null_mut()) {
            0 => 0,
            _ => errno(),
        }
    }
}

fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(-1)
}

/// The handler. Everything in it is async-signal-safe: loads, stores and system calls.
extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a full siginfo; errno is the thread's own, and the interrupted code may
    // be about to look at it.
    unsafe {
        let errno = libc::__errno_location();
        let saved = *errno;
        let is_fault = matches!(
            (*info).si_code,
            libc::BUS_ADRERR | libc::BUS_OBJERR | libc::BUS_MCEERR_AR
        );
        if !is_fault || !mend((*info).si_addr() as u64) {
            pass_on(signal, info, context);
        }
        *errno = saved;
    }
}

/// Puts zeroes in the place of a watched mapping from the page of `address` to its end.
fn mend(address: u64) -> bool {
    let page = address / PAGE_SIZE as u64;
    // The slot that holds the page, and the first page behind its mapping.
    let holder = WATCHED.iter().find_map(|slot| {
        let extent = slot.extent.load(Ordering::Relaxed);
        let first = extent >> PAGES_BITS;
        let end = first + (extent & PAGES_MASK);
        (first..end).contains(&page).then_some((slot, end))
    });
    let Some((slot, end)) = holder else {
        return false;
    };
    // Before the zeroes can be seen.
    slot.damaged.store(true, Ordering::Relaxed);
    // SAFETY: the range is part of a reader's mapping, which stays mapped because the fault was raised by its
    // reader. Nobody holds a reference to plain data in it. By system call, since it is not said of mmap(3)
    // that a handler may call it.
    let mapped = unsafe {
        // Each argument as wide as the register that it is passed in.
        let bytes = (end - page) * PAGE_SIZE as u64;
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let [readable, flags] = [libc::PROT_READ, flags].map(i64::from);
        let start = page * PAGE_SIZE as u64;
        libc::syscall(libc::SYS_mmap, start, bytes, readable, flags, -1_i64, 0_i64)
    };
    mapped != -1
}

/// Does what would have happened without us.
///
/// # Safety
/// The arguments are those of a handler for SIGBUS.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // Acquire: pairs with the store in `install`.
    let previous = PREVIOUS.load(Ordering::Acquire);
    // SAFETY: stored before our handler was installed, and never freed; as for `info`, see above. The
    // address in a sigaction is that of a function of the type that its flags say.
    unsafe {
        let libc::sigaction {
            sa_sigaction: handler,
            sa_flags: flags,
            ..
        } = *previous;
        // A processor's fault happens again when we return; a signal that was sent does not.
        let was_sent = (*info).si_code <= 0 || (*info).si_code == libc::BUS_MCEERR_AO;
        match handler {
            libc::SIG_IGN if was_sent => {}
            // A fault cannot be ignored: the kernel would end the process.
            libc::SIG_DFL | libc::SIG_IGN => die(signal, info, was_sent),
            _ => {
                if flags & libc::SA_RESETHAND != 0 {
                    PREVIOUS.store((&raw const DEFAULT).cast_mut(), Ordering::Release);
                }
                if flags & libc::SA_SIGINFO != 0 {
                    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                        transmute(handler);
                    handler(signal, info, context);
                } else {
                    let handler: extern "C" fn(c_int) = transmute(handler);
                    handler(signal);
                }
            }
        }
    }
}

/// Lets the signal have its default effect, with the registers and the memory of the interrupted code in the core
/// file.
///
/// # Safety
/// `info` is what a handler was given.
unsafe fn die(signal: c_int, info: *mut libc::siginfo_t, was_sent: bool) {
    // SAFETY: the calls read live structures. A process may send itself a signal with any siginfo
    // (rt_sigqueueinfo(2)).
    unsafe {
        libc::sigaction(signal, &raw const DEFAULT, ptr::null_mut());
        if was_sent {
            let thread = libc::syscall(libc::SYS_gettid);
            let [process, signal] = [libc::getpid(), signal].map(i64::from);
            libc::syscall(
                libc::SYS_rt_tgsigqueueinfo,
                process,
                thread,
                signal,
                info.cast::<c_void>(),
            );
        }
    }
}
