//! Reports as pages and pictures: a browser opens what `vmmload report` writes, and shows what was recorded.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use vmmload_tests::python::Environment;
use vmmload_tests::recorded::record_touches;
use vmmload_tests::scratch::Scratch;
use vmmload_tests::{machine, observe, packages};

/// Pages that the guest writes, and how often.
const PAGES: u64 = 300;
const TIMES: u64 = 3;

/// Every chart of a process on the page.
const CHARTS: [&str; 7] = [
    "heatmap",
    "temperature",
    "concentration",
    "temperature-over-time",
    "distribution",
    "working-set",
    "huge-pages",
];

/// `vmmload report`, with what belongs to these options.
fn report(recording: &Path, options: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(observe());
    command.arg("report").arg(recording);
    for (option, path) in options {
        command.arg(option).arg(path);
    }
    command.output().expect("the observer can be started")
}

#[track_caller]
fn assert_reported(output: &Output) {
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
}

/// What a browser has to say about a page.
#[track_caller]
fn opened(page: &Path, scratch: &Scratch) -> Value {
    let chromium = packages::program("/usr/bin/chromium", "chromium");
    let outcome = Environment::of_debian()
        .python()
        .args(["open_page.py", chromium])
        .arg(page)
        .arg(scratch.path())
        .native();
    outcome.assert_success("a browser that opens a page");
    serde_json::from_str(&outcome.text()).expect("it is JSON")
}

/// The chart whose id ends so.
#[track_caller]
fn chart<'a>(charts: &'a Value, name: &str) -> &'a Value {
    let ends = |chart: &&Value| {
        let id = chart["id"].as_str().unwrap_or_default();
        id.split_once('-').is_some_and(|(_, rest)| rest == name)
    };
    let charts = charts.as_array().expect("charts are a list");
    charts
        .iter()
        .find(ends)
        .unwrap_or_else(|| panic!("no chart {name} in {charts:?}"))
}

/// The numbers of a trace.
fn numbers(trace: &Value) -> Vec<u64> {
    let values = trace["y"].as_array().expect("a trace has values");
    values.iter().filter_map(Value::as_u64).collect()
}

#[test]
fn a_browser_shows_every_chart_with_what_was_recorded() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let (recording, page) = (scratch.path().join("run"), scratch.path().join("run.html"));
    record_touches(&recording, PAGES, TIMES, "write");
    assert_reported(&report(&recording, &[("-o", &page)]));
    let size = std::fs::metadata(&page).expect("it was written").len();
    assert!(size < 10_000_000, "{size}");
    let seen = opened(&page, &scratch);
    assert_eq!(seen["troubles"], serde_json::json!([]));
    assert_eq!(
        seen["elsewhere"],
        serde_json::json!([]),
        "it loads from elsewhere"
    );
    for device in ["desktop", "phone"] {
        let charts = &seen[device]["charts"];
        for name in CHARTS {
            let chart = chart(charts, name);
            assert_eq!(chart["drawn"], true, "{device} {name}");
            assert!(!chart["alt"].as_str().unwrap_or_default().is_empty());
        }
        assert_eq!(
            seen[device]["overflow"], 0,
            "{device}: wider than the screen"
        );
        let picture = scratch.path().join(format!("{device}.png"));
        let size = std::fs::metadata(picture)
            .expect("there is a screenshot")
            .len();
        assert!(size > 10_000, "{device}: {size}");
    }
    let charts = &seen["desktop"]["charts"];
    let written = &chart(charts, "working-set")["traces"][1];
    assert_eq!(written["name"], "written");
    // Epochs may end while the guest is writing, so that only their sum is certain.
    let events: u64 = numbers(written).iter().sum();
    assert!(events >= PAGES * TIMES, "{written}");
    let pages: u64 = numbers(&chart(charts, "temperature")["traces"][0])
        .iter()
        .sum();
    assert!(pages >= PAGES, "{pages}");
    let level = chart(charts, "heatmap")["levels"].as_f64();
    assert!(
        level.is_some_and(|level| level > 50.0 && level <= 100.0),
        "{level:?}"
    );
}

#[test]
fn the_heat_map_answers_the_mouse() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let (recording, page) = (scratch.path().join("run"), scratch.path().join("run.html"));
    record_touches(&recording, PAGES, TIMES, "write");
    assert_reported(&report(&recording, &[("-o", &page)]));
    let closer = &opened(&page, &scratch)["closer"];
    let tip = closer["tip"].as_str().expect("something is told");
    assert!(tip.contains("0x") || tip.contains("left out here"), "{tip}");
    let range = |name: &str| {
        let at = |index: usize| closer[name][index].as_f64().expect("a range has ends");
        at(1) - at(0)
    };
    let (whole, zoomed) = (range("whole"), range("zoomed"));
    assert!(zoomed > 0.0 && zoomed < whole * 0.6, "{zoomed} of {whole}");
    assert_eq!(closer["pressed"], "write");
}

#[test]
fn pictures_are_written_for_each_chart() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let recording = scratch.path().join("run");
    let (png, svg) = (scratch.path().join("png"), scratch.path().join("svg"));
    record_touches(&recording, PAGES, TIMES, "write");
    assert_reported(&report(&recording, &[("--png", &png), ("--svg", &svg)]));
    for (directory, ending, begin) in [
        (&png, "png", b"\x89PNG".as_slice()),
        (&svg, "svg", b"<svg".as_slice()),
    ] {
        for name in CHARTS.iter().filter(|&&name| name != "concentration") {
            let entries = std::fs::read_dir(directory).expect("it was made");
            let ends = format!("-{name}.{ending}");
            let found = entries
                .flatten()
                .find(|entry| entry.file_name().to_string_lossy().ends_with(&ends));
            let path = found.unwrap_or_else(|| panic!("no {ends}")).path();
            let content = std::fs::read(path).expect("it can be read");
            assert!(content.starts_with(begin), "{ends}");
            assert!(
                content.len() < 150_000,
                "{ends} has {} bytes",
                content.len()
            );
        }
    }
}

#[test]
fn a_page_that_cannot_be_written_is_told_and_leaves_nothing() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let recording = scratch.path().join("run");
    record_touches(&recording, PAGES, TIMES, "write");
    let nowhere = scratch.path().join("none/run.html");
    let output = report(&recording, &[("-o", &nowhere)]);
    assert_eq!(output.status.code(), Some(125));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("none/run.html"), "{complaint}");
    assert!(complaint.contains("has room"), "{complaint}");
}
