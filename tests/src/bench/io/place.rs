//! Where something is run: natively, inside with one of the ways in which calls leave a VM, or natively under another
//! program that sees each call.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use vmmload_tests::{Guest, Session, packages};

use super::super::row::{EVERY_100_MS, Tracking};
use super::super::runner::{self, Finished, Runner};

/// Tracking of the runs inside: what `vmmload run` does by itself.
const TRACKING: Tracking = EVERY_100_MS;

/// How calls leave the VM, as `vmmload run --call-mode` says it. An older vmmload does not know the variable.
const CALL_MODE: &str = "VMMLOAD_CALL_MODE";

/// In the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Native,
    /// Inside, each call an exit.
    Exit,
    /// Inside, calls posted to a host thread where that pays.
    Auto,
    /// Natively, under `strace -f -c`.
    Strace,
    /// Natively, under a supervisor that is told of each call by seccomp.
    Seccomp,
}

impl Place {
    /// As the name of a row ends.
    pub(super) fn label(self) -> &'static str {
        match self {
            Place::Native => "natively",
            Place::Exit => "exit",
            Place::Auto => "auto",
            Place::Strace => "by strace -f -c",
            Place::Seccomp => "by seccomp notification",
        }
    }

    /// Of the pages, during a run here.
    pub(super) fn tracking(self) -> Option<Tracking> {
        self.call_mode().map(|_| TRACKING)
    }

    fn call_mode(self) -> Option<&'static str> {
        match self {
            Place::Exit => Some("exit"),
            Place::Auto => Some("auto"),
            Place::Native | Place::Strace | Place::Seccomp => None,
        }
    }

    fn variables(self) -> Vec<(&'static str, &'static str)> {
        // Programs are read by what they print.
        let mode = self.call_mode().map(|mode| (CALL_MODE, mode));
        [("LC_ALL", "C")].into_iter().chain(mode).collect()
    }

    fn line(self, runner: &Runner, command: &[String]) -> Result<Vec<String>, String> {
        let before = match self {
            Place::Native => Vec::new(),
            Place::Exit | Place::Auto => return Ok(runner.inside(TRACKING, command)),
            Place::Strace => {
                let strace = tool("/usr/bin/strace", "strace")?;
                let options = ["-f", "-c", "-o", "/dev/null"].map(String::from);
                [strace].into_iter().chain(options).collect()
            }
            Place::Seccomp => vec![Guest::new("calls/supervisor").path().display().to_string()],
        };
        Ok([before.as_slice(), command].concat())
    }

    /// Runs a command to its end.
    pub(super) fn run(self, runner: &Runner, command: &[String]) -> Result<Finished, String> {
        runner::run_with(&self.line(runner, command)?, &self.variables())
    }

    /// Starts a command that goes on until it is told to end.
    pub(super) fn start(self, runner: &Runner, command: &[String]) -> Result<Session, String> {
        let line = self.line(runner, command)?;
        let (program, arguments) = line.split_first().ok_or("an empty command line")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(self.variables())
            .stderr(Stdio::null())
            // So that all of it can be killed if it does not end.
            .process_group(0);
        Ok(Session::start(command))
    }
}

/// The path of a program of Debian's, whose package is installed first where it is missing.
pub(super) fn tool(path: &str, package: &str) -> Result<String, String> {
    packages::ensure(path, package).map(|()| path.to_owned())
}
