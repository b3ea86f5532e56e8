//! `vmmload doctor`: prints what was found out about this machine.

use super::{Format, ReportError};
use crate::doctor::{Finding, Report, State};
use serde_json::{Value, json};
use std::io::Write;

/// Longest line, so that it fits a terminal or a page of mail.
const WIDTH: usize = 100;
/// Where the text of a finding begins: after marker and topic.
const INDENT: usize = 20;
/// What a remedy begins with.
const ARROW: &str = "-> ";

/// Options of `doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DoctorConfig {
    pub(crate) format: Format,
}

/// Prints the report.
pub(super) fn run(
    config: &DoctorConfig,
    report: &Report,
    output: &mut impl Write,
) -> Result<(), ReportError> {
    let text = match config.format {
        Format::Text => text(report),
        Format::Json => document(report),
    };
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut section = "";
    for finding in &report.findings {
        if finding.section != section {
            let gap = if text.is_empty() { "" } else { "\n" };
            text += &format!("{gap}{}\n", finding.section);
            section = finding.section;
        }
        text += &lines_of(finding);
    }
    text + "\n" + &verdict(report) + "\n"
}

fn lines_of(finding: &Finding) -> String {
    let marker = match finding.state {
        State::Ok => "ok",
        State::Note => "--",
        State::Problem => "!!",
    };
    const TOPIC: usize = INDENT - 6;
    let first = format!("  {marker}  {:<TOPIC$}", finding.topic);
    let mut lines = wrapped(&first, INDENT, &finding.what);
    if let Some(remedy) = &finding.remedy {
        let first = format!("{:INDENT$}{ARROW}", "");
        lines += &wrapped(&first, INDENT + ARROW.len(), remedy);
    }
    lines
}

/// `words` behind `first`, broken into lines; those after the first are indented.
fn wrapped(first: &str, indent: usize, words: &str) -> String {
    let mut text = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in words.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text += line.trim_end();
            text.push('\n');
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    text + line.trim_end() + "\n"
}

fn verdict(report: &Report) -> String {
    let count = |state| report.findings.iter().filter(|f| f.state == state).count();
    match (count(State::Problem), count(State::Note)) {
        (0, 0) => "vmmload run works here.".to_owned(),
        (0, 1) => "vmmload run works here; the line marked -- could be better.".to_owned(),
        (0, n) => format!("vmmload run works here; {n} lines marked -- could be better."),
        (1, _) => "vmmload run does not work here: see the line marked !!.".to_owned(),
        (n, _) => format!("vmmload run does not work here: see the {n} lines marked !!."),
    }
}

fn document(report: &Report) -> String {
    let mut members = report.facts.clone();
    let findings = report.findings.iter().map(|finding| {
        json!({
            "what": format!("{}: {}", finding.topic, finding.what),
            "state": match finding.state {
                State::Ok => "ok",
                State::Note => "note",
                State::Problem => "problem",
            },
            "remedy": finding.remedy,
        })
    });
    members.insert("findings".into(), findings.collect());
    members.insert("usable".into(), report.usable().into());
    format!("{:#}\n", Value::Object(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(topic: &str, what: &str, state: State, remedy: Option<&str>) -> Finding {
        Finding {
            section: "KVM",
            topic: topic.into(),
            what: what.into(),
            state,
            remedy: remedy.map(str::to_owned),
        }
    }

    fn report(findings: Vec<Finding>) -> Report {
        Report {
            findings,
            facts: [("kernel".to_owned(), "6.1.0".into())]
                .into_iter()
                .collect(),
        }
    }

    #[test]
    fn text_is_aligned_with_remedies_below() {
        let report = report(vec![
            finding("threads", "at most 64", State::Ok, None),
            finding("write log", "a fault", State::Note, Some("Wait")),
        ]);
        let expected = "\
KVM
  ok  threads       at most 64
  --  write log     a fault
                    -> Wait

vmmload run works here; the line marked -- could be better.
";
        assert_eq!(text(&report), expected);
    }

    #[test]
    fn long_texts_are_broken_and_indented() {
        let words = "word ".repeat(60);
        let broken = lines_of(&finding("a", &words, State::Problem, Some(&words)));
        let lines: Vec<&str> = broken.lines().collect();
        assert!(lines.iter().all(|line| line.len() <= WIDTH));
        assert!(lines[1].starts_with(&format!("{:INDENT$}word", "")));
        assert!(lines.iter().filter(|line| line.contains(ARROW)).count() == 1);
        assert_eq!(broken.matches("word").count(), 120);
    }

    #[test]
    fn a_problem_changes_verdict_and_document() {
        let problem = finding("/dev/kvm", "no", State::Problem, Some("Load it"));
        let report = report(vec![problem]);
        assert!(text(&report).contains("does not work here: see the line marked !!"));
        let document: Value = serde_json::from_str(&document(&report)).unwrap();
        let expected = json!({
            "usable": false,
            "kernel": "6.1.0",
            "findings": [{"what": "/dev/kvm: no", "state": "problem", "remedy": "Load it"}],
        });
        assert_eq!(document, expected);
    }
}
