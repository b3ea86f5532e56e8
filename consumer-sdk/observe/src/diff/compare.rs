//! Two recordings side by side: totals, processes of one name, their mappings.

use super::CLOSE;
use super::quantity::{Quantity, Unit};
use crate::analysis::model::{Analysis, Facts, MappingRow, Process};
use std::collections::BTreeMap;

/// What has changed.
#[derive(Debug)]
pub(super) struct Comparison {
    /// What each recording is of, and when it began.
    pub(super) sides: [String; 2],
    /// Why the numbers may differ for reasons that are not the program's. Sentences.
    pub(super) warnings: Vec<String>,
    pub(super) totals: Vec<Quantity>,
    /// By name, what changed most first.
    pub(super) programs: Vec<Program>,
}

/// Processes of one name.
#[derive(Debug)]
pub(super) struct Program {
    /// The last part of the command's path.
    pub(super) name: String,
    /// How many processes.
    pub(super) processes: [usize; 2],
    pub(super) quantities: Vec<Quantity>,
    /// What changed most first.
    pub(super) mappings: Vec<Mapping>,
}

/// Mappings of one name and class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mapping {
    pub(super) name: String,
    pub(super) sides: [Option<MappingSide>; 2],
}

/// What they had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct MappingSide {
    /// Distinct pages.
    pub(super) pages: u64,
    /// Events in a second.
    pub(super) rate: f64,
    /// See [`MappingRow::frequency`].
    pub(super) frequency: f64,
}

impl Mapping {
    /// Events in a second, before and after.
    pub(super) fn rates(&self) -> [Option<f64>; 2] {
        self.sides.map(|side| side.map(|side| side.rate))
    }

    fn change(&self) -> f64 {
        difference(self.rates())
    }
}

/// How much a number has changed; what is not there is 0.
fn difference(values: [Option<f64>; 2]) -> f64 {
    let [before, after] = values.map(|value| value.unwrap_or(0.0));
    (after - before).abs()
}

impl Comparison {
    pub(super) fn of(before: &Analysis, after: &Analysis) -> Self {
        let both = [before, after];
        let mut programs: BTreeMap<String, [Vec<&Process>; 2]> = BTreeMap::new();
        for (side, analysis) in both.iter().enumerate() {
            for process in &analysis.close {
                let entry = programs.entry(name_of(&process.facts)).or_default();
                entry[side].push(process);
            }
        }
        let mut programs: Vec<Program> = programs.into_iter().map(program).collect();
        programs.sort_by(|a, b| b.change().total_cmp(&a.change()));
        Self {
            sides: both.map(|analysis| {
                let manifest = &analysis.manifest;
                format!("{}, recorded {}", manifest.what, manifest.began)
            }),
            warnings: warnings(both),
            totals: totals(both),
            programs,
        }
    }
}

impl Program {
    fn change(&self) -> f64 {
        let rate = self.quantities.iter().find(|q| q.unit == Unit::Rate);
        rate.map_or(0.0, |rate| difference(rate.values))
    }
}

/// The last part of the path of a command.
fn name_of(facts: &Facts) -> String {
    let path = facts.command.split_whitespace().next().unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default() {
        "" => "(not known)".into(),
        name => name.to_owned(),
    }
}

fn seconds(facts: &Facts) -> f64 {
    facts.last_ns.saturating_sub(facts.attached_ns).max(0) as f64 / 1e9
}

/// Events in a second; none where no time has passed.
fn rate(events: u64, seconds: f64) -> f64 {
    match seconds > 0.0 {
        true => events as f64 / seconds,
        false => 0.0,
    }
}

/// Numbers of all processes.
fn totals(both: [&Analysis; 2]) -> Vec<Quantity> {
    let quantity = |name, unit, of: &dyn Fn(&[Facts]) -> f64| Quantity {
        name,
        unit,
        values: both.map(|analysis| Some(of(&analysis.processes))),
    };
    let sum = |of: fn(&Facts) -> u64| {
        move |all: &[Facts]| all.iter().map(of).fold(0, u64::saturating_add) as f64
    };
    let time = |all: &[Facts]| {
        let first = all.iter().map(|facts| facts.attached_ns).min();
        let last = all.iter().map(|facts| facts.last_ns).max();
        let length = first
            .zip(last)
            .map(|(first, last)| last.saturating_sub(first));
        length.unwrap_or(0).max(0) as f64 / 1e9
    };
    let events = sum(|facts| facts.events);
    let per_second = |all: &[Facts]| rate(events(all) as u64, time(all));
    vec![
        quantity("time", Unit::Seconds, &time),
        quantity("processes", Unit::Count, &|all| all.len() as f64),
        quantity("events", Unit::Count, &events),
        quantity("events/s", Unit::Rate, &per_second),
        quantity("system calls", Unit::Count, &sum(|facts| facts.calls)),
        quantity("records lost", Unit::Count, &sum(|facts| facts.lost)),
    ]
}

fn program((name, sides): (String, [Vec<&Process>; 2])) -> Program {
    let quantity = |name, unit, of: &dyn Fn(&[&Process]) -> f64| Quantity {
        name,
        unit,
        values: [&sides[0], &sides[1]].map(|side| (!side.is_empty()).then(|| of(side))),
    };
    let kind = |kind: usize| move |side: &[&Process]| share_of_kind(side, kind);
    // Sets of several processes do not add up: they are those of the one with the most events, which comes first.
    let quantities = vec![
        quantity("time", Unit::Seconds, &all_seconds),
        quantity("events/s", Unit::Rate, &|side| {
            rate(all_events(side), all_seconds(side))
        }),
        quantity("pages", Unit::Pages, &|side| {
            side.iter().map(|process| process.pages).sum::<u64>() as f64
        }),
        quantity("set, median", Unit::Pages, &|side| {
            side[0].working_set.median as f64
        }),
        quantity("set, most", Unit::Pages, &|side| {
            side[0].working_set.most as f64
        }),
        quantity("untouched", Unit::Pages, &|side| {
            side.iter()
                .map(|process| process.distribution.untouched)
                .sum::<u64>() as f64
        }),
        quantity("write events", Unit::Share, &kind(0)),
        quantity("read events", Unit::Share, &kind(1)),
        quantity("kernel events", Unit::Share, &kind(2)),
        quantity("tracking", Unit::Share, &tracking),
        quantity("records lost", Unit::Count, &|side| {
            side.iter().map(|process| process.facts.lost).sum::<u64>() as f64
        }),
    ];
    Program {
        mappings: mappings(&sides),
        processes: [sides[0].len(), sides[1].len()],
        quantities,
        name,
    }
}

fn all_seconds(side: &[&Process]) -> f64 {
    side.iter().map(|process| seconds(&process.facts)).sum()
}

fn all_events(side: &[&Process]) -> u64 {
    side.iter().flat_map(|process| process.events).sum()
}

fn share_of_kind(side: &[&Process], kind: usize) -> f64 {
    let events: u64 = side.iter().map(|process| process.events[kind]).sum();
    events as f64 / all_events(side).max(1) as f64
}

/// Which share of the time tracking took, by estimate.
fn tracking(side: &[&Process]) -> f64 {
    let cost: u64 = side.iter().map(|process| process.tracking.cost_ns).sum();
    let spent: u64 = side.iter().map(|process| process.tracking.spent_ns).sum();
    cost as f64 / spent.max(1) as f64
}

/// Mappings of all processes of a name, those whose events changed most first.
fn mappings(sides: &[Vec<&Process>; 2]) -> Vec<Mapping> {
    let mut found: BTreeMap<(String, String), [Option<MappingSide>; 2]> = BTreeMap::new();
    for (side, processes) in sides.iter().enumerate() {
        let time = all_seconds(processes);
        for row in processes.iter().flat_map(|process| &process.mappings) {
            let key = (comparable_name(row), row.class.clone());
            let sum = found.entry(key).or_default()[side].get_or_insert_default();
            add(sum, row, time);
        }
    }
    let mapping = |((name, _), sides)| Mapping { name, sides };
    let mut mappings: Vec<Mapping> = found.into_iter().map(mapping).collect();
    // What was touched in neither is no change of what was touched.
    mappings.retain(|mapping| mapping.sides.iter().flatten().any(|side| side.pages > 0));
    mappings.sort_by(|a, b| b.change().total_cmp(&a.change()));
    mappings
}

fn add(sum: &mut MappingSide, row: &MappingRow, time: f64) {
    let pages = sum.pages + row.pages;
    let touched = sum.frequency * sum.pages as f64 + row.frequency * row.pages as f64;
    sum.frequency = touched / pages.max(1) as f64;
    sum.pages = pages;
    sum.rate += rate(row.events.iter().sum(), time);
}

/// The name without what is another one in each run: addresses, numbers of threads.
fn comparable_name(row: &MappingRow) -> String {
    match (row.class.as_str(), row.name.split_once(") 0x")) {
        ("thread-stack", _) if row.name.starts_with("[stack:") => "[stacks of threads]".into(),
        (_, Some((what, _))) if row.name.starts_with('(') => format!("{what})"),
        ("", _) if row.name.ends_with(" other mappings)") => "(other mappings)".into(),
        _ => row.name.clone(),
    }
}

/// What makes the recordings hard to compare.
fn warnings(both: [&Analysis; 2]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut differ = |what: &str, values: [String; 2], why: &str| {
        let [before, after] = values;
        if before != after {
            warnings.push(format!("{what}: {before} before, {after} after. {why}."));
        }
    };
    let machine = both.map(|analysis| {
        let machine = &analysis.manifest.machine;
        format!(
            "{} ({}, {} processors)",
            machine.host, machine.processor, machine.processors
        )
    });
    differ("Other machines", machine, "Speeds differ for that alone");
    let kernel = both.map(|analysis| analysis.manifest.machine.kernel.clone());
    differ(
        "Other kernels",
        kernel,
        "What tracking costs may differ for that alone",
    );
    let interval = both.map(|analysis| parameter(analysis, |facts| length(facts.interval_ns)));
    let why = "A page has one event for each epoch that touched it: with other epochs there are other numbers \
               of events, and other working sets";
    differ("Other lengths of epochs", interval, why);
    let track = both.map(|analysis| parameter(analysis, |facts| facts.track.clone()));
    differ(
        "Other accesses were watched",
        track,
        "Pages and events of one are not all looked for in the other",
    );
    let limit =
        both.map(|analysis| parameter(analysis, |facts| format!("{} %", facts.max_overhead)));
    differ(
        "Other limits of tracking",
        limit,
        "Epochs were stretched differently",
    );
    let resolution = both.map(|analysis| match analysis.manifest.resolution {
        None => "a row for each record".into(),
        Some(row) => format!(
            "{} and {}",
            length(row.time_ns as i64),
            crate::numbers::bytes(row.bytes)
        ),
    });
    differ(
        "Other resolutions",
        resolution,
        "Distinct pages and frequencies are estimates where rows are coarse",
    );
    for (analysis, side) in both.iter().zip(["before", "after"]) {
        let notes = analysis.notes.iter();
        warnings.extend(notes.map(|note| format!("Of the recording {side}: {note}")));
        let others = analysis.processes.len().saturating_sub(CLOSE);
        if others > 0 {
            warnings.push(format!(
                "Of the recording {side}, the {CLOSE} processes with the most events are compared one by one; {others} \
                 more are in the totals only."
            ));
        }
    }
    warnings
}

/// A parameter of all processes, each value once.
fn parameter(analysis: &Analysis, of: impl Fn(&Facts) -> String) -> String {
    let known = analysis
        .processes
        .iter()
        .filter(|facts| facts.end != "unknown");
    let mut values: Vec<String> = known.map(of).collect();
    values.sort();
    values.dedup();
    match values.is_empty() {
        true => "not known".into(),
        false => values.join(", "),
    }
}

fn length(ns: i64) -> String {
    match u64::try_from(ns) {
        Ok(ns) if ns > 0 => {
            humantime::format_duration(std::time::Duration::from_nanos(ns)).to_string()
        }
        _ => "as short as can be".into(),
    }
}
