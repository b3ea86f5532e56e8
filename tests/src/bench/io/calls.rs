//! Single calls, and two threads or processes that wait for each other: the guest `calls/cost`.

use vmmload_tests::Guest;

use super::super::row::Unit;
use super::super::rows::read_workload;
use super::place::Place;
use super::subject::{Bench, Figure, Subject};

/// A call in shared memory may take this many times as long as natively, with a free core.
const AUTO: f64 = 2.0;

/// A row's name and the guest's word for it.
type Call = (&'static str, &'static str);

/// Those that have a target, and are compared with what sees each call natively.
const SIMPLE: &[Call] = &[("getppid", "getppid"), ("read of 1 byte", "read")];

const OTHERS: &[Call] = &[
    ("write of 1 byte", "write"),
    ("fstat", "fstat"),
    ("lseek", "lseek"),
    ("pread of 4 KiB", "pread"),
    ("open and close", "open-close"),
    ("pipes, two threads", "pipe-threads"),
    ("pipes, two processes", "pipe-processes"),
    ("futex, two threads", "futex"),
    ("epoll echo, loopback", "epoll"),
];

/// Adds the rows.
pub(super) fn measure(bench: &mut Bench<'_>) {
    for &call in SIMPLE {
        measure_call(bench, call, true);
    }
    for &call in OTHERS {
        measure_call(bench, call, false);
    }
}

fn measure_call(bench: &mut Bench<'_>, (name, word): Call, simple: bool) {
    let subject = Subject {
        name,
        unit: Unit::Nanoseconds,
        auto_at_most: simple.then_some(AUTO),
        observed: simple,
        note: None,
    };
    let (runner, milliseconds) = (bench.runner, bench.options.size(500, 60));
    bench.measure(&subject, || {
        let guest = Guest::new("calls/cost").path().display().to_string();
        let line = vec![guest, word.into(), milliseconds.to_string()];
        let figure: Figure<'_> = Box::new(move |place: Place| {
            let values = read_workload(&place.run(runner, &line)?)?;
            let round = values.get("round_ns").copied();
            round.ok_or("it tells no round_ns".into())
        });
        Ok(figure)
    });
}
