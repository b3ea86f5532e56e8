//! `vmmload record`: writes what programs do into a directory, until they end or it is asked to stop.
//!
//! ```text
//! processes  --rings-->  follow  --messages-->  recording::writer  -->  DIR
//! ```

mod command;
mod follow;
mod machine;
mod mapped;
mod progress;
mod signals;
mod status_line;

use crate::failure::{Failure, Outcome, say};
use crate::recording::manifest::{End, FORMAT, Manifest, RowOf};
use crate::recording::writer::directory::Directory;
use crate::typed::RecordArgs;
use command::{Held, Started};
use progress::{Progress, Stop};
use rustix::process::DumpableBehavior;
use signals::Signals;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::SystemTime;
use vmmload_consumer::{Consumer, Session};

/// Records what the options name.
pub(crate) fn run(args: &RecordArgs) -> Outcome {
    match args.pid {
        Some(pid) => record_process(args, pid),
        None => record_command(args),
    }
}

fn record_process(args: &RecordArgs, pid: u32) -> Outcome {
    let session = Session::of(pid)?;
    check_apart(&session)?;
    let signals = Signals::catch()?;
    let manifest = manifest(args, format!("process {pid}"));
    let directory = Directory::create(&args.output, manifest)?;
    let mut progress = Progress::start(args, session, directory, signals)?;
    let stop = progress.follow(None);
    progress.finish(stop, None)?;
    Ok(0)
}

/// A recorder that recorded itself would have ever more to record.
fn check_apart(session: &Session) -> Result<(), Failure> {
    let own = Consumer::attach(std::process::id()).map(|own| own.session());
    match own.is_ok_and(|own| own == session.id()) {
        true => command::check_outside(),
        false => Ok(()),
    }
}

fn record_command(args: &RecordArgs) -> Outcome {
    command::check_outside()?;
    let manifest = manifest(args, command::shown(&args.command));
    // First: what is in the way is said before anything has begun.
    let directory = Directory::create(&args.output, manifest)?;
    let started = Held::start(args).and_then(|held| {
        // Not before: a child has signals ignored that this process has, and not what this process does with others.
        let signals = Signals::catch()?;
        Ok((held.attach()?, signals))
    });
    match started {
        Err(failure) => {
            directory.remove();
            Err(failure)
        }
        Ok((Started::Ended(status), _)) => {
            directory.remove();
            Ok(leave_as(status))
        }
        Ok((Started::Recorded(session, mut held), signals)) => {
            let mut progress = Progress::start(args, *session, directory, signals)?;
            progress.look();
            let child = held.begin();
            let stop = progress.follow(Some(child));
            let (stop, signals) = match stop {
                // The command goes on, and this process with it.
                Stop::Asked(_) | Stop::Unwritten => (stop, progress.take_signals()),
                Stop::Over => (stop, None),
            };
            let written = progress.finish(stop, child.ended());
            let is_written = written.is_ok();
            if let Err(failure) = written {
                failure.complain();
                say("the command goes on unrecorded");
            }
            let status = signals::relay(child, signals);
            Ok(match is_written || !status.success() {
                true => leave_as(status),
                false => crate::failure::OWN_FAILURE,
            })
        }
    }
}

fn manifest(args: &RecordArgs, what: String) -> Manifest {
    let began = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let machine = machine::facts();
    let recording = format!("{began}-{}-{}", machine.host, std::process::id());
    let resolution = args.resolution.map(|resolution| RowOf {
        time_ns: u64::try_from(resolution.time.as_nanos()).unwrap_or(u64::MAX),
        bytes: resolution.bytes,
    });
    Manifest {
        format: FORMAT.into(),
        recording,
        vmmload: env!("CARGO_PKG_VERSION").into(),
        what,
        began,
        ended: None,
        end: End::Unfinished,
        reason: None,
        status: None,
        resolution,
        rows: 0,
        lost: 0,
        processes: 0,
        missed: 0,
        machine,
        recorder: machine::recorder(),
    }
}

/// The status to exit with. Who was killed by a signal has this process die of the same one.
fn leave_as(status: ExitStatus) -> u8 {
    let Some(signal) = status.signal() else {
        return status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(0);
    };
    // The command has left a core, if there is to be one.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // Returns for signals that have no default of their own, such as those of real time.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}
