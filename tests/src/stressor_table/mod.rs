//! The table of stressors in reading order: options, the runs of each (`row`), and how they are told
//! (`report`). What a run is, `vmmload_tests::stressors` knows.

mod options;
mod report;
mod row;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use vmmload_tests::stressors::Runner;

use options::Options;
use report::Report;
use row::Row;

/// Makes the table; fails if too few stressors pass inside.
pub(crate) fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("stressors: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let runner = Runner::new(Duration::from_secs(options.limit));
    let names = options.select(runner.names()?)?;
    let rows = run_all(&runner, &names, options);
    let report = Report::new(rows, runner.version()?)?;
    println!("{}", report.verdict());
    if let Some(path) = &options.markdown {
        write(path, &report.markdown())?;
    }
    if let Some(path) = &options.json {
        write(path, &report.json()?)?;
    }
    Ok(report.enough())
}

/// Every row, in the order of the names, `--jobs` at a time.
fn run_all(runner: &Runner, names: &[String], options: &Options) -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                // Relaxed: only that each number is taken once matters.
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = Row::of(runner, name, options.attempts);
                    println!("{}", row.line());
                    rows.lock().expect("no other run panicked").push(row);
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no run panicked");
    rows.sort_by(|a: &Row, b: &Row| a.name.cmp(&b.name));
    rows
}

fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|cause| format!("{}: {cause}", path.display()))
}
