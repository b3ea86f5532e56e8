//! Host signal handling: a signal is caught, noted, and left to the run loop to deliver.
//!
//! At most one signal is noted per thread: with it the handler blocks all further ones, until the
//! run loop has delivered it and put the program's mask back. Queueing, coalescing, order and
//! limits thereby stay the kernel's.

use std::cell::Cell;
use std::cell::UnsafeCell;
use std::io;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::relay;

/// A siginfo as the kernel writes it.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct SigInfo(pub [u8; 128]);

impl SigInfo {
    /// A siginfo of the kernel's own making, for a synchronous fault.
    pub(crate) fn fault(signal: i32, code: i32, addr: u64) -> Self {
        let mut bytes = [0; 128];
        bytes[0..4].copy_from_slice(&signal.to_le_bytes());
        bytes[8..12].copy_from_slice(&code.to_le_bytes());
        bytes[16..24].copy_from_slice(&addr.to_le_bytes());
        Self(bytes)
    }

    /// si_signo.
    pub(crate) fn signal(&self) -> i32 {
        i32::from_le_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }
}

/// Where a thread's handler notes a signal. Lives as long as the thread runs the guest.
pub(crate) struct Pending {
    /// Nonzero while a signal is noted; [`relay::relay`] looks at it.
    flag: AtomicU32,
    info: UnsafeCell<SigInfo>,
    /// `immediate_exit` of the thread's vCPU.
    kick: AtomicPtr<u8>,
}

thread_local! {
    static CURRENT: Cell<*const Pending> = const { Cell::new(std::ptr::null()) };
}

impl Pending {
    /// Nothing noted. `kick`: see [`crate::kvm::vcpu::Vcpu::immediate_exit`].
    pub(crate) fn new(kick: *mut u8) -> Box<Self> {
        Box::new(Self {
            flag: AtomicU32::new(0),
            info: UnsafeCell::new(SigInfo([0; 128])),
            kick: AtomicPtr::new(kick),
        })
    }

    /// Makes this the place where the calling thread's signals are noted.
    ///
    /// # Safety
    /// `self` and the byte behind `kick` stay valid until the thread ends or attaches another.
    pub(crate) unsafe fn attach(&self) {
        CURRENT.set(self);
    }

    /// Ends the noting; signals must be blocked.
    pub(crate) fn detach() {
        CURRENT.set(std::ptr::null());
    }

    /// The flag that says whether a signal is noted.
    pub(crate) fn flag(&self) -> &AtomicU32 {
        &self.flag
    }

    /// Whether a signal is noted.
    pub(crate) fn is_noted(&self) -> bool {
        self.flag.load(Ordering::Acquire) != 0
    }

    /// The noted signal. All signals stay blocked until the caller sets the mask.
    pub(crate) fn take(&self) -> Option<SigInfo> {
        if !self.is_noted() {
            return None;
        }
        // SAFETY: flag set: the handler of this very thread has written `info` and, with all
        // signals blocked, will not run again before the flag is cleared and the mask set.
        let info = unsafe { *self.info.get() };
        let kick = self.kick.load(Ordering::Relaxed);
        // SAFETY: `attach` promises that the byte is valid for as long as the thread runs.
        unsafe { kick.write_volatile(0) };
        self.flag.store(0, Ordering::Release);
        Some(info)
    }
}

/// Faults of the launcher's own code come with a positive si_code. So do broken memory, which
/// KVM_RUN may be the one to find, a perf event's SIGTRAP, and what a program queues to itself, as
/// crash handlers do to die of the same signal again: that arrives when the relayed call returns.
fn is_own_fault(signal: i32, code: i32, rip: u64) -> bool {
    let sent = match signal {
        libc::SIGBUS => matches!(code, BUS_MCEERR_AR | BUS_MCEERR_AO),
        libc::SIGTRAP => code == TRAP_PERF,
        libc::SIGSEGV | libc::SIGILL | libc::SIGFPE => false,
        _ => true,
    };
    code > 0 && !sent && !relay::has_returned(rip)
}

/// Exit status of vmmload's own failures.
const OWN_FAILURE: u64 = crate::process::lifecycle::OWN_FAILURE as u64;

// si_code values, from asm-generic/siginfo.h.
const BUS_MCEERR_AR: i32 = 4;
const BUS_MCEERR_AO: i32 = 5;
const TRAP_PERF: i32 = 6;

extern "C" fn catch(signal: i32, info: *mut SigInfo, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel passes a full siginfo and the context of the interrupted code, both ours
    // until we return; CURRENT is null or valid (see `attach`).
    unsafe {
        let gregs = &mut (*context).uc_mcontext.gregs;
        let code = i32::from_le_bytes([(*info).0[8], (*info).0[9], (*info).0[10], (*info).0[11]]);
        let rip = gregs[libc::REG_RIP as usize] as u64;
        if is_own_fault(signal, code, rip) {
            report_own_fault(signal, rip, &(*info).0);
            // Of the signal the program would seem to have died.
            relay::raw(libc::SYS_exit_group, [OWN_FAILURE, 0, 0, 0, 0, 0]);
        }
        let Some(pending) = CURRENT.get().as_ref() else {
            // KVM_RUN in a runner found broken memory: it fails, and the owner finds out where.
            if code <= 0 {
                pass_on(signal, info);
                let mask = (&raw mut (*context).uc_sigmask).cast::<u64>();
                mask.write_unaligned(mask.read_unaligned() | 1 << (signal - 1));
            }
            return;
        };
        *pending.info.get() = *info;
        pending.kick.load(Ordering::Relaxed).write_volatile(1);
        pending.flag.store(1, Ordering::Release);
        let rcx = gregs[libc::REG_RCX as usize] as u64;
        if let Some(target) = relay::redirect(rip, rcx) {
            gregs[libc::REG_RIP as usize] = target as i64;
        }
        // The mask that returning from here installs: everything.
        (&raw mut (*context).uc_sigmask)
            .cast::<u64>()
            .write_unaligned(u64::MAX);
    }
}

/// What the processor raises for a fault.
const FAULTS: u64 = 1 << (libc::SIGSEGV - 1)
    | 1 << (libc::SIGBUS - 1)
    | 1 << (libc::SIGILL - 1)
    | 1 << (libc::SIGFPE - 1);

/// For a thread of the launcher's own: it catches its faults and nothing else. A blocked fault would end
/// the process as if it were the program's.
pub(crate) fn catch_own_faults_only() {
    set_mask(!FAULTS);
}

/// What a runner is called by. One that few programs use, and none of the real-time signals, which may fail at a limit.
const CALL: i32 = libc::SIGSTKFLT;

/// What a runner blocks while it runs a vCPU: not what tells of broken memory, which must not be blocked.
pub(crate) const BLOCKED_IN_RUNNER: u64 = !(1 << (CALL - 1) | 1 << (libc::SIGBUS - 1));

/// Calls runner `tid` of this process out of KVM_RUN.
pub(crate) fn call_runner(tid: i32) {
    // SAFETY: getpid and tgkill touch no memory.
    unsafe {
        let process = libc::getpid() as u64;
        relay::raw(
            libc::SYS_tgkill,
            [process, tid as u64, CALL as u64, 0, 0, 0],
        );
    }
}

/// In a runner that was called: the call is over. Its own is taken before any that the process was sent.
pub(crate) fn take_call() {
    let set = 1u64 << (CALL - 1);
    let at_once = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let args = [&raw const set as u64, 0, &raw const at_once as u64, 8, 0, 0];
    // SAFETY: set and time are readable for the call.
    unsafe { relay::raw(libc::SYS_rt_sigtimedwait, args) };
}

/// A signal that looks like a fault, but was sent, and came to a thread of the launcher's own, which blocks it from now
/// on. It is sent on to the process.
fn pass_on(signal: i32, info: *const SigInfo) {
    // SAFETY: the handler lends the siginfo, which the call reads a copy of; getpid touches nothing.
    unsafe {
        // As from sigqueue(3), since only that may be told of others; who sent it is told as before.
        let mut told = *info;
        told.0[8..12].copy_from_slice(&libc::SI_QUEUE.to_le_bytes());
        let process = libc::getpid() as u64;
        let args = [process, signal as u64, &raw const told as u64, 0, 0, 0];
        relay::raw(libc::SYS_rt_sigqueueinfo, args);
    }
}

/// Says that vmmload itself is at fault, in a handler: no allocation, no lock.
fn report_own_fault(signal: i32, rip: u64, info: &[u8; 128]) {
    let mut text = [0u8; 320];
    let mut writer = io::Cursor::new(&mut text[..]);
    let addr = u64::from_le_bytes(info[16..24].try_into().unwrap_or_default());
    let base = (&raw const __ehdr_start) as u64;
    let version = env!("CARGO_PKG_VERSION");
    // An address in a library has no better name.
    let at = rip.wrapping_sub(base);
    let _ = io::Write::write_fmt(
        &mut writer,
        format_args!(
            "vmmload: internal error: a fault of vmmload {version} itself, not of the program: signal \
             {signal} at vmmload+{at:#x}, address {addr:#x}. Please report this line, with the command \
             that you ran\n"
        ),
    );
    let len = writer.position();
    // SAFETY: `text` is readable for `len` bytes.
    unsafe { relay::raw(libc::SYS_write, [2, text.as_ptr() as u64, len, 0, 0, 0]) };
}

unsafe extern "C" {
    /// Where the launcher was loaded: the linker's name for the begin of the file.
    static __ehdr_start: u8;
}

std::arch::global_asm!(
    ".pushsection .text.vmmload_restorer, \"ax\", @progbits",
    ".globl vmmload_restorer",
    "vmmload_restorer:",
    "mov eax, 15", // rt_sigreturn
    "syscall",
    ".popsection",
);

unsafe extern "C" {
    static vmmload_restorer: u8;
}

/// The kernel's struct sigaction on x86-64.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
)]
#[repr(C)]
pub(crate) struct KernelAction {
    /// SIG_DFL, SIG_IGN or an address.
    pub handler: u64,
    /// SA_*.
    pub flags: u64,
    /// SA_RESTORER's function.
    pub restorer: u64,
    /// Signals blocked while the handler runs.
    pub mask: u64,
}

const SA_RESTORER: u64 = 0x0400_0000;

fn set_action(signal: i32, action: &KernelAction) {
    let args = [signal as u64, action as *const _ as u64, 0, 8, 0, 0];
    // SAFETY: `action` is readable for the call; handlers are SIG_DFL, SIG_IGN or `catch`.
    unsafe { relay::raw(libc::SYS_rt_sigaction, args) };
}

/// What the host does with `signal` now.
pub(crate) fn action(signal: i32) -> KernelAction {
    let mut action = KernelAction::default();
    let args = [signal as u64, 0, &raw mut action as u64, 8, 0, 0];
    // SAFETY: `action` is writable for the call.
    unsafe { relay::raw(libc::SYS_rt_sigaction, args) };
    action
}

/// Leaves `signal` to the kernel's default. `flags`: SA_NOCLDSTOP and SA_NOCLDWAIT count even so.
pub(crate) fn set_default(signal: i32, flags: u64) {
    set_action(
        signal,
        &KernelAction {
            flags,
            ..Default::default()
        },
    );
}

/// Runs `f` while the kernel drops children that end: nobody is told, and what they have used is not counted
/// as used by children. All signals are blocked, and the program has no children that could end.
pub(crate) fn with_forgotten_children<T>(f: impl FnOnce() -> T) -> T {
    let before = action(libc::SIGCHLD);
    set_ignored(libc::SIGCHLD, 0);
    let done = f();
    set_action(libc::SIGCHLD, &before);
    done
}

/// Has the kernel ignore `signal`. `flags`: SA_NOCLDSTOP and SA_NOCLDWAIT count even so.
pub(crate) fn set_ignored(signal: i32, flags: u64) {
    set_action(
        signal,
        &KernelAction {
            handler: libc::SIG_IGN as u64,
            flags,
            ..Default::default()
        },
    );
}

/// Has `signal` noted for the run loop. `flags`: SA_NOCLDSTOP, SA_NOCLDWAIT.
pub(crate) fn set_caught(signal: i32, flags: u64) {
    set_action(
        signal,
        &KernelAction {
            handler: catch as *const () as u64,
            // With SA_RESTART the kernel goes back to the instruction, and `redirect` sees it.
            flags: flags | SA_RESTORER | (libc::SA_SIGINFO | libc::SA_RESTART) as u64,
            restorer: (&raw const vmmload_restorer) as u64,
            mask: u64::MAX,
        },
    );
}

/// Sets the calling thread's mask, returns the old one.
pub(crate) fn set_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    let args = [
        libc::SIG_SETMASK as u64,
        &raw const mask as u64,
        &raw mut old as u64,
        8,
        0,
        0,
    ];
    // SAFETY: both masks are valid for the call.
    unsafe { relay::raw(libc::SYS_rt_sigprocmask, args) };
    old
}

/// The signals that wait for the calling thread or for any thread of the process.
pub(crate) fn pending() -> u64 {
    let mut set = 0u64;
    // SAFETY: `set` is writable for the call, for as many bytes as are said.
    unsafe {
        relay::raw(
            libc::SYS_rt_sigpending,
            [&raw mut set as u64, 8, 0, 0, 0, 0],
        )
    };
    set
}

/// Sends a signal to the calling thread.
pub(crate) fn raise(signal: i32) {
    // SAFETY: none of these touches memory.
    unsafe {
        let (pid, tid) = (libc::getpid(), libc::gettid());
        relay::raw(
            libc::SYS_tgkill,
            [pid as u64, tid as u64, signal as u64, 0, 0, 0],
        );
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::AtomicBool;

    use super::super::threads;
    use super::*;

    const DISTURBANCE: i32 = libc::SIGUSR2;

    static CAUGHT: AtomicU32 = AtomicU32::new(0);

    extern "C" fn count(_: i32) {
        CAUGHT.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs `f` while the calling thread gets one signal after the other, whose handler does nothing. Also returns how many
    /// came.
    pub(crate) fn disturbed<T>(f: impl FnOnce() -> T) -> (T, u32) {
        set_action(
            DISTURBANCE,
            &KernelAction {
                handler: count as *const () as u64,
                flags: SA_RESTORER,
                restorer: (&raw const vmmload_restorer) as u64,
                mask: 0,
            },
        );
        let (before, is_done) = (CAUGHT.load(Ordering::Relaxed), AtomicBool::new(false));
        let came = || CAUGHT.load(Ordering::Relaxed) - before;
        let thread = threads::id();
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Acquire) {
                    // SAFETY: neither touches memory; the thread waits for this one.
                    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, DISTURBANCE) };
                }
            });
            while came() == 0 {
                std::hint::spin_loop();
            }
            let outcome = f();
            is_done.store(true, Ordering::Release);
            outcome
        });
        (outcome, came())
    }
}
