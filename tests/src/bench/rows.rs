//! What is measured, group by group, with its targets.

use std::path::PathBuf;
use std::time::Duration;

use super::bare_exit::ExitMeter;
use super::costs;
use super::guest_api;
use super::huge_pages;
use super::io;
use super::options::Options;
use super::overhead;
use super::pairs::{self, Commands, Metric, Scenario, Values};
use super::processes;
use super::ring;
use super::row::Tracking::Off;
use super::row::{Comparison, EVERY_100_MS, EVERY_SECOND, Row, Tracking, Unit};
use super::runner::{Finished, Runner};
use super::tools;
use super::watched;

const COMPUTE: &str = "compute";
const MEMORY: &str = "memory";
const CALLS: &str = "calls";
const PAGES: &str = "pages";
const START: &str = "start-up";

/// With tracking off, what makes no system calls may take this much longer.
const UNTRACKED: f64 = 1.03;
/// With the default epoch, what only computes may take this much longer.
const COMPUTING: f64 = 1.02;
/// A relayed call may take this much longer than the bare exit.
const CALL_OVER_EXIT_NS: f64 = 2_000.0;
/// `true` may take this much longer.
const START_NS: f64 = 15e6;

/// How far the parent's clock and the workload's own may be apart: start-up and end, and 5 %.
const CLOCK_SLACK_NS: f64 = 1e9;

struct Bench<'a> {
    runner: &'a Runner,
    options: &'a Options,
    add: &'a mut dyn FnMut(Row),
}

/// Runs every row that the options leave in.
pub(crate) fn run_all(runner: &Runner, options: &Options, add: &mut dyn FnMut(Row)) {
    let mut bench = Bench {
        runner,
        options,
        add,
    };
    bench.compute();
    bench.memory();
    bench.calls();
    bench.pages();
    bench.start_up();
    processes::measure(runner, options, add);
    io::measure(runner, options, add);
    overhead::measure(runner, options, add);
    costs::measure(runner, options, add);
    huge_pages::measure(runner, options, add);
    ring::measure(options, add);
    guest_api::measure(runner, options, add);
    watched::measure(runner, options, add);
}

impl Bench<'_> {
    fn measure(&mut self, scenario: &Scenario<'_>) {
        pairs::measure(scenario, None, self.runner, self.options, self.add);
    }

    /// A foreign program, looked for and perhaps installed only for a row that will be run.
    fn tool(
        &self,
        group: &str,
        name: &str,
        find: impl FnOnce() -> Result<PathBuf, String>,
    ) -> Result<String, String> {
        match self.options.wants_row(group, name) {
            true => find().map(|path| path.display().to_string()),
            false => Err("left out by --only".into()),
        }
    }

    fn compute(&mut self) {
        const TRACKINGS: &[Tracking] = &[Off, EVERY_100_MS];
        const TARGETS: &[(Tracking, f64)] = &[(Off, UNTRACKED), (EVERY_100_MS, COMPUTING)];
        for (name, algorithm) in [
            ("openssl sha256", "sha256"),
            ("openssl aes-256-gcm", "aes-256-gcm"),
        ] {
            let openssl = self.tool(COMPUTE, name, || tools::ensure("openssl", "openssl"));
            let words = "speed -mr -elapsed -seconds 1 -bytes 16384 -evp";
            let line = openssl.map(|path| fixed(command(&path, words, algorithm)));
            self.measure(&Scenario {
                group: COMPUTE,
                name,
                commands: line,
                trackings: TRACKINGS,
                metrics: &[slowdown(
                    "throughput",
                    "",
                    Unit::MegabytesPerSecond,
                    TARGETS,
                )],
                read: read_openssl,
                share: Duration::from_secs(14),
                factor: 1,
                note: None,
            });
        }
        let steps = self.options.size(150_000_000, 60_000_000);
        self.measure(&Scenario {
            group: COMPUTE,
            name: "float loop",
            commands: Ok(fixed(self.runner.workload("float", &[steps]))),
            trackings: TRACKINGS,
            metrics: &[slowdown("loop_ns", "", Unit::Nanoseconds, TARGETS)],
            read: read_workload,
            share: Duration::from_secs(25),
            factor: 3,
            note: None,
        });
    }

    fn memory(&mut self) {
        const TRACKINGS: &[Tracking] = &[Off, EVERY_SECOND, EVERY_100_MS];
        const METRICS: &[Metric] = &[
            slowdown(
                "first_touch_ns",
                "first touch",
                Unit::NanosecondsPerPage,
                &[],
            ),
            slowdown(
                "pass_ns",
                "one pass",
                Unit::Nanoseconds,
                &[(Off, UNTRACKED)],
            ),
        ];
        let words = if self.options.quick {
            "b 1 -mmt1 -mtime=1"
        } else {
            "b 2 -mmt1 -mtime=1"
        };
        let dictionary = if self.options.quick { "-md18" } else { "-md20" };
        self.measure(&Scenario {
            group: MEMORY,
            name: "7z b",
            commands: self
                .tool(MEMORY, "7z b", tools::seven_zip)
                .map(|path| fixed(command(&path, words, dictionary))),
            // A run takes seconds, which --quick has not.
            trackings: if self.options.quick {
                &[Off, EVERY_100_MS]
            } else {
                TRACKINGS
            },
            metrics: &[slowdown("rating", "", Unit::Mips, &[])],
            read: read_seven_zip,
            share: Duration::from_secs(40),
            factor: 1,
            note: Some("its timed part includes the first touches: no target"),
        });
        let stream = self.options.size(256, 32);
        let zipf = self.options.size(128, 32);
        for (name, workload, mib) in [
            ("streaming writer", "stream", stream),
            ("Zipf 70/30 mix", "zipf", zipf),
        ] {
            let (runner, quick) = (self.runner, self.options.quick);
            let commands: Commands<'_> =
                Box::new(move |t| runner.workload(workload, &[mib, several_epochs_ms(t, quick)]));
            self.measure(&Scenario {
                group: MEMORY,
                name,
                commands: Ok(commands),
                trackings: TRACKINGS,
                metrics: METRICS,
                read: read_workload,
                share: Duration::from_secs(42),
                factor: 1,
                note: None,
            });
        }
    }

    fn calls(&mut self) {
        let mut meter = ExitMeter::new();
        for (name, measure) in [
            (
                "bare exit: port write",
                ExitMeter::port_write_ns as fn(&mut ExitMeter) -> _,
            ),
            (
                "bare relay: syscall, port write, return",
                ExitMeter::system_call_ns,
            ),
        ] {
            if self.options.wants_row(CALLS, name) {
                let row = reference(name, self.options.rounds(1), &mut meter, measure);
                (self.add)(row);
            }
        }
        const RELAYED: &[Tracking] = &[EVERY_100_MS];
        const OVER_EXIT: Metric = Metric {
            key: "call_ns",
            label: "",
            unit: Unit::Nanoseconds,
            comparison: Comparison::OverBareExit,
            targets: &[],
        };
        const GETPPID: &[Metric] = &[
            Metric {
                targets: &[(EVERY_100_MS, CALL_OVER_EXIT_NS)],
                ..OVER_EXIT
            },
            Metric {
                label: "over the bare relay",
                comparison: Comparison::OverBareRelay,
                ..OVER_EXIT
            },
        ];
        self.call("getppid", "getppid", RELAYED, GETPPID, &mut meter);
        self.call("read of 1 byte", "read", RELAYED, &[OVER_EXIT], &mut meter);
        self.call(
            "clock_gettime, call",
            "clock-call",
            RELAYED,
            &[OVER_EXIT],
            &mut meter,
        );
        const VDSO: &[Metric] = &[slowdown(
            "call_ns",
            "",
            Unit::Nanoseconds,
            &[(Off, UNTRACKED)],
        )];
        self.call(
            "clock_gettime, vDSO",
            "clock-vdso",
            &[Off],
            VDSO,
            &mut meter,
        );
    }

    fn call(
        &mut self,
        name: &'static str,
        workload: &str,
        trackings: &'static [Tracking],
        metrics: &'static [Metric],
        meter: &mut Result<ExitMeter, String>,
    ) {
        let commands = match meter {
            Ok(_) => Ok(fixed(self.runner.workload(workload, &[]))),
            Err(error) => Err(format!("bare exit: {error}")),
        };
        let scenario = Scenario {
            group: CALLS,
            name,
            commands,
            trackings,
            metrics,
            read: read_workload,
            share: Duration::from_secs(8),
            factor: 2,
            note: None,
        };
        pairs::measure(
            &scenario,
            meter.as_mut().ok(),
            self.runner,
            self.options,
            self.add,
        );
    }

    fn pages(&mut self) {
        const METRICS: &[Metric] = &[difference("page_ns", Unit::NanosecondsPerPage, &[])];
        let pages = self.options.size(8192, 2048);
        self.measure(&Scenario {
            group: PAGES,
            name: "first touch",
            commands: Ok(fixed(self.runner.workload("touch", &[pages]))),
            trackings: &[Off, EVERY_100_MS],
            metrics: METRICS,
            read: read_workload,
            share: Duration::from_secs(12),
            factor: 1,
            note: None,
        });
        // Pauses of two and a half epochs: every page is re-armed before it is written again.
        let arguments = [self.options.size(2048, 512), self.options.size(7, 3), 250];
        self.measure(&Scenario {
            group: PAGES,
            name: "write event (first write of an epoch)",
            commands: Ok(fixed(self.runner.workload("rewrite", &arguments))),
            trackings: &[Off, EVERY_100_MS],
            metrics: METRICS,
            read: read_workload,
            share: Duration::from_secs(20),
            factor: 1,
            note: None,
        });
    }

    fn start_up(&mut self) {
        const METRICS: &[Metric] = &[difference(
            "wall_ns",
            Unit::Nanoseconds,
            &[(EVERY_100_MS, START_NS)],
        )];
        let line = self.tool(START, "true", || tools::ensure("true", "coreutils"));
        self.measure(&Scenario {
            group: START,
            name: "true",
            commands: line.map(|path| fixed(vec![path])),
            trackings: &[EVERY_100_MS],
            metrics: METRICS,
            read: read_wall,
            share: Duration::from_secs(8),
            factor: 6,
            note: None,
        });
    }
}

const fn slowdown(
    key: &'static str,
    label: &'static str,
    unit: Unit,
    targets: &'static [(Tracking, f64)],
) -> Metric {
    Metric {
        key,
        label,
        unit,
        comparison: Comparison::Slowdown,
        targets,
    }
}

const fn difference(key: &'static str, unit: Unit, targets: &'static [(Tracking, f64)]) -> Metric {
    Metric {
        key,
        label: "",
        unit,
        comparison: Comparison::Difference,
        targets,
    }
}

/// Long enough to meet several re-armings, and no longer.
fn several_epochs_ms(tracking: Tracking, quick: bool) -> u64 {
    match (tracking, quick) {
        (Tracking::Off, true) => 300,
        (Tracking::Off, false) => 500,
        (EVERY_SECOND, true) => 2200,
        (EVERY_SECOND, false) => 3000,
        (_, true) => 500,
        (_, false) => 1000,
    }
}

/// The same command whatever the tracking.
pub(crate) fn fixed<'a>(line: Vec<String>) -> Commands<'a> {
    Box::new(move |_| line.clone())
}

fn command(program: &str, words: &str, last: &str) -> Vec<String> {
    let middle = words.split(' ').map(String::from);
    [program.to_owned()]
        .into_iter()
        .chain(middle)
        .chain([last.to_owned()])
        .collect()
}

/// A row that is a figure of the mini VM alone.
fn reference(
    name: &str,
    rounds: usize,
    meter: &mut Result<ExitMeter, String>,
    measure: fn(&mut ExitMeter) -> Result<f64, String>,
) -> Row {
    let mut row = Row::new(CALLS, name, Unit::Nanoseconds);
    row.comparison = Comparison::None;
    let samples = match meter {
        Ok(meter) => (0..rounds).map(|_| measure(meter)).collect(),
        Err(error) => Err(error.clone()),
    };
    match samples {
        Ok(samples) => row.mini_vm = samples,
        Err(error) => row.error = Some(error),
    }
    row
}

fn wall(finished: &Finished) -> Values {
    Values::from([("wall_ns".to_owned(), finished.wall.as_nanos() as f64)])
}

/// For programs that tell nothing themselves.
pub(crate) fn read_wall(finished: &Finished) -> Result<Values, String> {
    Ok(wall(finished))
}

/// The `key value` lines of our own workloads, believed only if their clock agrees with ours.
pub(crate) fn read_workload(finished: &Finished) -> Result<Values, String> {
    let mut values = wall(finished);
    for line in finished.stdout.lines() {
        let (key, value) = line.split_once(' ').ok_or(format!("what is '{line}'?"))?;
        let value = value.parse().map_err(|e| format!("'{line}': {e}"))?;
        values.insert(key.to_owned(), value);
    }
    let total = *values.get("total_ns").ok_or("it ended without its total")?;
    let wall = values["wall_ns"];
    match (wall - total).abs() <= CLOCK_SLACK_NS + wall * 0.05 {
        true => Ok(values),
        false => Err(format!(
            "its clock says {:.3} s and ours {:.3} s",
            total / 1e9,
            wall / 1e9
        )),
    }
}

/// `+F:25:sha256:1245528064.00` is bytes per second.
fn read_openssl(finished: &Finished) -> Result<Values, String> {
    let line = finished.stdout.lines().find(|line| line.starts_with("+F:"));
    let field = line
        .and_then(|line| line.rsplit(':').next())
        .ok_or("no +F: line")?;
    let bytes: f64 = field.parse().map_err(|e| format!("'{field}': {e}"))?;
    Ok(Values::from([("throughput".to_owned(), bytes / 1e6)]))
}

/// The last column of `Tot:   99   3693   3671` is the rating in MIPS.
fn read_seven_zip(finished: &Finished) -> Result<Values, String> {
    let line = finished
        .stdout
        .lines()
        .find(|line| line.starts_with("Tot:"));
    let field = line
        .and_then(|line| line.split_whitespace().last())
        .ok_or("no Tot: line")?;
    let rating: f64 = field.parse().map_err(|e| format!("'{field}': {e}"))?;
    Ok(Values::from([("rating".to_owned(), rating)]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Finished, read_openssl, read_seven_zip, read_workload};

    fn printed(stdout: &str) -> Finished {
        Finished {
            wall: Duration::from_secs(10),
            stdout: stdout.to_owned(),
            stderr: String::new(),
        }
    }

    #[test]
    fn reads_the_throughput_of_openssl() {
        let values = read_openssl(&printed("+H:16384\n+F:25:sha256:1245528064.00\n"));
        assert_eq!(values.expect("a figure")["throughput"], 1_245.528_064);
    }

    #[test]
    fn reads_the_total_rating_of_seven_zip() {
        let values = read_seven_zip(&printed("Avr: 1 2\nTot:              99   3693   3671\n"));
        assert_eq!(values.expect("a figure")["rating"], 3671.0);
    }

    #[test]
    fn believes_a_workload_whose_clock_agrees() {
        let values = read_workload(&printed("page_ns 12.5\ntotal_ns 9900000000\n"));
        assert_eq!(values.expect("figures")["page_ns"], 12.5);
    }

    #[test]
    fn rejects_a_workload_whose_clock_runs_slow() {
        assert!(read_workload(&printed("page_ns 12.5\ntotal_ns 5000000000\n")).is_err());
    }
}
