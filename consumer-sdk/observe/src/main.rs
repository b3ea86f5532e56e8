//! vmmload-observe: what `vmmload top`, `record`, `report`, `diff` and `export` execute.
//!
//! A reader like any other, in a process of its own: it maps segments read-only and cannot disturb the programs it
//! watches. Live views (`top`, `export`) follow processes as `fleet` finds them. Recordings are written by `record`,
//! laid out by `recording`, turned into numbers by `analysis`, and into text, pages and pictures by `report` and `diff`.

mod analysis;
mod diff;
mod export;
mod failure;
mod fleet;
mod numbers;
mod plain;
mod record;
mod recording;
mod report;
mod top;
mod typed;

use clap::Parser;
use std::process::ExitCode;
use typed::{Cli, Typed};

fn main() -> ExitCode {
    let typed = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return ExitCode::from(failure::show_usage(&error)),
    };
    let outcome = match typed {
        Typed::Top(args) => top::run(&args),
        Typed::Record(args) => record::run(&args),
        Typed::Report(args) => report::run(&args),
        Typed::Diff(args) => diff::run(&args),
        Typed::Export(args) => export::run(&args),
    };
    ExitCode::from(outcome.unwrap_or_else(|failure| failure.complain()))
}
