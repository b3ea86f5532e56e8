//! One line of the result: samples in pairs, how they compare, and what was to be reached.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::stats::Spread;

/// What a sample counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Nanoseconds; less is better.
    Nanoseconds,
    /// Nanoseconds per page; less is better.
    NanosecondsPerPage,
    /// 10^6 bytes per second; more is better.
    MegabytesPerSecond,
    /// 7-Zip's own rating; more is better.
    Mips,
    /// What a server answers; more is better.
    RequestsPerSecond,
    /// Rows of a recording; more is better.
    RowsPerSecond,
    /// A number of what the row's name says; less is better.
    Number,
    /// A ratio; less is better.
    Times,
    /// 2^20 bytes; less is better.
    Mebibytes,
}

impl Unit {
    fn more_is_better(self) -> bool {
        matches!(
            self,
            Unit::MegabytesPerSecond | Unit::Mips | Unit::RequestsPerSecond | Unit::RowsPerSecond
        )
    }
}

/// How the two halves of a pair are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Comparison {
    /// How many times slower inside.
    Slowdown,
    /// How much more inside.
    Difference,
    /// How much more inside than the bare exit measured beside it.
    OverBareExit,
    /// How many times the bare exit measured beside it.
    TimesBareExit,
    /// How much more inside than the bare relay measured beside it: where `syscall` itself has to be
    /// emulated, this leaves out what no relay could save.
    OverBareRelay,
    /// Nothing to compare: the row is a figure by itself, and what is to be reached is that.
    None,
}

/// Tracking during a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracking {
    Off,
    /// Epochs of so many milliseconds.
    Every(u32),
    /// The same, however much of the time that takes.
    Unlimited(u32),
    /// The same within the default limit, and reads as well.
    ReadsToo(u32),
    /// Epochs of 100 ms, and a dirty ring of so many entries.
    Ring(u32),
}

pub(crate) const EVERY_SECOND: Tracking = Tracking::Every(1000);
pub(crate) const EVERY_100_MS: Tracking = Tracking::Every(100);

impl Tracking {
    /// As the table shows it.
    pub(crate) fn label(self) -> String {
        match self {
            Tracking::Off => "off".into(),
            Tracking::Every(ms) if ms % 1000 == 0 => format!("{} s", ms / 1000),
            Tracking::Every(ms) => format!("{ms} ms"),
            Tracking::Unlimited(ms) => Tracking::Every(ms).label() + "*",
            Tracking::ReadsToo(ms) => Tracking::Every(ms).label() + " r",
            Tracking::Ring(entries) => entries.to_string(),
        }
    }

    /// Length of an epoch.
    pub(crate) fn epoch(self) -> Duration {
        match self {
            Tracking::Every(ms) | Tracking::Unlimited(ms) | Tracking::ReadsToo(ms) => {
                Duration::from_millis(ms.into())
            }
            Tracking::Off | Tracking::Ring(_) => Duration::from_millis(100),
        }
    }

    /// As `vmmload run` takes it.
    pub(crate) fn arguments(self) -> Vec<String> {
        let line = match self {
            Tracking::Off => "--track none".into(),
            Tracking::Every(ms) => format!("-i {ms}ms"),
            Tracking::Unlimited(ms) => format!("-i {ms}ms --max-overhead 100"),
            Tracking::ReadsToo(ms) => format!("-i {ms}ms --track readwrite"),
            Tracking::Ring(entries) => format!("--buffer {entries}"),
        };
        line.split(' ').map(String::from).collect()
    }
}

impl Serialize for Tracking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.label().replace(' ', ""))
    }
}

/// What was recorded while a fixed amount of work was done.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Recorded {
    pub(crate) epochs: f64,
    /// Pages of the workload's own buffer that were written, each once an epoch.
    pub(crate) events: f64,
    /// Pages of it that were read and not written, each once an epoch.
    pub(crate) reads: f64,
    pub(crate) seconds: f64,
    /// Ticks over which vmmload's epochs went on, to keep its share of the time.
    pub(crate) stretched: f64,
    pub(crate) ring_full: f64,
}

/// One row of the table and of the JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) tracking: Option<Tracking>,
    pub(crate) unit: Unit,
    pub(crate) comparison: Comparison,
    /// Sample `i` of `native`, `inside` and, where there is one, `mini_vm` belong together.
    pub(crate) native: Vec<f64>,
    pub(crate) inside: Vec<f64>,
    pub(crate) mini_vm: Vec<f64>,
    /// Where the workload's pages are counted, one for each pair.
    pub(crate) recorded: Vec<Recorded>,
    /// The comparison's median over the pairs, or the figure's, may be at most this (a factor, or in the row's unit).
    pub(crate) target_at_most: Option<f64>,
    pub(crate) note: Option<String>,
    /// Why (further) samples are missing.
    pub(crate) error: Option<String>,
}

/// What a row comes to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) native: Option<Spread>,
    pub(crate) inside: Option<Spread>,
    pub(crate) mini_vm: Option<Spread>,
    /// Of the per-pair comparisons, not the comparison of the medians.
    pub(crate) compared: Option<Spread>,
    pub(crate) met: Option<bool>,
}

impl Row {
    /// A row without samples.
    pub(crate) fn new(group: &'static str, name: impl Into<String>, unit: Unit) -> Self {
        Self {
            group,
            name: name.into(),
            tracking: None,
            unit,
            comparison: Comparison::Difference,
            native: Vec::new(),
            inside: Vec::new(),
            mini_vm: Vec::new(),
            recorded: Vec::new(),
            target_at_most: None,
            note: None,
            error: None,
        }
    }

    /// Medians, the per-pair comparison and whether the target is met.
    pub(crate) fn outcome(&self) -> Outcome {
        let compared = Spread::of(&self.per_pair());
        let judged = match self.comparison {
            Comparison::None => Spread::of(&self.mini_vm),
            _ => compared,
        };
        let met = self
            .target_at_most
            .map(|limit| judged.is_some_and(|figure| figure.median <= limit));
        Outcome {
            native: Spread::of(&self.native),
            inside: Spread::of(&self.inside),
            mini_vm: Spread::of(&self.mini_vm),
            compared,
            met,
        }
    }

    fn per_pair(&self) -> Vec<f64> {
        let base = match self.comparison {
            Comparison::OverBareExit | Comparison::OverBareRelay | Comparison::TimesBareExit => {
                &self.mini_vm
            }
            _ => &self.native,
        };
        base.iter()
            .zip(&self.inside)
            .map(|(&base, &inside)| self.compare(base, inside))
            .collect()
    }

    fn compare(&self, base: f64, inside: f64) -> f64 {
        match self.comparison {
            Comparison::Slowdown if self.unit.more_is_better() => base / inside,
            Comparison::Slowdown | Comparison::TimesBareExit => inside / base,
            _ => inside - base,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Comparison, Row, Unit};

    fn row(unit: Unit, comparison: Comparison, native: &[f64], inside: &[f64]) -> Row {
        let mut row = Row::new("group", "row", unit);
        row.comparison = comparison;
        row.native = native.to_vec();
        row.inside = inside.to_vec();
        row
    }

    #[test]
    fn half_the_throughput_is_a_slowdown_of_two() {
        let row = row(
            Unit::MegabytesPerSecond,
            Comparison::Slowdown,
            &[100.0],
            &[50.0],
        );
        assert_eq!(row.outcome().compared.expect("one pair").median, 2.0);
    }

    #[test]
    fn compares_within_pairs_and_not_the_medians() {
        let row = row(
            Unit::Nanoseconds,
            Comparison::Slowdown,
            &[1.0, 10.0, 3.0],
            &[2.0, 10.0, 3.0],
        );
        assert_eq!(row.outcome().compared.expect("three pairs").median, 1.0);
    }

    #[test]
    fn a_row_with_a_target_and_no_samples_has_missed_it() {
        let mut row = row(Unit::Nanoseconds, Comparison::Slowdown, &[], &[]);
        row.target_at_most = Some(1.02);
        assert_eq!(row.outcome().met, Some(false));
    }
}
