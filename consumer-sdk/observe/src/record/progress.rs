//! A recording in progress: reads until there is a reason to stop, and says at the end what became of it.

use crate::failure::{Failure, say};
use crate::numbers::grouped;
use crate::record::command::Running;
use crate::record::follow::{Closed, Follower, Sink};
use crate::record::signals::Signals;
use crate::record::status_line::{StatusLine, counted, summary};
use crate::recording::manifest::End;
use crate::recording::writer::Message;
use crate::recording::writer::directory::Directory;
use crate::recording::writer::queue::Pushed;
use crate::recording::writer::store::Totals;
use crate::recording::writer::thread::Writer;
use crate::typed::RecordArgs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use vmmload_consumer::{Session, Woken};

/// Longest time without a look at signals and the command.
const SLICE: Duration = Duration::from_millis(50);

/// Why a recording stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// What was to be recorded is over.
    Over,
    /// Somebody wants it to; why, in words.
    Asked(String),
    /// It cannot be written.
    Unwritten,
}

/// See the module.
pub(crate) struct Progress {
    follower: Follower,
    out: Out,
    until: Option<(Instant, String)>,
    quiet: bool,
}

/// Where messages go, and what is done while there is no room for them.
struct Out {
    writer: Writer,
    signals: Option<Signals>,
    /// The command, where there is one: what signals are passed on to.
    child: Option<u32>,
    /// The signal that asked to stop, where there is no command.
    asked: Option<&'static str>,
    line: StatusLine,
}

impl Sink for Out {
    fn push(&mut self, mut message: Message) -> Result<(), Closed> {
        loop {
            message = match self.writer.push(message, SLICE) {
                Pushed::Done => return Ok(()),
                Pushed::Closed => return Err(Closed),
                Pushed::Full(message) => message,
            };
            self.attend();
        }
    }
}

impl Out {
    /// What is to be done now and then.
    fn attend(&mut self) {
        for caught in self.signals.iter_mut().flat_map(Signals::pending) {
            match self.child {
                Some(child) => caught.pass_on(child),
                None => self.asked = Some(caught.name()),
            }
        }
        self.line.draw(|| self.writer.totals());
    }
}

impl Progress {
    /// Begins to record a session.
    ///
    /// # Errors
    /// There can be no more threads.
    pub(crate) fn start(
        args: &RecordArgs,
        session: Session,
        directory: Directory,
        signals: Signals,
    ) -> Result<Self, Failure> {
        let until = args.duration.map(|duration| {
            let why = format!("--for {} was over", humantime::format_duration(duration));
            (Instant::now() + duration, why)
        });
        Ok(Self {
            follower: Follower::new(session),
            out: Out {
                writer: Writer::start(directory, args.resolution)?,
                signals: Some(signals),
                child: None,
                asked: None,
                line: StatusLine::new(args.quiet),
            },
            until,
            quiet: args.quiet,
        })
    }

    /// Reads what there is now; what cannot be written is told by [`Self::follow`].
    pub(crate) fn look(&mut self) {
        let _ = self.follower.look(&mut self.out);
    }

    /// Reads until there is a reason to stop: with a command, its end is one.
    pub(crate) fn follow(&mut self, mut child: Option<&mut Running>) -> Stop {
        self.out.child = child.as_ref().map(|child| child.pid());
        loop {
            let woken = self.follower.wait(SLICE);
            self.out.attend();
            let has_ended = child.as_mut().map(|child| child.ended().is_some());
            if has_ended == Some(true) {
                // The number may be another process's from now on.
                self.out.child = None;
            }
            if woken != Woken::TimedOut && self.follower.look(&mut self.out).is_err() {
                return Stop::Unwritten;
            }
            if let Some(stop) = self.reason(woken, has_ended) {
                // What was published until now is recorded, and processes that have ended are known to have.
                return match self.follower.look(&mut self.out) {
                    Ok(()) => stop,
                    Err(Closed) => Stop::Unwritten,
                };
            }
            // Not a process is left to wake up for; the command itself may run natively.
            if woken == Woken::Over {
                thread::sleep(SLICE);
            }
        }
    }

    fn reason(&self, woken: Woken, has_ended: Option<bool>) -> Option<Stop> {
        let is_late = |(until, _): &&(Instant, String)| Instant::now() >= *until;
        if let Some((_, why)) = self.until.as_ref().filter(is_late) {
            return Some(Stop::Asked(why.clone()));
        }
        if let Some(signal) = self.out.asked {
            return Some(Stop::Asked(format!("{signal} asked for it")));
        }
        let is_over = has_ended.unwrap_or(woken == Woken::Over);
        is_over.then_some(Stop::Over)
    }

    /// The signals, for whoever looks after them from now on.
    pub(crate) fn take_signals(&mut self) -> Option<Signals> {
        self.out.signals.take()
    }

    /// Has everything written, and says what became of it.
    ///
    /// # Errors
    /// Something could not be written. The manifest says so, too.
    pub(crate) fn finish(self, stop: Stop, status: Option<ExitStatus>) -> Result<(), Failure> {
        let Self {
            follower,
            mut out,
            quiet,
            ..
        } = self;
        let took = out.line.began().elapsed();
        let (mut directory, totals, written) = out.writer.finish();
        out.line.clear();
        let (end, reason) = match (&written, stop) {
            (Err(failure), _) => (End::Failed, Some(failure.to_string())),
            (Ok(()), Stop::Asked(why)) => (End::Stopped, Some(why)),
            (Ok(()), _) => match follower.running() {
                0 => (End::Complete, None),
                several => (End::Stopped, Some(left_behind(several))),
            },
        };
        let manifest = &mut directory.manifest;
        manifest.ended = Some(humantime::format_rfc3339_millis(SystemTime::now()).to_string());
        (manifest.end, manifest.reason) = (end, reason.clone());
        manifest.status = status.and_then(shell_status);
        manifest.missed = follower.missed();
        manifest.recorder = None;
        let written = written.and(directory.save());
        let missed = follower.missed();
        if !quiet || written.is_err() || totals.lost + missed > 0 {
            let place = directory.path().display();
            let seconds = took.as_secs_f64();
            let what = summary(totals);
            say(&format!("recorded {seconds:.3} s in {place}: {what}"));
            complain_of_losses(totals, missed);
        }
        if let Some(reason) = reason.filter(|_| !quiet && written.is_ok()) {
            say(&format!("the recording ends here: {reason}"));
        }
        written
    }
}

fn left_behind(several: usize) -> String {
    let processes = counted(several as u64, "process", "processes");
    format!("the command has ended, and {processes} that it started go on; record them with --pid")
}

fn complain_of_losses(totals: Totals, missed: u64) {
    if totals.lost > 0 {
        say(&format!(
            "{} records were overwritten before they could be read. With larger rings (VMMLOAD_RING_SIZE=16M), longer \
             epochs (--interval 1s) or on a disk that is faster there are fewer",
            grouped(totals.lost)
        ));
    }
    if missed > 0 {
        say(&format!(
            "{} came and went too fast to be recorded",
            counted(missed, "process", "processes")
        ));
    }
}

/// As a shell shows it.
fn shell_status(status: ExitStatus) -> Option<i32> {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
}
