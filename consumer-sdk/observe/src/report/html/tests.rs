//! Pages of known patterns.

use super::super::sample;
use super::*;
use crate::analysis::model::Process;
use crate::recording::manifest::End;

/// Every chart of a process.
const CHARTS: [&str; 7] = [
    "heatmap",
    "temperature",
    "concentration",
    "temperature-over-time",
    "distribution",
    "working-set",
    "huge-pages",
];

/// The page without the script that draws charts.
fn own(page: &str) -> String {
    let begin = page.find("</main>").expect("a page has a body");
    let end = page.rfind("<script>").expect("a page has a script");
    format!("{}{}", &page[..begin], &page[end..])
}

fn page_of(close: Vec<Process>) -> String {
    of(&sample::analysis(close))
}

/// The data of a chart.
fn data(page: &str, id: &str) -> serde_json::Value {
    let begin = page
        .find(&format!("<div class=\"chart\" id=\"{id}\">"))
        .expect("it is there");
    let begin = begin + page[begin..].find("class=\"data\">").expect("it has data") + 13;
    let end = begin + page[begin..].find("</script>").expect("it ends");
    serde_json::from_str(&page[begin..end]).expect("it is JSON")
}

#[test]
fn every_process_has_every_chart_and_its_tables() {
    let page = page_of(vec![sample::stripes(), sample::waves(4712, 30, 60.0)]);
    for id in ["p4711", "p4712"] {
        for chart in CHARTS {
            let data = data(&page, &format!("{id}-{chart}"));
            assert!(!data["data"].as_array().expect("traces").is_empty());
        }
    }
    for part in [
        "The hottest mappings",
        "The coldest mappings",
        "All 29 mappings",
        "half time",
    ] {
        assert!(own(&page).contains(part), "{part}");
    }
}

#[test]
fn charts_have_the_numbers_of_the_analysis() {
    let process = sample::stripes();
    let page = page_of(vec![process.clone()]);
    let set = data(&page, "p4711-working-set");
    assert_eq!(set["data"][1]["name"], "written");
    assert_eq!(set["data"][1]["y"], serde_json::json!(vec![1024; 20]));
    let bars = data(&page, "p4711-huge-pages");
    assert_eq!(
        bars["data"][0]["y"],
        serde_json::json!(process.huge_pages.regions)
    );
    let layers = data(&page, "p4711-temperature-over-time");
    assert_eq!(layers["data"][3]["y"][19], 57);
    // Of pages that were only read nothing is known here.
    let parts = data(&page, "p4711-distribution");
    assert_eq!(parts["data"].as_array().expect("parts").len(), 2);
    assert_eq!(parts["data"][1]["x"][0], 1200);
    assert!(own(&page).contains("reads were not watched"));
}

#[test]
fn losses_are_told_and_shown() {
    let process = sample::waves(1, 5, 60.0);
    let mut analysis = sample::analysis(vec![process]);
    analysis.manifest.end = End::Failed;
    analysis.notes = vec!["There was no room on the <disk>.".into()];
    let page = of(&analysis);
    for part in [
        "1,268 records were lost",
        "There was no room on the &lt;disk&gt;.",
        "recording failed",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let set = data(&page, "p1-working-set");
    let traces = set["data"].as_array().expect("traces");
    let lost = traces.last().expect("there are some");
    assert_eq!(lost["name"], "records were lost here");
    assert_eq!(lost["text"][0], "1,234 records lost");
}

#[test]
fn hostile_names_stay_names() {
    let mut analysis = sample::analysis(vec![sample::hostile(13)]);
    analysis.manifest.what = sample::HOSTILE.into();
    analysis.manifest.machine.host = sample::HOSTILE.into();
    analysis.notes = vec![sample::HOSTILE.into()];
    let page = own(&of(&analysis));
    for part in ["<img", "<b>", "\u{202e}", "\u{7}", "\u{2028}"] {
        assert!(!page.contains(part), "{part:?}");
    }
    assert!(page.contains("&lt;/script&gt;&lt;img src=x"));
    let elements = [
        "<script", "</script", "<style", "</style", "<title", "</title", "<body", "</body",
    ];
    let harmless = own(&page_of(vec![sample::hostile(13)]));
    for element in elements {
        assert_eq!(
            page.matches(element).count(),
            harmless.matches(element).count(),
            "{element}"
        );
    }
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    let page = own(&page_of(vec![sample::waves(1, 8, 60.0)]));
    for part in [
        "http:", "https:", "src=", "url(", "@import", "<link", "<iframe",
    ] {
        assert!(!page.contains(part), "{part}");
    }
    let links = page
        .match_indices("href=\"")
        .all(|(at, _)| page[at + 6..].starts_with('#'));
    assert!(links, "a link leads elsewhere");
}

#[test]
fn a_process_without_events_says_so() {
    let mut none = sample::untouched(2);
    none.facts.track = "none".into();
    let page = own(&page_of(vec![sample::untouched(1), none]));
    assert!(
        page.matches("no page was touched while it was recorded")
            .count()
            >= 6
    );
    assert!(page.contains("Pages were not watched (--track none)"));
    assert!(!page.contains("class=\"chart\""));
    assert!(!page.contains("NaN") && !page.contains("null,null"));
}

#[test]
fn one_column_and_one_row_are_enough() {
    let process = sample::process(7, (1, 1, 1), 0.005, |_, _, _| 1);
    let page = page_of(vec![process]);
    let heat = data(&page, "p7-heatmap");
    assert_eq!(heat["data"][0]["x"], serde_json::json!([0.0, 5.0]));
    assert_eq!(
        heat["layout"]["xaxis"]["title"]["text"],
        "milliseconds since the start"
    );
}

/// A number that looks random, for each cell.
fn scattered(seed: usize, kind: usize, row: usize, column: usize) -> u32 {
    let mixed = (seed * 31 + kind * 7 + row * 104_729 + column * 1_299_709)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as u32
}

#[test]
fn the_largest_pages_stay_below_ten_megabytes() {
    // Ten minutes in epochs of 100 ms, four processes, of which the first has 4 GiB: 20 epochs in a column and up to 4,096
    // pages in a row, each of which has a write or a read event in each epoch.
    let process = |seed: usize| {
        let most = if seed == 0 { 81_920 } else { 9_999 };
        let mut process = sample::process(
            seed as u32 + 1,
            (250, 300, 120),
            600.0,
            |kind, row, column| {
                let written = scattered(seed, 0, row, column) % most;
                [written, most - written, written % 10][kind]
            },
        );
        let points = process.working_set.points.clone();
        process.working_set.points = points.iter().cycle().take(2000).copied().collect();
        for band in &mut process.heat.bands {
            band.label = "/a/long/path".repeat(300);
        }
        process
    };
    let page = page_of((0..4).map(process).collect());
    assert!(page.len() < 10_000_000, "{} bytes", page.len());
}
