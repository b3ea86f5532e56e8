//! `vmmload top`: live programs in the terminal, or as one table.
//!
//! Three parts that know little of each other: the [`model`] follows processes and makes a [`sample`] of each refresh;
//! [`app`] is what keys change; the [`view`] draws a sample as the app says. [`live`] turns them round.

mod app;
mod input;
mod live;
mod model;
mod once;
mod rows;
mod sample;
mod terminal;
mod text;
mod view;

use crate::failure::{Failure, Outcome};
use crate::fleet::Scope;
use crate::typed::TopArgs;
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Shortest time between two refreshes: nobody reads faster.
const SHORTEST_DELAY: Duration = Duration::from_millis(10);

/// Shows what the arguments ask for, until it is enough.
pub(crate) fn run(args: &TopArgs) -> Outcome {
    if args.delay < SHORTEST_DELAY {
        return Err(Failure::Other(format!(
            "a delay of {:?} is too short; use --delay 10ms or more",
            args.delay
        )));
    }
    let scope = match args.pid {
        Some(pid) => Scope::of_process(pid)?,
        None if args.all => Scope::Readable,
        None => Scope::Own,
    };
    if args.once {
        return once::run(args, scope);
    }
    check_terminal()?;
    live::run(args, scope)
}

/// Makes sure that there is something to draw on.
fn check_terminal() -> Result<(), Failure> {
    let no = |why: &str| {
        Err(Failure::Other(format!(
            "{why}; print one plain table with `vmmload top --once`"
        )))
    };
    if !io::stdout().is_terminal() {
        return no("standard output is no terminal");
    }
    match std::env::var("TERM").as_deref() {
        Err(_) | Ok("" | "dumb") => no("this terminal cannot move its cursor (TERM says so)"),
        Ok(_) => Ok(()),
    }
}
