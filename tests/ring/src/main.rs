//! Writers and readers of a segment, each a process of its own and as fast as a release build makes it.
//!
//! `ring write NAME EVENTS` and `ring follow FILE [polling|slow]` are the stress test's; the others tell figures, as lines of
//! a key and a number.

mod cpu;
mod follow;
mod measure;
mod pattern;
mod program;
mod write;

use std::error::Error;
use std::process::ExitCode;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ring: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Outcome {
    match arguments {
        ["write", name, events] => write::run(name, events.parse()?),
        ["program", events, rate] => program::run(events.parse()?, rate.parse()?),
        ["follow", file] => follow::fast(file),
        ["follow", file, "polling"] => follow::polling(file),
        ["follow", file, "slow"] => follow::slow(file),
        ["idle", file] => follow::idle(file),
        ["publish", events] => measure::publish(events.parse()?),
        ["read", laps] => measure::read(laps.parse()?),
        ["latency", "polling", samples] => measure::latency(samples.parse()?, false),
        ["latency", "sleeping", samples] => measure::latency(samples.parse()?, true),
        _ => Err("unknown arguments; see the source".into()),
    }
}
