//! The table, line by line as rows come in, and the JSON.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::machine::Machine;
use super::options::Options;
use super::row::{Comparison, Outcome, Recorded, Row, Tracking, Unit};
use super::stats::Spread;

/// Everything that is told.
pub(crate) struct Report {
    machine: Machine,
    rows: Vec<Row>,
    /// Standard output belongs to the JSON.
    table_to_stderr: bool,
    quick: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    quick: bool,
    machine: &'a Machine,
    rows: Vec<JsonRow<'a>>,
}

#[derive(Serialize)]
struct JsonRow<'a> {
    #[serde(flatten)]
    row: &'a Row,
    outcome: Outcome,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(machine: Machine, options: &Options) -> Self {
        let table_to_stderr = options.json.as_deref() == Some(Path::new("-"));
        Self {
            machine,
            rows: Vec::new(),
            table_to_stderr,
            quick: options.quick,
        }
    }

    fn line(&self, text: &str) {
        match self.table_to_stderr {
            true => eprintln!("{}", text.trim_end()),
            false => println!("{}", text.trim_end()),
        }
    }

    /// What the figures below depend on.
    pub(crate) fn print_machine(&self) {
        let m = &self.machine;
        self.line(&format!(
            "{}, {} CPUs, {} MiB, load {}",
            m.cpu, m.cpus, m.memory_mib, m.load_average
        ));
        self.line(&format!(
            "Linux {}, huge pages {}",
            m.kernel, m.transparent_huge_pages
        ));
        self.line(&format!("KVM: {}", m.kvm.describe()));
        self.line(&format!("vmmload: {}", m.vmmload));
        self.line("Medians; compared pair by pair, median (least to most).");
    }

    /// Prints and keeps a row.
    pub(crate) fn add(&mut self, row: Row) {
        if self.rows.last().is_none_or(|last| last.group != row.group) {
            self.line("");
            let cells = [
                row.group, "tracking", "native", "vmmload", "compared", "pairs", "target",
            ];
            self.line(&join(&cells.map(String::from)));
        }
        self.line(&join(&cells(&row)));
        if let Some(error) = &row.error {
            self.line(&format!("    ! {error}"));
        }
        if let Some(line) = recorded(&row) {
            self.line(&format!("    {line}"));
        }
        // A note holds for all rows of its scenario and is said once.
        let said = self.rows.last().is_some_and(|last| last.note == row.note);
        if let (false, Some(note)) = (said, &row.note) {
            self.line(&format!("    ({note})"));
        }
        self.rows.push(row);
    }

    /// How many targets are met, and which are not.
    pub(crate) fn print_verdict(&self) {
        let judged: Vec<_> = self
            .rows
            .iter()
            .filter_map(|row| Some((row, row.outcome().met?)))
            .collect();
        let missed: Vec<String> = judged
            .iter()
            .filter(|(_, met)| !met)
            .map(|(row, _)| title(row))
            .collect();
        self.line("");
        self.line(&format!(
            "{} of {} targets met",
            judged.len() - missed.len(),
            judged.len()
        ));
        missed
            .iter()
            .for_each(|name| self.line(&format!("  missed: {name}")));
    }

    /// Writes the JSON to a file, or to standard output for `-`.
    pub(crate) fn write_json(&self, path: &Path) -> Result<(), String> {
        let rows = self
            .rows
            .iter()
            .map(|row| JsonRow {
                row,
                outcome: row.outcome(),
            })
            .collect();
        let json = Json {
            version: 1,
            quick: self.quick,
            machine: &self.machine,
            rows,
        };
        write_json(&json, path)
    }
}

/// Writes a value as JSON to a file, or to standard output for `-`.
pub(crate) fn write_json(value: &impl Serialize, path: &Path) -> Result<(), String> {
    let text = serde_json::to_string_pretty(value).map_err(|e| format!("JSON: {e}"))?;
    if path == Path::new("-") {
        println!("{text}");
        return Ok(());
    }
    fs::write(path, text + "\n").map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn title(row: &Row) -> String {
    match row.tracking {
        Some(tracking) => format!("{}: {}, tracking {}", row.group, row.name, tracking.label()),
        None => format!("{}: {}", row.group, row.name),
    }
}

fn join(cells: &[String; 7]) -> String {
    let [name, tracking, native, inside, compared, pairs, target] = cells;
    format!(
        "{name:<46} {tracking:<8} {native:>13} {inside:>13}  {compared:<34} {pairs:>5}  {target}"
    )
}

fn cells(row: &Row) -> [String; 7] {
    let outcome = row.outcome();
    let median = |spread: Option<Spread>| {
        spread.map_or("-".into(), |spread| value(row.unit, spread.median, false))
    };
    // A reference row has neither half; its figure stands where the native one would.
    let native = outcome
        .native
        .or(outcome.mini_vm.filter(|_| outcome.inside.is_none()));
    [
        format!("  {}", row.name),
        row.tracking.map_or(String::new(), Tracking::label),
        median(native),
        median(outcome.inside),
        compared(row, &outcome),
        row.native.len().max(row.mini_vm.len()).to_string(),
        target(row, &outcome),
    ]
}

/// What was recorded in the median round.
fn recorded(row: &Row) -> Option<String> {
    let median = |of: fn(&Recorded) -> f64| {
        let figures: Vec<f64> = row.recorded.iter().map(of).collect();
        Spread::of(&figures).map(|spread| spread.median)
    };
    let epochs = median(|round| round.epochs)?;
    let each = median(|round| round.events / round.epochs.max(1.0))?;
    let length = median(|round| round.seconds * 1e9 / round.epochs.max(1.0))?;
    let mut line = format!(
        "{epochs:.0} epochs of {}, {each:.1} pages each",
        time(length)
    );
    if let Some(Tracking::ReadsToo(_)) = row.tracking {
        let reads = median(|round| round.reads / round.epochs.max(1.0))?;
        line += &format!(" and {reads:.1} only read");
    }
    for (figure, words) in [
        (
            median(|round| round.stretched)?,
            "ticks longer than asked for",
        ),
        (median(|round| round.ring_full)?, "exits for a full ring"),
    ] {
        if figure > 0.0 {
            line += &format!(", {figure:.0} {words}");
        }
    }
    Some(line)
}

fn compared(row: &Row, outcome: &Outcome) -> String {
    let spread = match row.comparison {
        Comparison::None => outcome.mini_vm,
        _ => outcome.compared,
    };
    let Some(Spread { median, min, max }) = spread else {
        return "-".into();
    };
    let show = |figure| comparison(row, figure);
    format!("{} ({} to {})", show(median), show(min), show(max))
}

fn comparison(row: &Row, figure: f64) -> String {
    match row.comparison {
        Comparison::Slowdown if figure < 10.0 => format!("{figure:.3}x"),
        Comparison::TimesBareExit => format!("{figure:.2} exits"),
        Comparison::Slowdown => format!("{figure:.1}x"),
        Comparison::None => value(row.unit, figure, false),
        _ => value(row.unit, figure, true),
    }
}

fn target(row: &Row, outcome: &Outcome) -> String {
    let (Some(limit), Some(met)) = (row.target_at_most, outcome.met) else {
        return String::new();
    };
    let verdict = match (met, outcome.compared.or(outcome.mini_vm)) {
        (true, _) => "met",
        (false, Some(_)) => "MISSED",
        (false, None) => "NOT MEASURED",
    };
    let over = if row.comparison == Comparison::OverBareExit {
        " over the exit"
    } else {
        ""
    };
    format!("at most {}{over}: {verdict}", comparison(row, limit))
}

/// A figure with its unit, and its sign where it is a difference.
fn value(unit: Unit, figure: f64, signed: bool) -> String {
    let sign = if signed && figure >= 0.0 { "+" } else { "" };
    let text = match unit {
        Unit::Nanoseconds => time(figure),
        Unit::NanosecondsPerPage => time(figure) + "/page",
        Unit::MegabytesPerSecond => format!("{figure:.0} MB/s"),
        Unit::Mips => format!("{figure:.0} MIPS"),
        Unit::Number => format!("{figure:.2}"),
        Unit::Times => format!("{figure:.3}x"),
        Unit::RequestsPerSecond | Unit::RowsPerSecond => format!("{figure:.0}/s"),
        Unit::Mebibytes => format!("{figure:.1} MiB"),
    };
    sign.to_owned() + &text
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds.abs() {
        ns if ns < 1e3 => format!("{nanoseconds:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} us", nanoseconds / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", nanoseconds / 1e6),
        _ => format!("{:.3} s", nanoseconds / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::{Unit, value};

    #[test]
    fn scales_times_to_what_can_be_read() {
        assert_eq!(value(Unit::Nanoseconds, 24.64, false), "24.6 ns");
        assert_eq!(value(Unit::Nanoseconds, 98_304.0, true), "+98.30 us");
        assert_eq!(
            value(Unit::NanosecondsPerPage, 2_600.0, false),
            "2.60 us/page"
        );
        assert_eq!(value(Unit::Nanoseconds, -15e6, true), "-15.00 ms");
    }
}
