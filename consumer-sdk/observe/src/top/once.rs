//! `--once`: one plain table of what happens in one delay, for scripts.

use super::model::Model;
use super::rows::{self, Sort};
use super::sample::{ProcessSample, Sample};
use super::text;
use crate::failure::{self, Failure, Outcome};
use crate::fleet::Scope;
use crate::typed::{SortKey, TopArgs};
use std::io::{self, Write};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};
use vmmload_consumer::{PAGE_SIZE, Status};

/// How often records are read meanwhile.
const READ_EVERY: Duration = Duration::from_millis(50);

/// Measures and prints.
pub(super) fn run(args: &TopArgs, scope: Scope) -> Outcome {
    let mut model = Model::new(scope);
    let first = model.sample();
    let close = args.pid.and_then(|pid| {
        first
            .processes
            .iter()
            .find(|process| process.key.pid == pid)
    });
    model.look_closely(close.map(|process| process.key));
    wait(&mut model, args.delay);
    let sample = model.sample();
    let sort = Sort {
        key: args.sort,
        is_reversed: false,
    };
    let mut output = io::stdout().lock();
    print_processes(&sample, sort, &mut output)?;
    if let Some(process) = close.and_then(|process| sample.process(process.key)) {
        writeln!(output)?;
        print_mappings(&sample, process, sort, &mut output)?;
    }
    output.flush()?;
    hint(args, &sample);
    Ok(0)
}

/// Reads for a while: a ring may not have room for all that happens.
fn wait(model: &mut Model, delay: Duration) {
    let end = Instant::now().checked_add(delay);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return;
        }
        thread::sleep(left.map_or(READ_EVERY, |left| left.min(READ_EVERY)));
        model.drain();
    }
}

/// One line for each process: numbers without units, `-` for what is not known, the command last.
fn print_processes(sample: &Sample, sort: Sort, output: &mut impl Write) -> Result<(), Failure> {
    writeln!(
        output,
        "{:>7}  {:>10}  {:>10}  {:>10}  {:>10}  {:>8}  {:>12}  {:>10}  {:>10}  {:>8}  {:>8}  {:>6}  COMMAND",
        "PID",
        "EVENTS/S",
        "WRITE/S",
        "READ/S",
        "KERNEL/S",
        "PAGES",
        "BYTES",
        "TOUCHED",
        "LOST",
        "AGE_S",
        "EPOCH_MS",
        "COST%"
    )?;
    for process in rows::processes(sample, sort, "") {
        let [write, read, kernel] = kinds(process.rates);
        let pages = process.pages();
        let bytes = pages.map(|pages| u64::from(pages) * PAGE_SIZE as u64);
        let epoch = process.epoch;
        let length = epoch.map(|epoch| epoch.end_ns.saturating_sub(epoch.start_ns) as f64);
        let cost = epoch.zip(length.filter(|&length| length > 0.0));
        let cost = cost.map(|(epoch, length)| epoch.cost_ns as f64 / length * 100.0);
        writeln!(
            output,
            "{:>7}  {:>10}  {write:>10}  {read:>10}  {kernel:>10}  {:>8}  {:>12}  {:>10}  {:>10}  {:>8}  {:>8}  {:>6}  {}",
            process.key.pid,
            rounded(process.events()),
            whole(pages.map(u64::from)),
            whole(bytes),
            process.touched,
            process.lost,
            process.age.as_secs(),
            rounded(length.map(|length| length / 1e6)),
            cost.map_or_else(|| "-".into(), |cost| format!("{cost:.1}")),
            name(&process)
        )?;
    }
    Ok(())
}

fn print_mappings(
    sample: &Sample,
    process: &ProcessSample,
    sort: Sort,
    output: &mut impl Write,
) -> Result<(), Failure> {
    writeln!(
        output,
        "{:>16}  {:>16}  {:>4}  {:>10}  {:>10}  {:>10}  {:>10}  {:>8}  {:>10}  MAPPING",
        "START", "END", "PERM", "EVENTS/S", "WRITE/S", "READ/S", "KERNEL/S", "PAGES", "TOUCHED"
    )?;
    let footprint = sample.footprint_of(process.key);
    for row in rows::mappings(process, footprint, sort, "") {
        let [write, read, kernel] = kinds(row.rates);
        let address = |address: u64| match row.end {
            0 => "-".to_owned(),
            _ => format!("{address:x}"),
        };
        let permissions = match row.permissions.as_str() {
            "" => "-",
            some => some,
        };
        writeln!(
            output,
            "{:>16}  {:>16}  {permissions:>4}  {:>10}  {write:>10}  {read:>10}  {kernel:>10}  {:>8}  {:>10}  {}",
            address(row.start),
            address(row.end),
            rounded(row.events()),
            whole(row.pages.map(u64::from)),
            whole(row.touched),
            text::harmless(&row.name, true)
        )?;
    }
    Ok(())
}

fn name(process: &Rc<ProcessSample>) -> String {
    let command = text::harmless(&process.command, true);
    match process.status {
        Status::Running => command,
        status => format!("({}) {command}", text::status(status)),
    }
}

fn kinds(rates: Option<[f64; 3]>) -> [String; 3] {
    [0, 1, 2].map(|kind| rounded(rates.map(|rates| rates[kind])))
}

fn rounded(number: Option<f64>) -> String {
    number.map_or_else(|| "-".into(), |number| format!("{number:.0}"))
}

fn whole(number: Option<u64>) -> String {
    number.map_or_else(|| "-".into(), |number| number.to_string())
}

/// Says what an empty table means, and why there may be no rates.
fn hint(args: &TopArgs, sample: &Sample) {
    match args.pid {
        None if sample.processes.is_empty() => {
            failure::say("no live segments; start a command with `vmmload run COMMAND`");
        }
        Some(pid) if sample.is_over => failure::say(&format!(
            "all processes of the same vmmload run as {pid} have ended; see `vmmload ls` for what runs"
        )),
        _ => {}
    }
    let is_unknown =
        |process: &&Rc<ProcessSample>| process.status == Status::Running && process.rates.is_none();
    let unknown: Vec<_> = sample.processes.iter().filter(is_unknown).collect();
    let length = |process: &&Rc<ProcessSample>| {
        let last = process
            .epoch
            .map_or(0, |epoch| epoch.end_ns.saturating_sub(epoch.start_ns));
        process
            .interval
            .max(Duration::from_millis(last / 1_000_000))
    };
    if let Some(longest) = unknown.iter().map(length).max() {
        failure::say(&format!(
            "no epoch of {} ended in {}, so that the rates are not known; epochs last up to {} there, so use a longer \
             --delay",
            match unknown.len() {
                1 => "1 process".into(),
                many => format!("{many} processes"),
            },
            text::delay(args.delay),
            text::delay(longest)
        ));
    }
    if args.sort == SortKey::Lost && args.pid.is_some() {
        failure::say("mappings lose no records: theirs is the order of events");
    }
}
