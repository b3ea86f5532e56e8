//! The benchmark in reading order: options, what is measured (`rows`), how a pair is run (`pairs`,
//! `runner`), what is run (`workload`), and how it is told (`report`). `counts` stands beside all that.

mod bare_exit;
mod costs;
mod counts;
mod generated;
mod guest_api;
mod huge_pages;
mod io;
mod machine;
mod options;
mod overhead;
mod pairs;
mod processes;
mod report;
mod ring;
mod row;
mod rows;
mod runner;
mod stats;
mod tools;
mod watched;
mod worker;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use options::Options;
use report::Report;
use runner::Runner;

/// Runs the whole benchmark, or, when re-executed with `--workload`, one workload.
pub(crate) fn main() -> ExitCode {
    // Looked at before clap, so that what is measured starts with as little as a program can.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((flag, rest)) = arguments.split_first()
        && flag == workload::FLAG
    {
        return workload::main(rest);
    }
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let runner = Runner::new()?;
    let facts = machine::facts(&runner);
    if options.counts {
        return counts::run(facts, options);
    }
    let mut report = Report::new(facts, options);
    report.print_machine();
    rows::run_all(&runner, options, &mut |row| report.add(row));
    report.print_verdict();
    match &options.json {
        Some(path) => report.write_json(path),
        None => Ok(()),
    }
}
