//! `vmmload report` and `vmmload diff` of what `vmmload record` has recorded.

use std::process::{Command, Output};
use std::time::Duration;

use vmmload_tests::recorded::record_touches;
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{machine, observe, vmmload};

/// Runs the observer and gives what it says.
fn run(arguments: &[&str]) -> Output {
    let output = Command::new(observe())
        .args(arguments)
        .env("VMMLOAD_LAUNCHER", vmmload())
        .output();
    output.expect("the observer can be started")
}

/// Standard output of a command that must succeed.
#[track_caller]
fn told(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaints}{said}");
    said
}

/// The complaint of a command that must fail.
#[track_caller]
fn complaint(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(125), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The process that a report tells of.
#[track_caller]
fn pid_in(report: &str) -> &str {
    let mut titles = report
        .lines()
        .filter_map(|line| line.strip_prefix("Process "));
    let title = titles
        .next()
        .unwrap_or_else(|| panic!("no process in:\n{report}"));
    title.split(':').next().expect("it has a pid")
}

#[test]
fn a_report_tells_the_pages_that_the_program_touched() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let directory = scratch.path().join("recording");
    record_touches(&directory, 2000, 3, "write");
    let directory = directory.to_str().expect("UTF-8");
    let all = told(&["report", directory]);
    assert!(
        all.contains("when all processes had ended; exit status 0"),
        "{all}"
    );
    let report = told(&["report", directory, "--pid", pid_in(&all)]);
    // The buffer has guard pages around it, and so is a mapping of its own: its pages were written in three epochs each.
    let buffer = report.lines().find(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some("2,000") && words.next() == Some("6,000")
    });
    let buffer = buffer.unwrap_or_else(|| panic!("no mapping with 6,000 events in:\n{report}"));
    assert!(buffer.contains("(anonymous memory)"), "{buffer}");
    assert!(report.contains("loads were not watched"), "{report}");
    assert!(report.contains("How to read this"), "{report}");
}

#[test]
fn a_comparison_tells_that_a_program_touched_more() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let [before, after] = ["before", "after"].map(|name| scratch.path().join(name));
    record_touches(&before, 500, 2, "write");
    record_touches(&after, 1500, 2, "readwrite");
    let page = scratch.path().join("change.html");
    let [before, after, page] = [&before, &after, &page].map(|path| path.to_str().expect("UTF-8"));
    let text = told(&["diff", before, after]);
    assert!(
        text.contains("Other accesses were watched: write before, readwrite after"),
        "{text}"
    );
    assert!(text.contains(": 1 before, 1 after"), "{text}");
    assert!(text.contains("(anonymous memory)"), "{text}");
    assert_eq!(told(&["diff", before, after, "-o", page]), "");
    let html = std::fs::read_to_string(page).expect("the page was written");
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("What has changed"));
    for elsewhere in ["<script src", "<link rel"] {
        assert!(!html.contains(elsewhere), "the page is complete in itself");
    }
}

#[test]
fn what_is_no_recording_is_refused_with_the_reason() {
    let scratch = Scratch::new();
    let here = scratch.path().to_str().expect("UTF-8");
    let nowhere = format!("{here}/nowhere");
    for (arguments, said) in [
        (
            vec!["report", here],
            "is no recording: it has no recording.json",
        ),
        (vec!["report", &nowhere], "there is no directory "),
        (vec!["diff", &nowhere, here], "there is no directory "),
    ] {
        let complaint = complaint(&arguments);
        assert!(complaint.contains(said), "{complaint}");
        assert!(complaint.contains("vmmload record -o"), "{complaint}");
    }
    std::fs::write(scratch.path().join("recording.json"), "{}").expect("it can be written");
    assert!(complaint(&["report", here]).contains("does not say which format it has"));
}

#[test]
fn a_recording_that_is_being_written_can_be_reported() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let directory = scratch.path().join("recording");
    let mut recorder = Command::new(observe())
        .args(["record", "--quiet", "-o"])
        .arg(&directory)
        .args(["--", "/bin/sleep", "60"])
        .env("VMMLOAD_LAUNCHER", vmmload())
        .spawn()
        .expect("the recorder can be started");
    let end = std::time::Instant::now() + machine::patience(Duration::from_secs(30));
    while !directory.join("recording.json").exists() {
        assert!(std::time::Instant::now() < end, "no recording began");
        std::thread::sleep(Duration::from_millis(10));
    }
    let report = told(&["report", directory.to_str().expect("UTF-8")]);
    assert!(report.contains("It is still being written"), "{report}");
    // As Ctrl-C does, but to the recorder alone: it ends the command.
    let interrupted = Command::new("kill")
        .args(["-INT", &recorder.id().to_string()])
        .status();
    assert!(interrupted.expect("kill can be started").success());
    recorder.wait().expect("the recorder ends");
}
