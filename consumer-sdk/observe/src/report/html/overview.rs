//! What stands around the processes: what was recorded, and what the numbers mean.

use super::super::{look, page::escape};
use super::process::{self, definitions, warning};
use super::{LONGEST_TITLE, tables};
use crate::analysis::model::Analysis;
use crate::numbers::{bytes, grouped, time};
use crate::recording::manifest::{End, Manifest};
use std::collections::BTreeSet;
use std::time::Duration;

/// The first section: what was run, when, where, and how it ended.
pub(super) fn header(analysis: &Analysis) -> String {
    let manifest = &analysis.manifest;
    let what = escape(&look::shortened(&manifest.what, LONGEST_TITLE));
    let mut html = format!(
        "<h1>What <code><bdi>{what}</bdi></code> did with its memory</h1>\n\
         <p class=\"lead\">vmmload watched which pages of memory the program touched, and when. A page is 4 KiB, the piece in which \
         processors and kernels manage memory.</p>\n<section id=\"overview\">\n<h2>What was recorded</h2>\n"
    );
    html.push_str(&definitions(&facts(analysis)));
    html.extend(analysis.notes.iter().map(|note| warning(note)));
    html.push_str(&tables::processes(&analysis.processes));
    html.push_str(&contents(analysis));
    html.push_str("</section>\n");
    html
}

fn facts(analysis: &Analysis) -> Vec<(&'static str, String)> {
    let manifest = &analysis.manifest;
    let machine = &manifest.machine;
    let ended = manifest.ended.as_deref().unwrap_or("not known");
    let mut facts = vec![
        ("Command", manifest.what.clone()),
        ("Began", moment(&manifest.began)),
        ("Ended", format!("{}; {}", moment(ended), ending(manifest))),
        (
            "Machine",
            format!(
                "{}: {} x {}, {}, Linux {}",
                machine.host,
                machine.processors,
                machine.processor,
                bytes(machine.memory),
                machine.kernel
            ),
        ),
        ("Watched", watched(analysis)),
        (
            "Recording",
            format!(
                "{} rows, by vmmload {}",
                grouped(manifest.rows),
                manifest.vmmload
            ),
        ),
    ];
    if let Some(rows) = manifest.resolution {
        let text = format!(
            "events within {} and {} are one row; charts are no finer than that",
            time(Duration::from_nanos(rows.time_ns)),
            bytes(rows.bytes)
        );
        facts.push(("Resolution", text));
    }
    facts
}

/// A time of day for people: `2031-02-03 04:05:06 UTC`.
fn moment(text: &str) -> String {
    match humantime::parse_rfc3339(text) {
        Ok(time) => {
            let text = humantime::format_rfc3339_seconds(time).to_string();
            text.replace('T', " ").replace('Z', " UTC")
        }
        Err(_) => text.into(),
    }
}

/// How the recording ended.
fn ending(manifest: &Manifest) -> String {
    match (manifest.end, manifest.status) {
        (End::Complete, Some(0)) => "the command succeeded".into(),
        (End::Complete, Some(status)) => format!("the command ended with status {status}"),
        (End::Complete, None) => "all processes had ended".into(),
        (End::Stopped, _) => "it was stopped while the program ran".into(),
        (End::Failed, _) => "recording failed".into(),
        (End::Unfinished, _) => "the recorder did not finish".into(),
    }
}

/// What was watched, at which interval: all that processes have in common or not.
fn watched(analysis: &Analysis) -> String {
    let of = |text: &dyn Fn(&crate::analysis::model::Facts) -> String| {
        let values: BTreeSet<String> = analysis.processes.iter().map(text).collect();
        values.into_iter().collect::<Vec<_>>().join(" or ")
    };
    let kinds = of(&|facts| match facts.track.as_str() {
        "write" => "stores, and what the kernel wrote; loads were not watched".into(),
        "readwrite" => "stores, loads, and what the kernel wrote".into(),
        "none" => "nothing (--track none)".into(),
        other => other.into(),
    });
    let interval = of(&|facts| match facts.interval_ns {
        ..=0 => "epochs as short as could be".into(),
        ns => format!(
            "epochs of {}",
            humantime::format_duration(Duration::from_nanos(ns.unsigned_abs()))
        ),
    });
    let limit = of(&|facts| format!("{} %", facts.max_overhead));
    format!(
        "{kinds}; {interval}, longer where watching would have taken more than {limit} of the program's time"
    )
}

/// Links to the sections of processes, where there are several.
fn contents(analysis: &Analysis) -> String {
    let close = &analysis.close;
    let others = analysis.processes.len().saturating_sub(close.len());
    let note = match others {
        0 => String::new(),
        count => format!(
            "<p class=\"note\">{} of these have no charts here: --processes N gives them to more, --pid PID to a certain one.</p>\n",
            grouped(count as u64)
        ),
    };
    if close.len() < 2 {
        return note;
    }
    let links: String = close
        .iter()
        .map(|process| {
            let title = escape(&process::title(process));
            format!(
                "<li><a href=\"#{}\"><bdi>{title}</bdi></a></li>\n",
                process::id(process)
            )
        })
        .collect();
    format!("{note}<nav aria-label=\"Processes\"><p>Charts of:</p><ul>\n{links}</ul></nav>\n")
}

/// The last section: what an event is, and what it is not.
pub(super) fn method(analysis: &Analysis) -> String {
    let loads = analysis
        .close
        .iter()
        .any(|process| process.distribution.loads_watched);
    let reads = match loads {
        true => {
            "A <em>read</em> event says that a page was read or executed in an epoch and not written in it: a page with both has a \
             write event only."
        }
        false => {
            "<em>Loads were not watched</em>: pages that were only read look as if nothing had touched them. \
             <code>vmmload record --track readwrite</code> watches them as well."
        }
    };
    format!(
        "<section id=\"method\">\n<h2>How to read this</h2>\n\
         <p>The program ran in a very small virtual machine. The processor's hardware notes there which pages are stored to; \
         vmmload collects these notes at the end of each <em>epoch</em>, a short span of time, and begins anew.</p>\n\
         <p>One <em>event</em> says: this page was touched in this epoch, at least once. It is not a number of accesses: one store and a million \
         stores in an epoch are one event. A page with ten times the events of another was seen in ten times as many epochs.</p>\n\
         <p>A <em>write</em> event is a store of the program. {reads} A <em>kernel</em> event says that the kernel wrote the page for the program, \
         in a system call such as read(2).</p>\n\
         <p><em>Hot</em> pages are touched in most epochs, <em>cold</em> ones rarely. Where an epoch is long, nearly all pages in use \
         are touched in it and look alike; shorter epochs (<code>-i 10ms</code>) tell them apart, and cost the program more time. Where watching takes \
         too much of its time, vmmload makes epochs longer, and leaves pages alone for a while that are written in each epoch; these \
         have fewer events than they would.</p>\n\
         <p>A <em>mapping</em> is a range of addresses with one purpose: the heap, a stack, a file, memory that the program asked for. \
         What several mappings of one file had is added up.</p>\n\
         <p>Not seen: what other processes, devices and asynchronous input and output write into the program's memory, and the \
         order of accesses within an epoch.</p>\n</section>\n"
    )
}
