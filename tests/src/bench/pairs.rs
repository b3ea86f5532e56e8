//! Runs a scenario in pairs, N V N V ..., and turns each of its figures into rows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::bare_exit::ExitMeter;
use super::options::Options;
use super::row::{Comparison, Row, Tracking, Unit};
use super::runner::{self, Finished, Runner};

/// The figures of one run by name.
pub(crate) type Values = BTreeMap<String, f64>;

/// Makes the command line; tracked runs may need to last longer to meet their epochs.
pub(crate) type Commands<'a> = Box<dyn Fn(Tracking) -> Vec<String> + 'a>;

/// One figure of a run, which becomes one row per tracking setting.
pub(crate) struct Metric {
    /// Its name in `Values`.
    pub(crate) key: &'static str,
    /// Follows the scenario's name in the table; may be empty.
    pub(crate) label: &'static str,
    pub(crate) unit: Unit,
    pub(crate) comparison: Comparison,
    /// What the comparison may be at most, where there is a target.
    pub(crate) targets: &'static [(Tracking, f64)],
}

/// A command to run natively and inside, and what to read off it.
pub(crate) struct Scenario<'a> {
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    /// Or why it cannot run.
    pub(crate) commands: Result<Commands<'a>, String>,
    pub(crate) trackings: &'static [Tracking],
    pub(crate) metrics: &'a [Metric],
    pub(crate) read: fn(&Finished) -> Result<Values, String>,
    /// Of a full run's time.
    pub(crate) share: Duration,
    /// Rounds are the option's number times this.
    pub(crate) factor: usize,
    pub(crate) note: Option<&'static str>,
}

struct Pair {
    native: Values,
    inside: Values,
    bare: Option<Bare>,
}

/// What the mini VM takes, in nanoseconds.
#[derive(Clone, Copy)]
struct Bare {
    exit: f64,
    relay: f64,
}

impl Bare {
    fn measure(meter: &mut ExitMeter) -> Result<Self, String> {
        Ok(Self {
            exit: meter.port_write_ns()?,
            relay: meter.system_call_ns()?,
        })
    }

    fn mean(self, other: Self) -> Self {
        Self {
            exit: (self.exit + other.exit) / 2.0,
            relay: (self.relay + other.relay) / 2.0,
        }
    }

    /// The one that a row is compared with.
    fn for_comparison(self, comparison: Comparison) -> Option<f64> {
        match comparison {
            Comparison::OverBareExit | Comparison::TimesBareExit => Some(self.exit),
            Comparison::OverBareRelay => Some(self.relay),
            _ => None,
        }
    }
}

/// Runs all rounds of a scenario and hands over its rows. With a meter, the bare exit is measured
/// before and after each run inside, as it drifts by more than what a relayed call adds to it.
pub(crate) fn measure(
    scenario: &Scenario<'_>,
    mut meter: Option<&mut ExitMeter>,
    runner: &Runner,
    options: &Options,
    add: &mut dyn FnMut(Row),
) {
    if !options.wants_row(scenario.group, scenario.name) {
        return;
    }
    // One column of rows, one per metric, for each tracking setting.
    let mut columns: Vec<Vec<Row>> = scenario
        .trackings
        .iter()
        .map(|&tracking| empty_rows(scenario, tracking))
        .collect();
    let share = options.share(scenario.share);
    let (started, mut longest) = (Instant::now(), Duration::ZERO);
    for round in 0..options.rounds(scenario.factor) {
        if round > 0 && started.elapsed() + longest > share {
            break;
        }
        let round_started = Instant::now();
        for (rows, &tracking) in columns.iter_mut().zip(scenario.trackings) {
            // What failed once would fail again, at the same cost.
            if rows.iter().all(|row| row.error.is_none()) {
                let pair = run_pair(scenario, tracking, meter.as_deref_mut(), runner);
                record(rows, scenario.metrics, pair);
            }
        }
        longest = longest.max(round_started.elapsed());
    }
    for index in 0..scenario.metrics.len() {
        columns.iter().for_each(|rows| add(rows[index].clone()));
    }
}

fn empty_rows(scenario: &Scenario<'_>, tracking: Tracking) -> Vec<Row> {
    let row = |metric: &Metric| {
        let separator = if metric.label.is_empty() { "" } else { ", " };
        let name = format!("{}{separator}{}", scenario.name, metric.label);
        let target = metric
            .targets
            .iter()
            .find(|(for_tracking, _)| *for_tracking == tracking);
        Row {
            tracking: Some(tracking),
            comparison: metric.comparison,
            target_at_most: target.map(|&(_, at_most)| at_most),
            note: scenario.note.map(String::from),
            ..Row::new(scenario.group, name, metric.unit)
        }
    };
    scenario.metrics.iter().map(row).collect()
}

fn run_pair(
    scenario: &Scenario<'_>,
    tracking: Tracking,
    mut meter: Option<&mut ExitMeter>,
    runner: &Runner,
) -> Result<Pair, String> {
    let command = scenario.commands.as_ref().map_err(Clone::clone)?(tracking);
    let mut bare = || meter.as_deref_mut().map(Bare::measure).transpose();
    let once = |side: &str, line: &[String]| {
        let values = runner::run(line).and_then(|finished| (scenario.read)(&finished));
        values.map_err(|e| format!("{side}: {e}"))
    };
    let native = once("native", &command)?;
    let before = bare()?;
    let inside = once("inside", &runner.inside(tracking, &command))?;
    let after = bare()?;
    Ok(Pair {
        native,
        inside,
        bare: before.zip(after).map(|(before, after)| before.mean(after)),
    })
}

fn record(rows: &mut [Row], metrics: &[Metric], pair: Result<Pair, String>) {
    for (row, metric) in rows.iter_mut().zip(metrics) {
        match &pair {
            Ok(pair) => match (pair.native.get(metric.key), pair.inside.get(metric.key)) {
                (Some(&native), Some(&inside)) => {
                    row.native.push(native);
                    row.inside.push(inside);
                    let bare = pair
                        .bare
                        .and_then(|bare| bare.for_comparison(row.comparison));
                    row.mini_vm.extend(bare);
                }
                _ => row.error = Some(format!("its output has no {}", metric.key)),
            },
            Err(error) => row.error = Some(error.clone()),
        }
    }
}
