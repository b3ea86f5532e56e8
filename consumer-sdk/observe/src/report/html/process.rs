//! The section of one process: what can be said in words, its charts, each with how to read it, and its mappings.

use super::super::page::{self, escape};
use super::super::{images, look};
use super::{LONGEST_TITLE, charts, heat, tables};
use crate::analysis::model::Process;
use crate::numbers::{bytes, grouped, percent};
use plotly::Plot;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// The id of a process's section.
pub(super) fn id(process: &Process) -> String {
    format!("p{}", images::prefix(&process.facts))
}

/// `Process 4711: COMMAND`.
pub(super) fn title(process: &Process) -> String {
    let facts = &process.facts;
    let command = look::shortened(&facts.command, LONGEST_TITLE);
    match facts.program {
        0 => format!("Process {}: {command}", facts.pid),
        program => format!(
            "Process {}, program {}: {command}",
            facts.pid,
            u64::from(program) + 1
        ),
    }
}

pub(super) fn section(process: &Process) -> String {
    let (id, title) = (id(process), escape(&title(process)));
    let mut html =
        format!("<section class=\"process\" id=\"{id}\">\n<h2><bdi>{title}</bdi></h2>\n");
    html.push_str(&findings(process));
    html.push_str(&summary(process));
    html.push_str(&warnings(process));
    match process.facts.track == "none" {
        true => html.push_str(
            "<p class=\"empty\">Pages were not watched (--track none), so there is nothing to draw.</p>\n",
        ),
        false => html.push_str(&figures(process, &id)),
    }
    html.push_str("</section>\n");
    html
}

fn findings(process: &Process) -> String {
    if process.findings.is_empty() {
        return String::new();
    }
    let items: String = process
        .findings
        .iter()
        .map(|finding| format!("<li>{}</li>\n", escape(finding)))
        .collect();
    format!("<ul class=\"findings\" aria-label=\"What can be said\">\n{items}</ul>\n")
}

/// Pages with what they are in bytes: `602 pages (2.4 MiB)`.
fn pages(count: u64) -> String {
    match count {
        1 => "1 page (4 KiB)".into(),
        count => format!("{} pages ({})", grouped(count), bytes(count * PAGE)),
    }
}

fn summary(process: &Process) -> String {
    let (facts, unit) = (&process.facts, super::plots::unit(process));
    let [write, read, kernel] = process.events.map(grouped);
    let reads = match process.distribution.loads_watched {
        true => format!("{read} read, "),
        false => String::new(),
    };
    let set = &process.working_set;
    let (from, to) = process.span;
    let mut lines = vec![
        ("Program", facts.command.clone()),
        ("End", tables::ending(facts)),
        (
            "Recorded",
            format!(
                "from {} to {} {}, in {} epochs{}",
                unit.convert(from),
                unit.convert(to),
                unit.axis(),
                grouped(process.tracking.epochs),
                stretched(process)
            ),
        ),
        ("Memory touched", pages(process.pages)),
        ("Events", format!("{write} write, {reads}{kernel} kernel")),
    ];
    if !set.points.is_empty() {
        let text = format!(
            "median {}; 90 % of the epochs have at most {}; most {}",
            pages(set.median),
            pages(set.ninety),
            pages(set.most)
        );
        lines.push(("Working set of an epoch", text));
    }
    if let Some(resident) = facts.resident_pages {
        lines.push(("In memory at the end", pages(resident)));
    }
    definitions(&lines)
}

/// That epochs went on for longer, and pages were left alone, to keep the price of tracking within its limit.
fn stretched(process: &Process) -> String {
    let tracking = &process.tracking;
    let mut text = String::new();
    if tracking.stretched > 0 {
        let stretched = grouped(tracking.stretched);
        text.push_str(&format!(", {stretched} of which were made longer"));
    }
    if tracking.spent_ns > 0 {
        let share = percent(tracking.cost_ns as f64, tracking.spent_ns as f64);
        text.push_str(&format!(
            "; tracking took about {share} of the program's time"
        ));
    }
    if tracking.left_alone > 0 {
        let left_alone = grouped(tracking.left_alone);
        text.push_str(&format!(
            "; up to {left_alone} pages that were written all the time were left alone for a while and have fewer events for that"
        ));
    }
    text
}

/// A list of terms and what there is to say to them.
pub(super) fn definitions(lines: &[(&str, String)]) -> String {
    let lines: String = lines
        .iter()
        .map(|(term, text)| {
            let text = escape(&look::unbroken(&look::shortened(text, 1000)));
            format!("<dt>{term}</dt><dd><bdi>{text}</bdi></dd>\n")
        })
        .collect();
    format!("<dl>\n{lines}</dl>\n")
}

/// What is missing, and what follows from that.
fn warnings(process: &Process) -> String {
    let facts = &process.facts;
    let warnings = [
        (
            facts.lost,
            "records were lost: the recorder could not keep up. Charts and tables are without them, so pages can look \
                      colder than they were; the chart of memory in use at a time shows when. Longer epochs (-i 1s) make fewer records",
        ),
        (
            facts.ring_dropped,
            "records found no memory in /dev/shm and are missing. Give it more room",
        ),
        (
            facts.heat_dropped,
            "events found no room in the table of totals: more memory was touched than it holds. Charts are of \
                              the records, which do have them",
        ),
        (
            facts.unknown_calls,
            "system calls were made of which it is not known what the kernel wrote for them: pages that only they \
                               filled are missing",
        ),
        (
            process.marks_left_out,
            "marks of the program are left out of the charts, because there are very many",
        ),
    ];
    let mut html: String = warnings
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|&(count, text)| warning(&format!("{} {text}.", grouped(count))))
        .collect();
    if facts.end == "died" {
        html.push_str(&warning(
            "The process was killed before it could say so: its last epoch is missing.",
        ));
    }
    html
}

pub(super) fn warning(text: &str) -> String {
    format!("<p class=\"warning\">{}</p>\n", escape(text))
}

/// A chart's frame: what it shows as a title, what that says, the chart, and how to read it.
fn figure(title: &str, lead: &str, chart: Option<String>, caption: &str) -> String {
    let empty = || {
        "<p class=\"empty\">Nothing to show: no page was touched while it was recorded.</p>\n"
            .into()
    };
    let chart = chart.unwrap_or_else(empty);
    let lead = match lead {
        "" => String::new(),
        lead => format!("<p class=\"lead\">{}</p>\n", escape(&look::unbroken(lead))),
    };
    format!(
        "<figure>\n<h3>{title}</h3>\n{lead}{chart}<figcaption>{}</figcaption>\n</figure>\n",
        escape(caption)
    )
}

fn figures(process: &Process, id: &str) -> String {
    let touched = process.pages > 0;
    let chart = |name: &str, there: bool, plot: fn(&Process) -> Plot, alt: &str| {
        let id = format!("{id}-{name}");
        there.then(|| page::chart(&id, &plot(process).to_json(), alt))
    };
    let heat_there = !process.heat.rows.is_empty() && process.heat.columns() > 0;
    let heat = heat_there.then(|| heat::figure(&format!("{id}-heatmap"), process));
    let temperature = &process.temperature;
    [
        figure(
            "Which memory was touched when",
            "Time goes from left to right, addresses from bottom to top. The darker a spot, the more of its pages were touched.",
            heat,
            "Names on the left are what lies there; addresses on the right are where it begins. White stripes stand for addresses \
             that are left out because nothing touched them. Dotted lines are marks of the program. Drag to zoom, double-click \
             for the whole, point at a spot for its numbers.",
        ),
        figure(
            "How often pages are touched",
            &often(process),
            chart("temperature", touched && !temperature.bins.is_empty(), charts::temperature,
                  "bars: how many pages were touched in which share of the epochs"),
            "Pages on the left were touched once or rarely and might be kept in slower memory; pages on the right are in use all the time. \
             Where nearly all are on the right, epochs were too long to tell them apart: record with -i 10ms.",
        ),
        figure(
            "How much of the activity the hottest pages have",
            &concentration(process),
            chart("concentration", touched && temperature.curve.len() > 1, charts::concentration,
                  "curve: share of all events that the hottest pages have"),
            "The more the curve bends to the upper left, the fewer pages have most of the events. Events say in how many epochs a \
             page was touched, not how many accesses it had in them.",
        ),
        figure(
            "How hot the memory is as time goes on",
            "Each stretch of time sorts all pages that have been touched so far.",
            chart("temperature-over-time", touched && !temperature.over_time.is_empty(), charts::temperature_over_time,
                  "stacked areas: hot, warm, cool and cold pages over time"),
            "A growing grey area is memory that was used once and is kept without being touched.",
        ),
        figure(
            "What was done with the pages",
            &distribution(process),
            chart("distribution", process.distribution != Default::default(), charts::distribution,
                  "one bar: pages by what was done with them"),
            distribution_caption(process),
        ),
        figure(
            "How much memory is in use at a time",
            &working_set(process),
            chart("working-set", touched && !process.working_set.points.is_empty(), charts::working_set,
                  "lines: pages touched in each epoch, by kind"),
            "This is the working set: distinct pages with an event in an epoch. The program needs about that much fast memory at a time.",
        ),
        figure(
            "How well huge pages would be used",
            &huge_pages(process),
            chart("huge-pages", process.huge_pages.total > 0, charts::huge_pages,
                  "bars: how many regions of 2 MiB have how many of their 512 pages touched"),
            "Each region of 2 MiB could be one huge page. Regions on the right use nearly all of it; those on the left would waste most.",
        ),
        format!(
            "<figure>\n<h3>Hottest and coldest mappings</h3>\n{}<figcaption>How often: share of the epochs in which an average \
             touched page of the mapping was touched. Columns can be sorted.</figcaption>\n</figure>\n",
            tables::mappings(process)
        ),
    ]
    .concat()
}

fn often(process: &Process) -> String {
    let bins = &process.temperature.bins;
    match (bins.first(), bins.last()) {
        (Some(first), Some(last)) if bins.len() > 1 => format!(
            "Of {}, {} are in the leftmost bar ({}) and {} in the rightmost ({}).",
            pages(process.pages),
            grouped(first.pages),
            first.label,
            grouped(last.pages),
            last.label
        ),
        _ => String::new(),
    }
}

/// What the hottest tenth has, read off the curve.
fn concentration(process: &Process) -> String {
    let curve = &process.temperature.curve;
    let share = curve.windows(2).find_map(|pair| {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        (x0 <= 0.1 && 0.1 <= x1 && x1 > x0).then(|| y0 + (y1 - y0) * (0.1 - x0) / (x1 - x0))
    });
    share.map_or_else(String::new, |share| {
        format!(
            "The hottest tenth of the pages has {} of all events.",
            percent(share, 1.0)
        )
    })
}

fn distribution(process: &Process) -> String {
    let parts = charts::distribution_parts(process);
    let whole: u64 = parts.iter().map(|part| part.1).sum();
    let said: Vec<String> = parts
        .iter()
        .map(|&(name, count, _)| {
            format!(
                "{name}: {}, {}",
                pages(count),
                percent(count as f64, whole as f64)
            )
        })
        .collect();
    format!(
        "Of {} mapped at most at once: {}.",
        pages(whole),
        said.join("; ")
    )
}

fn distribution_caption(process: &Process) -> &'static str {
    match process.distribution.loads_watched {
        true => {
            "Pages that were read and written only within the same epochs count as written. What was never touched was mapped all \
             the same, and perhaps never needed."
        }
        false => {
            "Loads were not watched, so it is not known which of the other pages were read: record with --track readwrite to \
             learn that."
        }
    }
}

fn working_set(process: &Process) -> String {
    let set = &process.working_set;
    match set.points.is_empty() {
        true => String::new(),
        false => format!(
            "Half of the epochs touch at most {}; the most in one was {}.",
            pages(set.median),
            pages(set.most)
        ),
    }
}

fn huge_pages(process: &Process) -> String {
    let huge = &process.huge_pages;
    match huge.total {
        0 => String::new(),
        total => format!(
            "{} regions were touched. Half of them use {} of their 512 pages or more; the mean is {:.1}.",
            grouped(total),
            huge.median,
            huge.mean
        ),
    }
}
