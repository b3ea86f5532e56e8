//! Rows about what a program says to vmmload: natively, where it must cost next to nothing, and inside, where it is an exit
//! and what is done with it.

use std::time::Duration;

use vmmload_tests::c_library::COMPILERS;
use vmmload_tests::guest_library::{compiled, compiler, in_python};
use vmmload_tests::packages;
use vmmload_tests::scratch::Scratch;

use super::bare_exit::ExitMeter;
use super::options::Options;
use super::pairs::{self, Metric, Scenario};
use super::row::{Comparison, EVERY_100_MS, Row, Unit};
use super::rows::{fixed, read_workload};
use super::runner::Runner;

const GROUP: &str = "guest";

const fn metric(key: &'static str, label: &'static str, comparison: Comparison) -> Metric {
    Metric {
        key,
        label,
        unit: Unit::Nanoseconds,
        comparison,
        targets: &[],
    }
}

const MARK: Metric = metric("mark_ns", "mark", Comparison::TimesBareExit);
const IN_C: &[Metric] = &[
    MARK,
    metric("name_ns", "name_region", Comparison::TimesBareExit),
    metric("epoch_ns", "epoch", Comparison::TimesBareExit),
];
const IN_PYTHON: &[Metric] = &[
    MARK,
    metric("empty_ns", "an empty function", Comparison::Slowdown),
];

/// A row's name, the command line that it takes, and what the command tells.
type Language<'a> = (&'static str, &'a dyn Fn() -> Vec<String>, &'static [Metric]);

/// Runs every row that the options leave in.
pub(crate) fn measure(runner: &Runner, options: &Options, add: &mut dyn FnMut(Row)) {
    let mut meter = ExitMeter::new();
    let scratch = Scratch::new();
    let in_c = || {
        let command = compiler(&COMPILERS[0], "gnu11");
        let program = compiled(&scratch, command, &["cost"], &[]);
        vec![program.display().to_string()]
    };
    let in_rust = || runner.workload("mark", &[]);
    let by_python = || in_python(packages::python(), "cost").words();
    let languages: [Language<'_>; 3] = [
        ("C", &in_c, IN_C),
        ("Rust", &in_rust, &[MARK]),
        ("Python", &by_python, IN_PYTHON),
    ];
    for (name, command, metrics) in languages {
        if !options.wants_row(GROUP, name) {
            continue;
        }
        let commands = match &meter {
            Ok(_) => Ok(fixed(command())),
            Err(error) => Err(format!("bare exit: {error}")),
        };
        let scenario = Scenario {
            group: GROUP,
            name,
            commands,
            trackings: &[EVERY_100_MS],
            metrics,
            read: read_workload,
            share: Duration::from_secs(15),
            factor: 1,
            note: Some("compared: a call inside, as a multiple of the bare exit"),
        };
        pairs::measure(&scenario, meter.as_mut().ok(), runner, options, add);
    }
}
