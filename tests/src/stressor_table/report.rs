//! How the rows are told.

use std::fmt::Write as _;
use std::process::Command;

use serde::Serialize;
use vmmload_tests::vmmload;

use super::row::{Cell, Row};

/// Of those that pass natively, in 100.
const ENOUGH: usize = 95;

/// The finished table.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Version of stress-ng.
    version: String,
    /// Lines of `vmmload doctor` that tell the kind of KVM.
    machine: Vec<String>,
    /// How many pass natively.
    natively: usize,
    /// How many of those pass inside.
    inside: usize,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(rows: Vec<Row>, version: String) -> Result<Self, String> {
        let count = |passes: fn(&Row) -> bool| rows.iter().filter(|row| passes(row)).count();
        Ok(Self {
            version,
            machine: machine()?,
            natively: count(|row| row.natively == Cell::Passes),
            inside: count(|row| row.inside == Cell::Passes),
            rows,
        })
    }

    /// Whether enough pass inside.
    pub(crate) fn enough(&self) -> bool {
        self.inside * 100 >= self.natively * ENOUGH
    }

    /// How many pass, in a sentence.
    pub(crate) fn verdict(&self) -> String {
        let (natively, inside) = (self.natively, self.inside);
        let percent = 100.0 * inside as f64 / natively.max(1) as f64;
        format!("Of {natively} stressors that pass natively, {inside} pass inside: {percent:.1} %.")
    }

    pub(crate) fn json(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|cause| cause.to_string())
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "# stress-ng inside vmmload\n\n\
             Each stressor of {}, one instance for one second with `--verify`, natively and then inside\n\
             `vmmload run`, on a machine that did other work at the same time. A stressor passes if its exit\n\
             status is 0 and vmmload reports no failure of its own. Inside it has a second attempt, and the\n\
             remark says so where it needed it. Made by\n\n    \
             cargo run --release -p vmmload-tests --bin stressors -- --markdown docs/stress-ng.md\n\n\
             {}\n\nThe machine, by `vmmload doctor`:\n\n",
            self.version,
            self.verdict()
        );
        for line in &self.machine {
            let _ = writeln!(text, "    {line}");
        }
        text.push_str("\n| stressor | natively | inside | remark |\n| --- | --- | --- | --- |\n");
        for row in &self.rows {
            let (natively, inside) = (row.natively.shown(), row.inside.shown());
            let remark = row.remark.replace('|', "\\|");
            let _ = writeln!(text, "| {} | {natively} | {inside} | {remark} |", row.name);
        }
        text
    }
}

/// What `vmmload doctor` finds of kernel, KVM and paging.
fn machine() -> Result<Vec<String>, String> {
    let output = Command::new(vmmload()).arg("doctor").output();
    let output = output.map_err(|cause| format!("{}: {cause}", vmmload().display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let told = ["kernel", "module", "exit", "paging", "write log"];
    let lines = text.lines().filter_map(|line| {
        let finding = line.trim_start().split_once("  ")?.1.trim_start();
        let wanted = told
            .iter()
            .any(|name| finding.starts_with(&format!("{name}  ")));
        wanted.then(|| finding.to_owned())
    });
    Ok(lines.collect())
}
