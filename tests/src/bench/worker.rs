//! A guest of `guests/costs` that does a fixed amount of work when it is told to, natively or inside,
//! and what vmmload's segment says of it before and after.

use std::io::{BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use vmmload_consumer::{Consumer, Counter, Kind};

use super::pairs::Values;
use super::row::{Recorded, Tracking};

/// No single step takes this long unless it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// How far the guest's clock and this process's may be apart over the work: a wake-up, and 5 %.
const CLOCK_SLACK: Duration = Duration::from_millis(500);

/// The running guest. Killed when dropped before its end.
pub(crate) struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Worker {
    /// Starts a command line.
    pub(crate) fn start(line: &[String]) -> Result<Self, String> {
        let (program, arguments) = line.split_first().ok_or("an empty command line")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {program}: {e}"))?;
        Ok(Self {
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take()),
            stderr: lines(child.stderr.take()),
            child,
        })
    }

    /// The guest's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The figures that the guest tells (`key number`, of several numbers the first) until it says `last`.
    pub(crate) fn until(&mut self, last: &str) -> Result<Values, String> {
        let mut values = Values::new();
        loop {
            let line = self.stdout.recv_timeout(LIMIT);
            let line = line.map_err(|_| self.last_words(last))?;
            if line == last {
                return Ok(values);
            }
            let mut words = line.split_whitespace();
            let key = words.next().unwrap_or_default().to_owned();
            for (name, word) in [key.clone(), key + "_end"].into_iter().zip(words) {
                let value = word.parse().map_err(|e| format!("'{line}': {e}"))?;
                values.insert(name, value);
            }
        }
    }

    /// Lets the guest go on.
    pub(crate) fn go_on(&mut self) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("no pipe to the program")?;
        stdin.write_all(b"g").map_err(|e| format!("a pipe: {e}"))
    }

    /// Lets the guest end, and waits for it.
    pub(crate) fn end(mut self) -> Result<(), String> {
        self.go_on()?;
        let status = self.child.wait().map_err(|e| format!("wait: {e}"))?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("{status}: {}", self.last_words("its end"))),
        }
    }

    fn last_words(&mut self, awaited: &str) -> String {
        let pause = Duration::from_secs(1);
        let mut words = format!("it did not come to '{awaited}'");
        while let Ok(line) = self.stderr.recv_timeout(pause) {
            words = line;
        }
        words
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only for a child that has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Forwards lines on a thread of its own, as a full pipe would block the program.
fn lines(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = stream.map(|stream| BufReader::new(stream).lines());
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What the guest `costs/workloads` did.
pub(crate) struct Work {
    pub(crate) round_ns: f64,
    /// By vmmload, from its segment, or by the guest itself.
    pub(crate) recorded: Option<Recorded>,
}

/// Has the command do its work, which runs inside with this tracking or natively.
pub(crate) fn work(line: &[String], inside: Option<Tracking>) -> Result<Work, String> {
    work_while(line, inside, |_| Ok(()))
}

/// The same inside, while whoever `look` starts, given the process, looks at it.
pub(crate) fn work_under<Looking>(
    line: &[String],
    tracking: Tracking,
    look: impl FnOnce(u32) -> Result<Looking, String>,
) -> Result<Work, String> {
    work_while(line, Some(tracking), look)
}

fn work_while<Guard>(
    line: &[String],
    inside: Option<Tracking>,
    look: impl FnOnce(u32) -> Result<Guard, String>,
) -> Result<Work, String> {
    let mut worker = Worker::start(line)?;
    let told = worker.until("ready")?;
    let _looking = look(worker.pid())?;
    let buffer = figure(&told, "buffer")? as u64..figure(&told, "buffer_end")? as u64;
    let tracking = inside.filter(|tracking| *tracking != Tracking::Off);
    let watched = tracking
        .map(|tracking| Watched::attach(worker.pid(), tracking, buffer))
        .transpose()?;
    let started = Instant::now();
    worker.go_on()?;
    let told = worker.until("done")?;
    let wall = started.elapsed();
    let work_ns = figure(&told, "work_ns")?;
    check_clock((work_ns + figure(&told, "arming_ns")?) / 1e9, wall)?;
    let recorded = match watched {
        Some(watched) => Some(watched.recorded()?),
        None => told.get("epochs").map(|&epochs| Recorded {
            epochs,
            events: told.get("events").copied().unwrap_or(0.0),
            ..Recorded::default()
        }),
    };
    worker.end()?;
    Ok(Work {
        round_ns: work_ns / figure(&told, "rounds")?.max(1.0),
        recorded: recorded.map(|recorded| Recorded {
            seconds: work_ns / 1e9,
            ..recorded
        }),
    })
}

fn figure(told: &Values, name: &str) -> Result<f64, String> {
    told.get(name).copied().ok_or(format!("it tells no {name}"))
}

/// A clock that runs wrong inside must not flatter.
fn check_clock(seconds: f64, wall: Duration) -> Result<(), String> {
    let wall = wall.as_secs_f64();
    match (wall - seconds).abs() <= CLOCK_SLACK.as_secs_f64() + wall * 0.05 {
        true => Ok(()),
        false => Err(format!(
            "its clock says {seconds:.3} s and ours {wall:.3} s"
        )),
    }
}

/// The segment of a guest, and its sums at the beginning of the work.
struct Watched {
    consumer: Consumer,
    tick: Duration,
    buffer: Range<u64>,
    before: Recorded,
    first: u32,
}

impl Watched {
    /// Of a guest that waits; on return, all of its pages are armed.
    fn attach(pid: u32, tracking: Tracking, buffer: Range<u64>) -> Result<Self, String> {
        let consumer = Consumer::attach(pid).map_err(|e| format!("its segment: {e}"))?;
        let mut watched = Self {
            consumer,
            tick: tracking.epoch(),
            buffer,
            before: Recorded::default(),
            first: 0,
        };
        watched.settle()?;
        watched.before = watched.sums();
        watched.first = watched.epoch();
        Ok(watched)
    }

    /// Everything since, once the guest waits again.
    fn recorded(&self) -> Result<Recorded, String> {
        let last = self.epoch();
        self.settle()?;
        let (before, after) = (self.before, self.sums());
        Ok(Recorded {
            epochs: f64::from(last - self.first + 1),
            events: after.events - before.events,
            reads: after.reads - before.reads,
            stretched: after.stretched - before.stretched,
            ring_full: after.ring_full - before.ring_full,
            ..Recorded::default()
        })
    }

    fn epoch(&self) -> u32 {
        self.consumer.info().epoch
    }

    /// Waits until every page is counted and armed again. While no vCPU runs, each tick ends an epoch;
    /// the second one to end has begun after the guest came to rest.
    fn settle(&self) -> Result<(), String> {
        let (started, first) = (Instant::now(), self.epoch());
        while self.epoch() < first + 2 {
            if started.elapsed() > self.tick * 4 + Duration::from_secs(10) {
                return Err("its epochs do not end".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn sums(&self) -> Recorded {
        let info = self.consumer.info();
        let mut sums = Recorded {
            stretched: info.counter(Counter::StretchedTicks) as f64,
            ring_full: info.counter(Counter::RingFullExits) as f64,
            ..Recorded::default()
        };
        let cells = self.consumer.heat();
        for cell in cells.filter(|cell| self.buffer.contains(&cell.addr)) {
            match cell.kind {
                Kind::Write => sums.events += cell.count as f64,
                Kind::Read => sums.reads += cell.count as f64,
                Kind::Kernel => {}
            }
        }
        sums
    }
}
