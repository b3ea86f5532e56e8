//! What the report says of one process.

use super::command;
use crate::analysis::model::{Facts, MappingRow, Process};
use crate::numbers::{bytes, grouped, percent, time};
use crate::plain::{bar, clean, cut, line, paragraph, table};
use std::time::Duration;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// Mappings in a table.
const MOST_MAPPINGS: usize = 12;
/// Marks that are listed.
const MOST_MARKS: usize = 20;
/// Characters of the longest bar.
const BAR: usize = 34;

/// All of it.
pub(super) fn section(process: &Process) -> String {
    let facts = &process.facts;
    let title = format!("Process {}: {}", facts.pid, command(facts));
    let mut text = format!("\n{}\n", cut(&title, crate::plain::WIDTH));
    text += &lines(process);
    if process.pages == 0 {
        return text + &line("pages", "no event was recorded");
    }
    text += &findings(&process.findings);
    text += &temperature(process);
    text += &regions(process);
    text += &hottest(process);
    text += &coldest(process);
    text + &marks(process)
}

/// A blank line and a title.
fn title(text: &str) -> String {
    format!("\n{}", paragraph("  ", "  ", text))
}

fn pages(number: u64) -> String {
    format!("{} ({})", grouped(number), bytes(number * PAGE))
}

fn lines(process: &Process) -> String {
    let facts = &process.facts;
    let (from, to) = process.span;
    let mut text = line(
        "recorded",
        &format!("from {from:.3} s to {to:.3} s after its start"),
    );
    text += &line("parameters", &parameters(facts));
    if process.tracking.epochs > 0 {
        text += &line("epochs", &epochs(process));
    }
    if process.pages == 0 {
        return text + &counters(facts);
    }
    let [write, read, kernel] = process.events.map(grouped);
    let reads = match process.distribution.loads_watched {
        true => format!("{read} read"),
        false => "loads were not watched (--track readwrite)".into(),
    };
    text += &line(
        "events",
        &format!("{write} write, {kernel} kernel; {reads}"),
    );
    text += &line("pages", &distribution(process));
    text += &line("working set", &working_set(process));
    text += &counters(facts);
    text
}

fn parameters(facts: &Facts) -> String {
    if facts.end == "unknown" {
        return "not known: the table of processes has no row of it (yet)".into();
    }
    let interval = match u64::try_from(facts.interval_ns) {
        Ok(ns) if ns > 0 => {
            let length = humantime::format_duration(Duration::from_nanos(ns));
            format!("epochs of {length}")
        }
        _ => "epochs as short as can be".into(),
    };
    let limit = match facts.max_overhead {
        100.. => "no limit of tracking".into(),
        percent => format!("tracking limited to {percent} % of the program's time"),
    };
    format!("{interval}, --track {}, {limit}", facts.track)
}

fn epochs(process: &Process) -> String {
    let tracking = &process.tracking;
    let shown = |ns: u64| time(Duration::from_nanos(ns));
    let mut text = grouped(tracking.epochs);
    if tracking.median_ns > 0 {
        text += &format!(
            ", median {}, longest {}; {} went on for longer than an interval",
            shown(tracking.median_ns),
            shown(tracking.longest_ns),
            grouped(tracking.stretched)
        );
    }
    if tracking.spent_ns > 0 {
        let share = percent(tracking.cost_ns as f64, tracking.spent_ns as f64);
        text += &format!("; tracking took about {share} of the time");
    }
    if tracking.left_alone > 0 {
        text += &format!(
            "; up to {} hot pages at a time were not watched",
            grouped(tracking.left_alone)
        );
    }
    text
}

/// What was done with the pages.
fn distribution(process: &Process) -> String {
    let all = &process.distribution;
    let kinds = match all.loads_watched {
        true => format!(
            "{} written, {} read only, {} both",
            grouped(all.written),
            grouped(all.read),
            grouped(all.both)
        ),
        false => format!("{} written", grouped(all.written)),
    };
    let mapped = process.facts.most_mapped_pages;
    let untouched = match mapped {
        0 => String::new(),
        _ => format!(
            "; mapped at most {}, {} of them ({}) without an event",
            pages(mapped),
            grouped(all.untouched),
            percent(all.untouched as f64, mapped as f64)
        ),
    };
    format!("{} touched: {kinds}{untouched}", pages(process.pages))
}

fn working_set(process: &Process) -> String {
    let set = &process.working_set;
    if set.most == 0 {
        return "not known: no epoch was recorded that touched any page".into();
    }
    let idle = match set.idle {
        0 => String::new(),
        1 => "; 1 epoch touched none".into(),
        idle => format!("; {} epochs touched none", grouped(idle)),
    };
    format!(
        "pages touched in an epoch: least {}, median {}, in nine of ten at most {}, most {}{idle}",
        grouped(set.least),
        pages(set.median),
        grouped(set.ninety),
        pages(set.most)
    )
}

fn counters(facts: &Facts) -> String {
    if facts.end == "unknown" {
        return String::new();
    }
    let without = match facts.calls_without_exit {
        0 => String::new(),
        some => format!(", {} of them without leaving the VM", grouped(some)),
    };
    let resident = match facts.resident_pages {
        Some(resident) => line("resident", &format!("{} at the end", pages(resident))),
        None => String::new(),
    };
    resident
        + &line(
            "calls",
            &format!("{} system calls{without}", grouped(facts.calls)),
        )
        + &line(
            "exits",
            &format!(
                "{}; threads started: {}",
                grouped(facts.vm_exits),
                grouped(facts.threads_started)
            ),
        )
}

fn findings(findings: &[String]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let sentences = findings.iter().map(|text| paragraph("  - ", "    ", text));
    title("What stands out") + &sentences.collect::<String>()
}

fn temperature(process: &Process) -> String {
    let bins = &process.temperature.bins;
    let largest = bins.iter().map(|bin| bin.pages).max().unwrap_or(0);
    let epochs = grouped(process.tracking.epochs);
    let mut text = title(&format!(
        "How often pages are touched: in which share of the {epochs} epochs"
    ));
    for bin in bins {
        let share = percent(bin.pages as f64, process.pages as f64);
        let line = format!(
            "  {:<14} {:>12} pages {share:>8}  {}",
            bin.label,
            grouped(bin.pages),
            bar(bin.pages, largest, BAR)
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// How regions of 2 MiB are filled, in eight bars.
fn regions(process: &Process) -> String {
    let regions = &process.huge_pages;
    if regions.total < 2 {
        return String::new();
    }
    let bars: Vec<u64> = regions
        .regions
        .chunks(2)
        .map(|two| two.iter().sum())
        .collect();
    let largest = bars.iter().copied().max().unwrap_or(0);
    let mut text = title(&format!(
        "Huge pages: touched pages of the 512 in {} regions of 2 MiB (median {}, mean {:.1})",
        grouped(regions.total),
        regions.median,
        regions.mean
    ));
    for (number, &count) in bars.iter().enumerate() {
        let label = format!("{} to {}", number * 64 + 1, number * 64 + 64);
        let line = format!(
            "  {label:<14} {:>12} regions         {}",
            grouped(count),
            bar(count, largest, BAR - 2)
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// The mappings with the most events.
fn hottest(process: &Process) -> String {
    const HEADINGS: [&str; 6] = ["PAGES", "EVENTS", "OF EPOCHS", "FIRST", "LAST", "MAPPING"];
    let touched = || process.mappings.iter().filter(|row| row.pages > 0);
    let cells = |row: &MappingRow| {
        [
            grouped(row.pages),
            grouped(row.events.iter().sum()),
            percent(row.frequency, 1.0),
            format!("{:.2} s", row.first),
            format!("{:.2} s", row.last),
            clean(&row.name),
        ]
    };
    let rows: Vec<_> = touched().take(MOST_MAPPINGS).map(cells).collect();
    let mut text = title("Where most events are; the share of the epochs is an average page's");
    text += &table(HEADINGS, &rows);
    let rest = touched().count() - rows.len();
    if rest > 0 {
        let events = touched().skip(MOST_MAPPINGS).flat_map(|row| row.events);
        text += &format!(
            "  and {} more mappings with {} events\n",
            grouped(rest as u64),
            grouped(events.sum())
        );
    }
    text
}

/// Mapped memory that was touched least.
fn coldest(process: &Process) -> String {
    const HEADINGS: [&str; 4] = ["MAPPED", "UNTOUCHED", "SHARE", "MAPPING"];
    let cold = |row: &MappingRow| row.bytes.saturating_sub(row.pages * PAGE);
    let mut rows: Vec<&MappingRow> = process.mappings.iter().collect();
    rows.retain(|row| cold(row) > 0);
    rows.sort_by_key(|row| std::cmp::Reverse(cold(row)));
    let cells = |row: &&MappingRow| {
        [
            bytes(row.bytes),
            bytes(cold(row)),
            percent(cold(row) as f64, row.bytes as f64),
            clean(&row.name),
        ]
    };
    let rows: Vec<_> = rows.iter().take(MOST_MAPPINGS).map(cells).collect();
    match rows.is_empty() {
        true => String::new(),
        false => title("Where most memory is mapped without an event") + &table(HEADINGS, &rows),
    }
}

fn marks(process: &Process) -> String {
    if process.marks.is_empty() {
        return String::new();
    }
    let mut text = title("What the program said");
    for mark in process.marks.iter().take(MOST_MARKS) {
        text += &format!("  {:>10.3} s  {}\n", mark.time, cut(&mark.name, 64));
    }
    let more = process.marks.len().saturating_sub(MOST_MARKS) as u64 + process.marks_left_out;
    if more > 0 {
        text += &format!("  and {} more marks\n", grouped(more));
    }
    text
}
