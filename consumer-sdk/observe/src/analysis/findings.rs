//! What the numbers of a process say, in plain words. Each sentence is true of this recording, whatever the reason.

use super::model::Process;
use super::temperature::pages_with;
use crate::numbers::{bytes, grouped, percent};

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Share of the events that many are.
const MANY: f64 = 0.9;

/// The sentences, what says most first.
pub(super) fn of(process: &Process) -> Vec<String> {
    if process.pages == 0 {
        return Vec::new();
    }
    let all = [
        concentration(process),
        hottest_mapping(process),
        once(process),
        untouched(process),
        working_set(process),
        huge_pages(process),
        left_alone(process),
    ];
    all.into_iter().flatten().collect()
}

fn all_events(process: &Process) -> u64 {
    process.events.iter().sum()
}

/// How few pages have most events.
fn concentration(process: &Process) -> Option<String> {
    let share = pages_with(&process.temperature.curve, MANY)?;
    let pages = (share * process.pages as f64).ceil() as u64;
    let shown = percent(share, 1.0);
    match share < 0.75 {
        true => Some(format!(
            "{shown} of the touched pages ({}) have 90 % of the events.",
            bytes(pages * PAGE)
        )),
        false => Some(format!(
            "The events are spread evenly: it takes {shown} of the touched pages to have 90 % of them."
        )),
    }
}

/// The mapping with the most events, if that says something.
fn hottest_mapping(process: &Process) -> Option<String> {
    let row = process.mappings.first()?;
    let events: u64 = row.events.iter().sum();
    let (events, pages) = (
        events as f64 / all_events(process) as f64,
        row.pages as f64 / process.pages as f64,
    );
    let is_telling = process.mappings.len() > 1 && events >= 0.3;
    is_telling.then(|| {
        format!(
            "{} has {} of the events, on {} of the touched pages.",
            row.name,
            percent(events, 1.0),
            percent(pages, 1.0)
        )
    })
}

/// Pages that were touched and then never again.
fn once(process: &Process) -> Option<String> {
    let bin = process.temperature.bins.first()?;
    let share = bin.pages as f64 / process.pages as f64;
    let is_telling = bin.label == "one epoch" && share >= 0.2;
    is_telling.then(|| {
        format!(
            "{} of the touched pages ({}) were touched in one epoch only.",
            percent(share, 1.0),
            bytes(bin.pages * PAGE)
        )
    })
}

/// Memory that is there for nothing, as far as could be seen.
fn untouched(process: &Process) -> Option<String> {
    let untouched = process.distribution.untouched;
    let mapped = process.facts.most_mapped_pages;
    let share = untouched as f64 / mapped.max(1) as f64;
    if share < 0.1 {
        return None;
    }
    let (share, size) = (percent(share, 1.0), bytes(untouched * PAGE));
    match process.distribution.loads_watched {
        true => Some(format!(
            "{share} of the memory mapped at most at once ({size}) was never touched while it was recorded."
        )),
        false => Some(format!(
            "{share} of the memory mapped at most at once ({size}) was never written while it was recorded; whether it was \
             read is not known, as loads were not watched."
        )),
    }
}

/// How much is in use at a time.
fn working_set(process: &Process) -> Option<String> {
    let set = &process.working_set;
    (set.most > 0).then(|| {
        format!(
            "Half of the epochs that touched anything touched at most {} pages ({}); the most in one epoch is {} ({}).",
            grouped(set.median),
            bytes(set.median * PAGE),
            grouped(set.most),
            bytes(set.most * PAGE)
        )
    })
}

/// Whether huge pages would be filled.
fn huge_pages(process: &Process) -> Option<String> {
    let regions = &process.huge_pages;
    let half = regions.regions.len() / 2;
    let fuller: u64 = regions.regions[half..].iter().sum();
    let verb = if fuller == 1 { "has" } else { "have" };
    (regions.total > 1).then(|| {
        format!(
            "Huge pages: of {} touched regions of 2 MiB, {} {verb} more than half of their pages touched.",
            grouped(regions.total),
            grouped(fuller)
        )
    })
}

/// Pages whose events are too few.
fn left_alone(process: &Process) -> Option<String> {
    let pages = process.tracking.left_alone;
    (pages > 0).then(|| {
        format!(
            "Up to {} pages at a time were written so often that they were watched in one of 32 epochs only: they are \
             hotter than they look below (--max-overhead 100 watches them always).",
            grouped(pages)
        )
    })
}
