//! The command that is recorded: started by the launcher, held until it is looked at, and waited for.

use crate::failure::Failure;
use crate::typed::RecordArgs;
use rustix::io::FdFlags;
use std::ffi::OsString;
use std::io::{self, PipeWriter};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;
use vmmload_consumer::{AttachError, Consumer, Session, Status};

/// Records in the rings of the command's processes, unless somebody has said how many: a second of the fastest writer.
const RING_SIZE: &str = "1M";

/// Between two looks whether the launcher has made the segment.
const PAUSE: Duration = Duration::from_millis(1);

/// A command that has not begun yet, and never does if this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its other end is with the launcher, which waits until this one is closed.
    hold: Option<PipeWriter>,
    child: Running,
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// Once it has ended.
    status: Option<ExitStatus>,
}

/// What became of starting it.
#[derive(Debug)]
pub(crate) enum Started {
    /// It runs from now on, and this session has been looked at from its very beginning.
    Recorded(Box<Session>, Held),
    /// The launcher has ended instead, and has said why.
    Ended(ExitStatus),
}

impl Held {
    /// Starts the launcher.
    ///
    /// # Errors
    /// There is none, or it cannot be started.
    pub(crate) fn start(args: &RecordArgs) -> Result<Self, Failure> {
        let (end, hold) = io::pipe().map_err(no_pipe)?;
        // The standard library has every descriptor closed in a child but the first three.
        rustix::io::fcntl_setfd(&end, FdFlags::empty()).map_err(|errno| no_pipe(errno.into()))?;
        let launcher = launcher()?;
        let mut command = Command::new(&launcher);
        command
            .arg("run")
            .arg(format!("--hold={}", end.as_raw_fd()));
        let settings = [("--interval", &args.interval), ("--track", &args.track)];
        for (name, value) in settings {
            if let Some(value) = value {
                command.arg(name).arg(value);
            }
        }
        if std::env::var_os("VMMLOAD_RING_SIZE").is_none_or(|size| size.is_empty()) {
            command.args(["--ring-size", RING_SIZE]);
        }
        command.arg("--").args(&args.command);
        let child = command.spawn().map_err(|cause| {
            let remedy =
                "Have vmmload beside vmmload-observe or in PATH, or name it in VMMLOAD_LAUNCHER";
            Failure::of_file("execute", Path::new(&launcher), cause, remedy)
        })?;
        let child = Running {
            child,
            status: None,
        };
        let hold = Some(hold);
        Ok(Self { hold, child })
    }

    /// Waits until its segment is there.
    ///
    /// # Errors
    /// It is there and cannot be read: then the command has not begun, and never will.
    pub(crate) fn attach(mut self) -> Result<Started, Failure> {
        loop {
            if let Some(status) = self.child.ended() {
                return Ok(Started::Ended(status));
            }
            let pid = self.child.pid();
            let session = is_there(pid).and_then(|is_there| match is_there {
                true => Session::of(pid).map(Some),
                false => Ok(None),
            });
            match session {
                Ok(Some(session)) => return Ok(Started::Recorded(session.into(), self)),
                Ok(None) => {}
                Err(AttachError::NotFound { .. } | AttachError::NotReady { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Lets it begin.
    pub(crate) fn begin(&mut self) -> &mut Running {
        self.hold = None;
        &mut self.child
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.hold.is_some() {
            // Nothing of it has happened; and it may have ended by itself.
            let _ = self.child.child.kill();
            let _ = self.child.child.wait();
        }
    }
}

/// Whether the segment is this process's, and not left by one that had its id before.
fn is_there(pid: u32) -> Result<bool, AttachError> {
    Consumer::attach(pid).map(|consumer| consumer.status() == Status::Running)
}

impl Running {
    /// Its process id, which is nobody else's before [`Self::ended`] has told an end.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        // There is no reason for which a child of ours could not be waited for.
        self.status = self.status.or_else(|| self.child.try_wait().ok().flatten());
        self.status
    }
}

fn no_pipe(cause: io::Error) -> Failure {
    Failure::Other(format!(
        "a pipe cannot be made: {cause}. Raise the limit of open files (ulimit -n)"
    ))
}

/// The launcher: what VMMLOAD_LAUNCHER names, or vmmload beside this program, or in PATH.
fn launcher() -> Result<OsString, Failure> {
    let named = std::env::var_os("VMMLOAD_LAUNCHER").filter(|path| !path.is_empty());
    let beside = std::env::current_exe().ok().and_then(|own| beside(&own));
    match named {
        Some(path) if !Path::new(&path).is_absolute() => Err(Failure::Other(format!(
            "VMMLOAD_LAUNCHER={} is no absolute path. Set it to the absolute path of vmmload, or unset it",
            path.display()
        ))),
        Some(path) => Ok(path),
        None => Ok(beside.map_or_else(|| "vmmload".into(), PathBuf::into_os_string)),
    }
}

fn beside(own: &Path) -> Option<PathBuf> {
    let path = own.with_file_name("vmmload");
    path.is_file().then_some(path)
}

/// The command, for people.
pub(crate) fn shown(command: &[OsString]) -> String {
    let words = command.iter().map(|word| word.to_string_lossy());
    let words = words.map(
        |word| match word.is_empty() || word.contains([' ', '\t', '\n', '\'']) {
            true => format!("'{}'", word.replace('\'', "'\\''")),
            false => word.into_owned(),
        },
    );
    words.collect::<Vec<_>>().join(" ")
}

/// Refuses to record from within vmmload, where the recorder would be part of what it records.
///
/// # Errors
/// This process runs in vmmload.
pub(crate) fn check_outside() -> Result<(), Failure> {
    match is_there(std::process::id()) {
        Ok(true) => Err(Failure::Other(
            "this process runs in vmmload itself, and everything that it starts belongs to the same run. Record that \
             from outside: vmmload record --pid PID"
                .into(),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let words = ["a", "", "b c", "it's"].map(OsString::from);
        assert_eq!(shown(&words), "a '' 'b c' 'it'\\''s'");
    }
}
