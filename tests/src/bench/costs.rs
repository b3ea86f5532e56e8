//! Rows about the cost of tracking: the same work with epochs of several lengths and with
//! dirty rings of several sizes, and beside them the same work tracked natively by its own process.

use std::time::{Duration, Instant};

use vmmload_tests::Guest;

use super::options::Options;
use super::row::{Comparison, EVERY_100_MS, EVERY_SECOND, Row, Tracking, Unit};
use super::runner::Runner;
use super::worker;

const EPOCHS: &str = "epochs";
const BUFFER: &str = "buffer";

/// No further round begins after this: small rings can make a round very long.
const LIMIT_MS: u64 = 3_000;
const QUICK_LIMIT_MS: u64 = 1_000;

/// A workload of the guest `costs/workloads`, and rounds of it that take a second natively, about.
struct Workload {
    name: &'static str,
    word: &'static str,
    kib: u64,
    rounds_a_second: u64,
    /// Where as many rounds would take too long inside: those that are done there, and beside it natively.
    rounds_inside: Option<u64>,
    note: &'static str,
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "streaming writer",
        word: "stream",
        kib: 8 << 10,
        rounds_a_second: 1_500,
        rounds_inside: None,
        note: "a round writes all words of 8 MiB in order; *: --max-overhead 100",
    },
    Workload {
        name: "Zipf 70/30 mix",
        word: "zipf",
        kib: 8 << 10,
        rounds_a_second: 3_000,
        rounds_inside: None,
        note: "a round is 65,536 reads (70 %) and writes (30 %) of single words of 8 MiB; r: --track readwrite",
    },
    Workload {
        name: "compute",
        word: "compute",
        kib: 64,
        rounds_a_second: 4_000,
        rounds_inside: None,
        note: "a round is a float loop, whose result goes to the next page of 64 KiB",
    },
    Workload {
        name: "I/O",
        word: "io",
        kib: 256,
        rounds_a_second: 800_000,
        rounds_inside: Some(10_000),
        note: "a round reads 4 KiB of a file into the next page of 256 KiB, and writes it back",
    },
];

const READ_MOSTLY: Workload = Workload {
    name: "Zipf 98/2 mix",
    word: "read-mostly",
    kib: 8 << 10,
    rounds_a_second: 3_000,
    rounds_inside: None,
    note: "the same with 98 % reads; r: --track readwrite",
};

/// Who tracks the half of a pair that is not plain.
#[derive(Clone, Copy)]
enum Method {
    Vmmload(Tracking),
    /// The process itself, natively: `tracker.h` of the guest.
    Itself(&'static str, Tracking),
}

const OWN: &[&str] = &["userfaultfd", "mprotect"];

/// Runs the groups' rows.
pub(crate) fn measure(runner: &Runner, options: &Options, add: &mut dyn FnMut(Row)) {
    for workload in WORKLOADS {
        let mut methods = epochs(options);
        if workload.word == "zipf" {
            methods.extend(reads(options).map(Method::Vmmload));
        }
        measure_workload(EPOCHS, workload, &methods, runner, options, add);
    }
    let methods: Vec<Method> = [Tracking::Off, EVERY_100_MS]
        .into_iter()
        .chain(reads(options))
        .map(Method::Vmmload)
        .collect();
    measure_workload(EPOCHS, &READ_MOSTLY, &methods, runner, options, add);
    for workload in WORKLOADS {
        measure_workload(BUFFER, workload, &rings(options), runner, options, add);
    }
}

fn epochs(options: &Options) -> Vec<Method> {
    // An epoch of a second needs a run of several, which --quick has not.
    let lengths: &[u32] = match options.quick {
        true => &[100, 1],
        false => &[1000, 100, 10, 1],
    };
    let each = |of: fn(u32) -> Tracking| lengths.iter().copied().map(of);
    let unlimited = each(Tracking::Unlimited).skip(1);
    let vmmload = [Tracking::Off].into_iter().chain(each(Tracking::Every));
    let own = OWN.iter().flat_map(|how| {
        let some = if options.quick { 1 } else { lengths.len() };
        each(Tracking::Every)
            .take(some)
            .map(|tracking| Method::Itself(how, tracking))
    });
    vmmload
        .chain(unlimited)
        .map(Method::Vmmload)
        .chain(own)
        .collect()
}

fn reads(options: &Options) -> impl Iterator<Item = Tracking> {
    let lengths: &[u32] = if options.quick {
        &[100]
    } else {
        &[1000, 100, 10]
    };
    lengths.iter().copied().map(Tracking::ReadsToo)
}

fn rings(options: &Options) -> Vec<Method> {
    let entries = (9..=16).map(|power| 1 << power);
    let step = if options.quick { 7 } else { 1 };
    let trackings = entries.step_by(step).map(Tracking::Ring);
    trackings.map(Method::Vmmload).collect()
}

/// One row for each method, its rounds interleaved with those of the others.
fn measure_workload(
    group: &'static str,
    workload: &Workload,
    methods: &[Method],
    runner: &Runner,
    options: &Options,
    add: &mut dyn FnMut(Row),
) {
    let mut columns: Vec<(Method, Row)> = methods
        .iter()
        .map(|&method| (method, empty_row(group, workload, method)))
        .filter(|(_, row)| options.wants_row(group, &row.name))
        .collect();
    if columns.is_empty() {
        return;
    }
    let guest = Guest::new("costs/workloads").path().display().to_string();
    let share = options.share(Duration::from_secs(200));
    let (started, mut longest) = (Instant::now(), Duration::ZERO);
    for round in 0..options.rounds(1) {
        if round > 0 && started.elapsed() + longest > share {
            break;
        }
        let round_started = Instant::now();
        for (method, row) in &mut columns {
            // What failed once would fail again, at the same cost.
            if row.error.is_none() {
                run_pair(row, &guest, workload, *method, runner, options);
            }
        }
        longest = longest.max(round_started.elapsed());
    }
    columns.into_iter().for_each(|(_, row)| add(row));
}

fn empty_row(group: &'static str, workload: &Workload, method: Method) -> Row {
    let (name, tracking) = match method {
        Method::Vmmload(tracking) => (workload.name.to_owned(), tracking),
        Method::Itself(how, tracking) => (format!("{}, by {how}", workload.name), tracking),
    };
    Row {
        tracking: Some(tracking),
        comparison: Comparison::Slowdown,
        note: Some(workload.note.into()),
        ..Row::new(group, name, Unit::Nanoseconds)
    }
}

fn run_pair(
    row: &mut Row,
    guest: &str,
    workload: &Workload,
    method: Method,
    runner: &Runner,
    options: &Options,
) {
    let rounds = workload.rounds(method, options).to_string();
    let limit = options.size(LIMIT_MS, QUICK_LIMIT_MS).to_string();
    let kib = workload.kib.to_string();
    let line = |how: &str, ms: u128| -> Vec<String> {
        let ms = ms.to_string();
        let words = [guest, workload.word, &kib, &rounds, how, &ms, &limit];
        words.map(String::from).to_vec()
    };
    let plain = line("none", 0);
    let native = worker::work(&plain, None).map_err(|e| format!("native: {e}"));
    let tracked = native.and_then(|native| {
        let tracked = match method {
            Method::Vmmload(tracking) => {
                worker::work(&runner.inside(tracking, &plain), Some(tracking))
            }
            Method::Itself(how, tracking) => {
                worker::work(&line(how, tracking.epoch().as_millis()), None)
            }
        };
        Ok((native, tracked?))
    });
    match tracked {
        Ok((native, tracked)) => {
            row.native.push(native.round_ns);
            row.inside.push(tracked.round_ns);
            row.recorded.extend(tracked.recorded);
        }
        Err(error) => row.error = Some(error),
    }
}

impl Workload {
    /// Enough for several epochs of each length.
    fn rounds(&self, method: Method, options: &Options) -> u64 {
        if let (Some(rounds), Method::Vmmload(_)) = (self.rounds_inside, method) {
            return options.size(rounds, rounds / 5);
        }
        let tenths = match method {
            Method::Vmmload(tracking) | Method::Itself(_, tracking)
                if tracking.epoch() == EVERY_SECOND.epoch() =>
            {
                25
            }
            _ => options.size(10, 3),
        };
        self.rounds_a_second * tenths / 10
    }
}
