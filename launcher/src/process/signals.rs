//! The program's signal dispositions, and what becomes of a signal that was noted.

use std::sync::{Mutex, PoisonError};

use super::frame::{self, AltStack};
use super::lifecycle;
use super::thread::GuestThread;
use crate::host::signals::{self as host, KernelAction, SigInfo};

/// Number of signals; they count from 1.
pub(crate) const SIGNALS: i32 = 64;

const SIG_DFL: u64 = libc::SIG_DFL as u64;
const SIG_IGN: u64 = libc::SIG_IGN as u64;
/// Flags of SIGCHLD's action that concern the kernel even without a handler.
const CHILD_FLAGS: u64 = (libc::SA_NOCLDSTOP | libc::SA_NOCLDWAIT) as u64;
/// Flags that the kernel keeps (UAPI_SA_FLAGS): by the others' absence a program learns what there is.
const KNOWN_FLAGS: u64 = 0xdc00_0807;
/// Signals that no mask blocks.
const UNBLOCKABLE: u64 = bit(libc::SIGKILL) | bit(libc::SIGSTOP);

/// The mask with only `signal` in it.
pub(crate) const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// What the kernel does with a signal that has no handler (signal(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Default {
    /// End the process, perhaps with a core dump.
    Terminate,
    /// Stop it.
    Stop,
    /// Nothing, or go on.
    Ignore,
}

/// The default action of a signal.
pub(crate) fn default_of(signal: i32) -> Default {
    match signal {
        libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH => Default::Ignore,
        libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => Default::Stop,
        _ => Default::Terminate,
    }
}

/// The program's dispositions, mirrored on the host as far as the kernel can act on them alone:
/// ignored, stopping and harmless ones. Those that end the process are caught, so that the last
/// epoch is published first.
pub(crate) struct Dispositions {
    actions: Mutex<[KernelAction; SIGNALS as usize]>,
}

impl Dispositions {
    /// Takes over what was inherited: only "ignored" survives an execve.
    pub(crate) fn inherited() -> Self {
        let mut actions = [KernelAction::default(); SIGNALS as usize];
        for signal in 1..=SIGNALS {
            if matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
                continue;
            }
            let inherited = host::action(signal);
            if inherited.handler == SIG_IGN {
                actions[signal as usize - 1] = inherited;
            } else {
                mirror(signal, &KernelAction::default());
            }
        }
        Self {
            actions: Mutex::new(actions),
        }
    }

    /// A copy for a forked child, whose host handlers the kernel has copied too.
    pub(crate) fn copied(&self) -> Self {
        let actions = *self.actions.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of the first process of a namespace are not those of the others: see `mirror`.
        if std::process::id() == 1 || std::os::unix::process::parent_id() == 1 {
            for signal in (1..=SIGNALS).filter(|&signal| bit(signal) & UNBLOCKABLE == 0) {
                mirror(signal, &actions[signal as usize - 1]);
            }
        }
        Self {
            actions: Mutex::new(actions),
        }
    }

    /// Has the host ignore again what the program ignores: libc takes a signal for itself at the first
    /// thread, and the next image inherits what the host ignores.
    pub(crate) fn ignore_again(&self) {
        for signal in 1..=SIGNALS {
            let action = self.get(signal);
            if action.handler == SIG_IGN {
                mirror(signal, &action);
            }
        }
    }

    /// Leaves everything but what is ignored to the default, as CLONE_CLEAR_SIGHAND asks.
    pub(crate) fn clear_handlers(&self) {
        for signal in 1..=SIGNALS {
            if !matches!(self.get(signal).handler, SIG_DFL | SIG_IGN) {
                self.set(signal, KernelAction::default());
            }
        }
    }

    /// The set of signals that have a handler.
    pub(crate) fn caught(&self) -> u64 {
        (1..=SIGNALS)
            .filter(|&signal| !matches!(self.get(signal).handler, SIG_DFL | SIG_IGN))
            .fold(0, |set, signal| set | bit(signal))
    }

    /// The action for `signal`, 1 to 64.
    pub(crate) fn get(&self, signal: i32) -> KernelAction {
        self.actions.lock().unwrap_or_else(PoisonError::into_inner)[signal as usize - 1]
    }

    /// Replaces the action for `signal`, here and on the host; returns the old one.
    pub(crate) fn set(&self, signal: i32, mut action: KernelAction) -> KernelAction {
        action.mask &= !UNBLOCKABLE;
        action.flags &= KNOWN_FLAGS;
        let mut actions = self.actions.lock().unwrap_or_else(PoisonError::into_inner);
        mirror(signal, &action);
        std::mem::replace(&mut actions[signal as usize - 1], action)
    }
}

/// Leaves every signal that is caught to the kernel's default, as execve(2) does: for signals that
/// come right before one.
pub(crate) fn forget_handlers() {
    for signal in 1..=SIGNALS {
        if !matches!(host::action(signal).handler, SIG_DFL | SIG_IGN) {
            host::set_default(signal, 0);
        }
    }
}

fn mirror(signal: i32, action: &KernelAction) {
    let flags = action.flags & CHILD_FLAGS;
    // The kernel keeps the first process of a namespace from signals that it does not handle, so they
    // must not be caught.
    let first = std::process::id() == 1;
    match action.handler {
        SIG_IGN => host::set_ignored(signal, flags),
        SIG_DFL if first || default_of(signal) != Default::Terminate => {
            host::set_default(signal, flags)
        }
        _ => host::set_caught(signal, flags),
    }
}

/// Signal state of one thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadSignals {
    /// What the program has blocked. The host thread's mask is the same, but for the moments
    /// between a signal's arrival and its delivery.
    pub mask: u64,
    /// sigaltstack(2).
    pub alt_stack: AltStack,
    /// The mask that a call which waits for signals had put in place when one ended it: its
    /// handler starts from that one, and returns to `mask`.
    pub waited_with: Option<u64>,
}

impl ThreadSignals {
    /// A thread with `mask` and no alternate stack.
    pub(crate) fn new(mask: u64) -> Self {
        Self {
            mask,
            alt_stack: AltStack::default(),
            waited_with: None,
        }
    }
}

impl GuestThread {
    /// Changes what the program has blocked, and with it the host's mask, unless a signal has been
    /// noted: then everything stays blocked until that is delivered.
    pub(crate) fn set_signal_mask(&mut self, mask: u64) {
        self.signals.mask = mask & !UNBLOCKABLE;
        host::set_mask(u64::MAX);
        if !self.pending.is_noted() {
            host::set_mask(self.signals.mask);
        }
    }

    /// Delivers the noted signal, if there is one. `restart`: the number of the call that it ended
    /// and that the kernel would restart.
    pub(crate) fn deliver_pending(&mut self, restart: Option<u64>) {
        let waited_with = self.signals.waited_with.take();
        let Some(info) = self.pending.take() else {
            return;
        };
        self.stats.signals.add(1);
        let signal = info.signal();
        let action = self.process.dispositions.get(signal);
        match action.handler {
            SIG_DFL if default_of(signal) == Default::Terminate => {
                lifecycle::die_by_signal(self.process, signal)
            }
            SIG_DFL if default_of(signal) == Default::Stop => {
                // Its handler went away in the meantime: the host's default is in place.
                self.rewind(restart);
                host::raise(signal);
            }
            SIG_DFL | SIG_IGN => self.rewind(restart),
            _ => {
                if action.flags & libc::SA_RESTART as u64 != 0 {
                    self.rewind(restart);
                }
                let blocked = waited_with.unwrap_or(self.signals.mask);
                self.enter_handler(&info, action, blocked, (0, 0, 0));
            }
        }
        host::set_mask(self.signals.mask);
    }

    /// Goes back to a system call that is to be made again.
    fn rewind(&mut self, call: Option<u64>) {
        if let Some(nr) = call {
            self.repeat_call(nr);
        }
    }

    /// Raises a signal for something that the thread itself did. `fault`: trap number, error code
    /// and address, as the handler's context shows them.
    pub(crate) fn force_signal(&mut self, info: &SigInfo, fault: (u64, u64, u64)) {
        let signal = info.signal();
        let action = self.process.dispositions.get(signal);
        let blocked = self.signals.mask & bit(signal) != 0;
        // A fault cannot wait: blocked or ignored, it ends the process (force_sig_info).
        if blocked || matches!(action.handler, SIG_DFL | SIG_IGN) {
            lifecycle::die_by_signal(self.process, signal);
        }
        self.stats.signals.add(1);
        host::set_mask(u64::MAX);
        self.enter_handler(info, action, self.signals.mask, fault);
        self.set_signal_mask(self.signals.mask);
    }

    /// Enters the handler with `blocked`, its own mask and its own signal blocked.
    fn enter_handler(
        &mut self,
        info: &SigInfo,
        action: KernelAction,
        blocked: u64,
        fault: (u64, u64, u64),
    ) {
        let signal = info.signal();
        if action.flags & libc::SA_RESETHAND as u64 != 0 {
            let default = KernelAction {
                handler: SIG_DFL,
                ..action
            };
            self.process.dispositions.set(signal, default);
        }
        if frame::push(self, info, &action, fault).is_err() {
            // No room for the frame: as the kernel, SIGSEGV, fatal if that is what failed.
            if signal == libc::SIGSEGV {
                lifecycle::die_by_signal(self.process, libc::SIGSEGV);
            }
            self.signals.mask = blocked;
            let info = SigInfo::fault(libc::SIGSEGV, SI_KERNEL, 0);
            return self.force_signal(&info, fault);
        }
        let own = match action.flags & libc::SA_NODEFER as u64 {
            0 => bit(signal),
            _ => 0,
        };
        self.signals.mask = (blocked | action.mask | own) & !UNBLOCKABLE;
    }
}

/// si_code of a signal that the kernel raised for no better-known reason.
pub(crate) const SI_KERNEL: i32 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_control_and_child_signals_do_not_end_a_process() {
        assert_eq!(default_of(libc::SIGTSTP), Default::Stop);
        assert_eq!(default_of(libc::SIGCHLD), Default::Ignore);
        assert_eq!(default_of(libc::SIGTERM), Default::Terminate);
        assert_eq!(default_of(40), Default::Terminate);
    }
}
