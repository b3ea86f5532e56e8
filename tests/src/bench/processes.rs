//! Rows about processes, threads and signals: single operations in a small C program, then shells and make.

use std::time::Duration;

use vmmload_tests::Guest;
use vmmload_tests::scratch::Scratch;

use super::generated;
use super::options::Options;
use super::pairs::{self, Metric, Scenario};
use super::row::{Comparison, EVERY_100_MS, Row, Tracking, Unit};
use super::rows::{fixed, read_wall, read_workload};
use super::runner::Runner;
use super::tools;

const GROUP: &str = "processes";

/// Starting a program may take this much longer.
const EXEC_NS: f64 = 12e6;
/// Building a program with make may take this many times longer.
const BUILDING: f64 = 2.0;

/// One operation of the guest `processes/cost`.
struct Operation {
    name: &'static str,
    workload: &'static str,
    /// How often in one run.
    times: u64,
    metrics: &'static [Metric],
}

const ROUND: &[Metric] = &metrics("round_ns", &[], &[]);

const OPERATIONS: &[Operation] = &[
    operation("fork, exit, wait", "fork", 30),
    operation("vfork, exit", "vfork", 30),
    Operation {
        metrics: &metrics("round_ns", &[], &[(EVERY_100_MS, EXEC_NS)]),
        ..operation("fork, exec of true", "fork-exec", 20)
    },
    operation("posix_spawn of true", "spawn", 20),
    operation("thread, create and join", "thread", 100),
    operation("signal to itself", "signal-self", 400),
    operation("signal to a thread and back", "signal-thread", 200),
];

const fn operation(name: &'static str, workload: &'static str, times: u64) -> Operation {
    Operation {
        name,
        workload,
        times,
        metrics: ROUND,
    }
}

/// Each figure twice: how many times slower, and how much longer.
const fn metrics(
    key: &'static str,
    slower: &'static [(Tracking, f64)],
    longer: &'static [(Tracking, f64)],
) -> [Metric; 2] {
    [
        Metric {
            key,
            label: "",
            unit: Unit::Nanoseconds,
            comparison: Comparison::Slowdown,
            targets: slower,
        },
        Metric {
            key,
            label: "over native",
            unit: Unit::Nanoseconds,
            comparison: Comparison::Difference,
            targets: longer,
        },
    ]
}

/// Runs the group's rows.
pub(crate) fn measure(runner: &Runner, options: &Options, add: &mut dyn FnMut(Row)) {
    let mut processes = Processes {
        runner,
        options,
        add,
    };
    for operation in OPERATIONS {
        processes.operation(operation);
    }
    for (name, shell) in [
        ("dash, script of 500 commands", "dash"),
        ("bash, script of 500 commands", "bash"),
    ] {
        processes.shell(name, shell);
    }
    processes.make();
}

struct Processes<'a> {
    runner: &'a Runner,
    options: &'a Options,
    add: &'a mut dyn FnMut(Row),
}

impl Processes<'_> {
    fn run(&mut self, scenario: &Scenario<'_>) {
        pairs::measure(scenario, None, self.runner, self.options, self.add);
    }

    /// What a row that was asked for needs is made now, and its line of command.
    fn prepare(
        &self,
        name: &str,
        line: impl FnOnce() -> Result<Vec<String>, String>,
    ) -> Result<Vec<String>, String> {
        match self.options.wants_row(GROUP, name) {
            true => line(),
            false => Err("left out by --only".into()),
        }
    }

    fn operation(&mut self, operation: &Operation) {
        let times = self
            .options
            .size(operation.times, operation.times.div_ceil(4));
        let line = self.prepare(operation.name, || {
            let guest = Guest::new("processes/cost").path().display().to_string();
            Ok(vec![guest, operation.workload.into(), times.to_string()])
        });
        self.run(&Scenario {
            group: GROUP,
            name: operation.name,
            commands: line.map(fixed),
            trackings: &[EVERY_100_MS],
            metrics: operation.metrics,
            read: read_workload,
            share: Duration::from_secs(12),
            factor: 1,
            note: None,
        });
    }

    fn shell(&mut self, name: &'static str, shell: &'static str) {
        let scratch = Scratch::new();
        let line = self.prepare(name, || {
            let shell = tools::ensure(shell, shell)?.display().to_string();
            let script = generated::script(&scratch, self.options.size(500, 100));
            Ok(vec![shell, script.display().to_string()])
        });
        self.run(&Scenario {
            group: GROUP,
            name,
            commands: line.map(fixed),
            trackings: &[EVERY_100_MS],
            metrics: &metrics("wall_ns", &[], &[])[..1],
            read: read_wall,
            share: Duration::from_secs(40),
            factor: 1,
            note: self.options.quick.then_some("100 commands, as it is quick"),
        });
    }

    fn make(&mut self) {
        const NAME: &str = "make -j2 of 100 files in C";
        let scratch = Scratch::new();
        let line = self.prepare(NAME, || {
            tools::ensure("gcc", "gcc libc6-dev")?;
            let make = tools::ensure("make", "make")?.display().to_string();
            let project = generated::project(&scratch, self.options.size(100, 10));
            let words = ["-B", "-s", "-j2", "-C"].map(String::from);
            let project = project.display().to_string();
            Ok([make].into_iter().chain(words).chain([project]).collect())
        });
        self.run(&Scenario {
            group: GROUP,
            name: NAME,
            commands: line.map(fixed),
            trackings: &[EVERY_100_MS],
            metrics: &metrics("wall_ns", &[(EVERY_100_MS, BUILDING)], &[])[..1],
            read: read_wall,
            share: Duration::from_secs(150),
            factor: 1,
            note: self.options.quick.then_some("10 files, as it is quick"),
        });
    }
}
