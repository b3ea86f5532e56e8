//! What a finished command left: its output and how it ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// Output and end of one command.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Everything it wrote to standard output.
    pub stdout: Vec<u8>,
    /// Everything it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Exit status, or the signal that killed it.
    pub status: ExitStatus,
    /// From its start to its end.
    pub elapsed: Duration,
}

impl Outcome {
    /// Standard output as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn messages(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The signal that killed the command, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Fails with all that is known unless the command exited with status 0.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn assert_success(&self, what: &str) {
        assert!(self.status.success(), "{what} failed:\n{}", self.report());
    }

    /// Status and the end of both outputs, for a message.
    pub(crate) fn report(&self) -> String {
        format!(
            "status: {}\nstdout: {}\nstderr: {}",
            self.status,
            tail(&self.stdout),
            tail(&self.stderr)
        )
    }
}

/// The last 2,000 bytes as text.
pub(crate) fn tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(2000);
    let omitted = if start > 0 {
        format!("[{start} bytes omitted] ")
    } else {
        String::new()
    };
    omitted + &String::from_utf8_lossy(&bytes[start..])
}
