//! What tracking costs in counts, not times: exits, page faults and write events of a known program.
//!
//! The touching guest (`guests/tracking/touch.c`) runs inside and does one thing at a command. Before
//! and after, KVM's own counters are read where it keeps any, and vmmload's from the segment.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::Serialize;
use vmmload_consumer::{Consumer, Counter, Kind};

use crate::kvm::{self, Counters};
use crate::watched::{PAGE, hexadecimal};
use crate::{Guest, Session};

/// System calls that one command makes, unless the guest is told how many.
pub const CALLS: u64 = 1000;
/// Handovers between two threads that one command makes.
pub const HANDOVERS: u64 = 4000;

/// For one command, or for a few epochs: generous, as the machine may be an emulated one.
const PATIENCE: Duration = Duration::from_secs(300);
/// After the second of these, all that a waiting guest wrote was harvested and armed again: the first
/// may have begun to be before.
const EPOCHS_TO_SETTLE: u32 = 2;

/// What the guest does at one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Nothing but the answer, which is part of all others: two system calls.
    Nothing,
    /// As many system calls that vmmload relays as the guest is to make.
    Calls,
    /// As many that read one byte into memory that was written before.
    Reads,
    /// A store to every page of the buffer, and a system call after each.
    WriteAndCall,
    /// A store to every page of the buffer.
    Write,
    /// [`HANDOVERS`] from one thread to another and back, and a store to every page meanwhile.
    HandOver,
}

impl Command {
    fn letter(self) -> char {
        match self {
            Self::Nothing => 'i',
            Self::Calls => 'n',
            Self::Reads => 'o',
            Self::WriteAndCall => 'c',
            Self::Write => 'w',
            Self::HandOver => 'h',
        }
    }
}

/// What one command caused.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// By KVM's own counters, the exits that KVM settles itself included; `None` where it keeps none.
    pub kvm: Option<Counters>,
    /// Exits to user space, as vmmload counts them.
    pub user_exits: u64,
    /// Those because a dirty ring was full.
    pub ring_full_exits: u64,
    /// Write events of the buffer's pages.
    pub events: u64,
    /// From the command to its answer.
    pub seconds: f64,
}

/// The touching guest running inside, with the segment of its counts.
#[derive(Debug)]
pub struct Touching {
    guest: Session,
    segment: Consumer,
    buffer: Range<u64>,
}

/// All counters at one moment.
struct Snapshot {
    kvm: Option<Counters>,
    user_exits: u64,
    ring_full_exits: u64,
    events: u64,
}

/// Long against what is measured, so that an epoch's end seldom falls into it. In the Intel rig all
/// happens in little time of its clock, and waiting for that clock takes longest.
fn interval() -> &'static str {
    match kvm::rig().as_deref() {
        Some("intel") => "100ms",
        _ => "500ms",
    }
}

impl Touching {
    /// Starts the guest with a buffer of so many pages, and options of `vmmload run` other than the interval.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(pages: u64, options: &[&str]) -> Self {
        Self::start_calling(pages, CALLS, options)
    }

    /// As [`Touching::start`], with so many calls at a command.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_calling(pages: u64, calls: u64, options: &[&str]) -> Self {
        let arguments = [pages, 1, calls].map(|number| number.to_string());
        let program = Guest::new("tracking/touch").program().args(arguments);
        let program = ["--interval", interval()]
            .iter()
            .chain(options)
            .fold(program, |program, option| program.option(*option));
        let mut guest = Session::start(program.inside_command());
        let line = guest.line();
        let buffer = hexadecimal(line.split(' ').next().expect("a buffer"));
        let pid = u32::try_from(guest.pid()).expect("a pid is positive");
        let segment = Consumer::attach(pid).expect("vmmload has published its segment");
        let touching = Self {
            guest,
            segment,
            buffer: buffer..buffer + pages * PAGE,
        };
        touching.settle();
        touching
    }

    /// Has the guest carry out one command, and waits until its writes are counted and armed again.
    ///
    /// # Panics
    /// When the guest does not answer, or no epoch ends.
    #[track_caller]
    pub fn cost_of(&mut self, command: Command) -> Cost {
        let before = self.snapshot();
        let started = Instant::now();
        self.command(command);
        let seconds = started.elapsed().as_secs_f64();
        self.settle();
        let after = self.snapshot();
        Cost {
            // A command has exits: a KVM that shows counters with none does not keep them.
            kvm: before
                .kvm
                .zip(after.kvm)
                .map(|(earlier, later)| later - earlier)
                .filter(|growth| growth.exits > 0),
            user_exits: after.user_exits - before.user_exits,
            ring_full_exits: after.ring_full_exits - before.ring_full_exits,
            events: after.events - before.events,
            seconds,
        }
    }

    /// The write events of each page of the buffer since the start.
    #[must_use]
    pub fn events(&self) -> BTreeMap<u64, u64> {
        self.segment
            .heat()
            .filter(|page| page.kind == Kind::Write && self.buffer.contains(&page.addr))
            .map(|page| (page.addr, page.count))
            .collect()
    }

    /// Ends the guest.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn end(mut self) {
        self.guest.send("q");
        let status = self.guest.finish();
        assert!(status.success(), "{status}");
    }

    #[track_caller]
    fn command(&mut self, command: Command) {
        let letter = command.letter();
        self.guest.send(&letter.to_string());
        let answer = self.guest.line_within(PATIENCE);
        assert_eq!(answer, Ok(format!("done {letter}")), "after {PATIENCE:?}");
    }

    /// Waits until all that was written is counted, and armed again. Epochs may go on beyond their
    /// interval, so it is epochs that are waited for, not time.
    #[track_caller]
    fn settle(&self) {
        let enough = self.segment.info().epoch + EPOCHS_TO_SETTLE;
        let deadline = Instant::now() + PATIENCE;
        while self.segment.info().epoch < enough {
            assert!(Instant::now() < deadline, "no epoch ends in {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn snapshot(&self) -> Snapshot {
        let info = self.segment.info();
        Snapshot {
            kvm: Counters::of(self.guest.pid()),
            user_exits: info.counter(Counter::VmExits),
            ring_full_exits: info.counter(Counter::RingFullExits),
            events: self.events().values().sum(),
        }
    }
}

/// What writing and rewriting many pages costs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rewrite {
    /// Pages of the buffer.
    pub pages: u64,
    /// The first store to each page, which also maps it.
    pub first: Cost,
    /// A store to each page, all of them mapped and armed.
    pub armed: Cost,
}

/// Measures a rewrite of armed pages.
///
/// # Panics
/// When the guest does not do what it is told.
#[must_use]
#[track_caller]
pub fn rewrite(pages: u64) -> Rewrite {
    let mut touching = Touching::start(pages, &[]);
    let first = touching.cost_of(Command::Write);
    let armed = touching.cost_of(Command::Write);
    touching.end();
    Rewrite {
        pages,
        first,
        armed,
    }
}

/// Seconds of a rewrite of as many pages with tracking off: nothing is ever armed.
///
/// # Panics
/// When the guest does not do what it is told.
#[must_use]
#[track_caller]
pub fn untracked_rewrite_seconds(pages: u64) -> f64 {
    let mut touching = Touching::start(pages, &["--track", "none"]);
    touching.command(Command::Write);
    let again = touching.cost_of(Command::Write).seconds;
    touching.end();
    again
}

/// What system calls cost, without the command that asks for them.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Calls {
    /// How many.
    pub calls: u64,
    /// The command with the calls.
    pub with: Cost,
    /// A command without.
    pub without: Cost,
}

impl Calls {
    /// Exits of the calls alone: by KVM's counters, without interrupts, else by vmmload's.
    #[must_use]
    pub fn exits(&self) -> u64 {
        let exits = |cost: &Cost| match (self.with.kvm, cost.kvm) {
            (Some(_), Some(growth)) => growth.own_exits(),
            _ => cost.user_exits,
        };
        exits(&self.with).saturating_sub(exits(&self.without))
    }
}

/// Measures [`CALLS`] system calls that leave the guest.
///
/// # Panics
/// When the guest does not do what it is told.
#[must_use]
#[track_caller]
pub fn calls() -> Calls {
    let [calls] = calls_of([Command::Calls], CALLS, "exit");
    calls
}

/// Measures so many of the calls that each of `commands` makes, served in this mode.
///
/// # Panics
/// When the guest does not do what it is told.
#[must_use]
#[track_caller]
pub fn calls_of<const N: usize>(commands: [Command; N], calls: u64, mode: &str) -> [Calls; N] {
    let mut touching = Touching::start_calling(1, calls, &["--call-mode", mode]);
    // The first command maps what all of them need.
    touching.cost_of(Command::Nothing);
    let without = touching.cost_of(Command::Nothing);
    let measured = commands.map(|command| Calls {
        calls,
        with: touching.cost_of(command),
        without,
    });
    touching.end();
    measured
}
