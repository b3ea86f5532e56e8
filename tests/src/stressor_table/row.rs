//! One stressor's runs.

use serde::Serialize;
use vmmload_tests::stressors::{Place, Run, Runner, Verdict, known_reason, why_left_out};

/// What a column of the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cell {
    Passes,
    Fails,
    /// stress-ng finds that it cannot run.
    Skipped,
    /// Not run.
    NotRun,
}

impl Cell {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Passed => Cell::Passes,
            Verdict::Skipped(_) => Cell::Skipped,
            Verdict::Failed(_) => Cell::Fails,
        }
    }

    /// As the table shows it.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Cell::Passes => "passes",
            Cell::Fails => "FAILS",
            Cell::Skipped => "skipped",
            Cell::NotRun => "-",
        }
    }
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) natively: Cell,
    pub(crate) inside: Cell,
    pub(crate) remark: String,
}

impl Row {
    /// Runs a stressor, inside only where it passes natively.
    pub(crate) fn of(runner: &Runner, name: &str, attempts: u32) -> Self {
        let row = |natively, inside, remark| Self {
            name: name.to_owned(),
            natively,
            inside,
            remark,
        };
        if let Some(why) = why_left_out(name) {
            return row(Cell::NotRun, Cell::NotRun, format!("left out: {why}"));
        }
        let native = runner.run(name, Place::Natively);
        if !native.passed() {
            let cell = Cell::of(&native.verdict);
            return row(cell, Cell::NotRun, why(&native.verdict));
        }
        let mut remarks = Vec::new();
        let mut inside = runner.run(name, Place::Inside);
        for _ in 1..attempts {
            if inside.passed() {
                break;
            }
            let first = why(&inside.verdict);
            inside = runner.run(name, Place::Inside);
            if inside.passed() {
                remarks.push(format!("not always: {first}"));
            }
        }
        match known_reason(name) {
            Some(reason) if !inside.passed() => remarks.push(reason.to_owned()),
            _ => remarks.extend(observed(&native, &inside)),
        }
        let cell = Cell::of(&inside.verdict);
        row(Cell::Passes, cell, remarks.join("; "))
    }

    /// For the terminal.
    pub(crate) fn line(&self) -> String {
        let (natively, inside) = (self.natively.shown(), self.inside.shown());
        let line = format!("{:20} {natively:8} {inside:8} {}", self.name, self.remark);
        line.trim_end().to_owned()
    }
}

/// What is worth knowing of a run inside.
fn observed(native: &Run, inside: &Run) -> Vec<String> {
    let mut remarks = Vec::new();
    if !inside.passed() {
        remarks.push(why(&inside.verdict));
    }
    let said = inside.messages.iter().map(|line| generalised(line));
    for message in said {
        if !remarks.iter().any(|remark| remark.contains(&message)) {
            remarks.push(format!("says \"{message}\""));
        }
    }
    if inside.passed() && native.rounds > Some(0) && inside.rounds == Some(0) {
        remarks.push("too slow for a whole round in its second".to_owned());
    }
    remarks
}

fn why(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed => String::new(),
        Verdict::Skipped(why) | Verdict::Failed(why) => generalised(why),
    }
}

/// A message up to its advice.
fn generalised(message: &str) -> String {
    let message = message.strip_prefix("vmmload: ").unwrap_or(message);
    let end = message.find(';').unwrap_or(message.len());
    message[..end].to_owned()
}
