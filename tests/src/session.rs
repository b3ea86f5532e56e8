//! A command that a test talks to while it runs.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::doing::doing;
use crate::program::{kill_group, remove_segment_of_killed, wait};
use crate::{machine, needs};

/// How long a single answer may take.
fn limit() -> Duration {
    machine::patience(Duration::from_secs(30))
}

/// A running command with its standard input and the lines of its standard output.
/// Killed with its process group when dropped.
#[derive(Debug)]
pub struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    shown: String,
}

impl Session {
    /// Starts a command made by [`crate::Program::inside_command`] or its native sibling.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let shown = format!("{command:?}");
        assert!(!needs::listing(), "only listing what {shown} needs");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        machine::have_default_signals();
        let mut child = command
            .spawn()
            .unwrap_or_else(|cause| panic!("cannot start {shown}: {cause}"));
        let stdin = child.stdin.take();
        let lines = forward_lines(child.stdout.take().expect("piped above"));
        Self {
            child,
            stdin,
            lines,
            shown,
        }
    }

    /// The process that was started; vmmload's own pid is the program's pid too.
    #[must_use]
    pub fn pid(&self) -> libc::pid_t {
        libc::pid_t::try_from(self.child.id()).expect("a pid fits pid_t")
    }

    /// The next line of standard output without its newline.
    ///
    /// # Panics
    /// When none comes in time, or the output ended.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.line_within(limit()) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!(
                    "{}: no line in {:?}:\n{}",
                    self.shown,
                    limit(),
                    doing(self.child.id())
                )
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!(
                    "{}: the output ended, status {:?}",
                    self.shown,
                    wait(&mut self.child, limit())
                )
            }
        }
    }

    /// The next line, if one comes in time.
    ///
    /// # Errors
    /// When none comes in time, or the output ended.
    pub fn line_within(&mut self, limit: Duration) -> Result<String, RecvTimeoutError> {
        self.lines.recv_timeout(limit)
    }

    /// Writes to the command's standard input.
    ///
    /// # Panics
    /// When it is closed.
    #[track_caller]
    pub fn send(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is still open");
        stdin
            .write_all(text.as_bytes())
            .unwrap_or_else(|cause| panic!("{}: {cause}", self.shown));
    }

    /// Sends a signal to the process that was started.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill touches no memory; the child is not yet waited for, so the pid is still its own.
        let status = unsafe { libc::kill(self.pid(), signal) };
        assert_eq!(status, 0, "{}: cannot send signal {signal}", self.shown);
    }

    /// Waits for the next change that waitpid(2) reports with the given flags (`WUNTRACED`,
    /// `WCONTINUED`); `None` when there was none in time.
    #[must_use]
    pub fn change(&self, flags: i32) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit();
        while Instant::now() < deadline {
            let mut status = 0;
            // SAFETY: `status` lives across the call and is the only memory that waitpid writes.
            let changed =
                unsafe { libc::waitpid(self.pid(), &raw mut status, flags | libc::WNOHANG) };
            if changed == self.pid() {
                return Some(ExitStatus::from_raw(status));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// Closes standard input and waits for the end.
    ///
    /// # Panics
    /// When the command does not end in time.
    #[track_caller]
    pub fn finish(&mut self) -> ExitStatus {
        self.stdin = None;
        let ended = wait(&mut self.child, limit());
        ended.unwrap_or_else(|| panic!("{} did not end:\n{}", self.shown, doing(self.child.id())))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            kill_group(self.child.id());
        }
        if let Ok(status) = self.child.wait() {
            remove_segment_of_killed(self.child.id(), status);
        }
    }
}

fn forward_lines(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
