//! Signals that the recorder gets, and what of them the recorded command has not got itself.

use crate::failure::Failure;
use crate::record::command::Running;
use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use std::process::ExitStatus;
use std::time::Duration;

/// Between two looks whether a command has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// The signals that ask a recorder to stop, as far as nobody has it ignore them.
pub(crate) struct Signals(SignalsInfo<WithOrigin>);

/// One that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caught {
    pub(crate) signal: i32,
    /// A key of the terminal sent it, to everybody in the foreground; or else a process did, to this one.
    is_of_terminal: bool,
}

impl Signals {
    /// From here on they do not end this process any more.
    ///
    /// # Errors
    /// The system does not let them be caught.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let ignored = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = ignored_signals(&ignored);
        let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXFSZ];
        let wanted = wanted
            .iter()
            .filter(|&signal| ignored & 1 << (signal - 1) == 0);
        SignalsInfo::new(wanted).map(Self).map_err(|cause| {
            Failure::Other(format!(
                "signals cannot be caught: {cause}. Raise the limit of open files (ulimit -n)"
            ))
        })
    }

    /// Those that came since the last time.
    pub(crate) fn pending(&mut self) -> Vec<Caught> {
        let origins = self.0.pending();
        // Who writes beyond a limit is told so by the write, too.
        let origins = origins.filter(|origin| origin.signal != SIGXFSZ);
        let caught = origins.map(|origin| Caught {
            signal: origin.signal,
            is_of_terminal: origin.process.is_none(),
        });
        caught.collect()
    }
}

impl Caught {
    /// Passes it on to a child, unless it has got it, too. The child was not waited for yet.
    pub(crate) fn pass_on(self, child: u32) {
        let is_shared = self.is_of_terminal && matches!(self.signal, SIGINT | SIGQUIT);
        let signal = Signal::from_named_raw(self.signal);
        let child = i32::try_from(child).ok().and_then(Pid::from_raw);
        if let (false, Some(signal), Some(child)) = (is_shared, signal, child) {
            // It may have ended just now.
            let _ = rustix::process::kill_process(child, signal);
        }
    }

    /// Its name, for people.
    pub(crate) fn name(self) -> &'static str {
        match self.signal {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            SIGHUP => "SIGHUP",
            SIGQUIT => "SIGQUIT",
            _ => "a signal",
        }
    }
}

/// Waits for a command that is recorded no more, and passes signals on to it.
pub(crate) fn relay(child: &mut Running, mut signals: Option<Signals>) -> ExitStatus {
    loop {
        if let Some(status) = child.ended() {
            return status;
        }
        for caught in signals.iter_mut().flat_map(Signals::pending) {
            caught.pass_on(child.pid());
        }
        std::thread::sleep(PAUSE);
    }
}

/// One bit for each signal that a process ignores, of what /proc/PID/status says.
fn ignored_signals(status: &str) -> u64 {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_that_are_ignored_are_known() {
        let status = "Name:\tx\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000000001\n";
        assert_eq!(ignored_signals(status), 1 << (SIGHUP - 1));
        assert_eq!(ignored_signals(""), 0);
    }
}
