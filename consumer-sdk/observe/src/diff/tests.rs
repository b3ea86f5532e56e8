//! Two recordings whose differences are known.

use super::compare::{Comparison, Program};
use super::read;
use crate::recording::sample::{Sample, written};

/// What the tests of both forms show: a solver whose heap has twice the events, with a file that is gone and one that is
/// new and has a hostile name; and another program besides.
pub(super) fn changed() -> Comparison {
    let (before, after) = (solver(1, 100_000_000, "/old"), {
        let mut sample = solver(2, 10_000_000, "/<img src=x onerror=1>\x1b[2J");
        let interval = 10_000_000.into();
        sample.process(9, "/bin/other --fast", vec![("interval_ns", interval)]);
        sample.epochs(9, 10, |_| 0);
        sample
    });
    let _ = (before.written(), after.written());
    let [before, after] = [before, after].map(|sample| read(sample.path()).unwrap());
    Comparison::of(&before, &after)
}

/// Ten epochs in which pages of the heap are written, and one page of a file.
fn solver(pages: u64, interval: i64, file: &str) -> Sample {
    let mut sample = Sample::new();
    sample.manifest.rows = pages * 10 + 11;
    let command = "/usr/bin/solver input.dat";
    let events = (pages as i64 + 1) * 10;
    sample.process(
        7,
        command,
        vec![("interval_ns", interval.into()), ("events", events.into())],
    );
    sample.mapping(7, 1, 0x100 * pages, 16, "[heap]");
    sample.mapping(7, 2, 0x9000, 16, file);
    sample.mapping(7, 3, 0xa000 + pages, 1, "");
    sample.epochs(7, 10, |_| 2);
    for epoch in 1..=10 {
        for page in 0..pages {
            sample.event(7, written(epoch, 0x100 * pages + page, 1));
        }
        sample.event(7, written(epoch, 0x9000, 2));
    }
    sample.event(7, written(10, 0xa000 + pages, 3));
    sample
}

fn program<'a>(comparison: &'a Comparison, name: &str) -> &'a Program {
    let found = comparison
        .programs
        .iter()
        .find(|program| program.name == name);
    found.expect("the program is compared")
}

#[test]
fn processes_are_matched_by_the_last_part_of_their_command() {
    let comparison = changed();
    assert_eq!(program(&comparison, "solver").processes, [1, 1]);
    assert_eq!(program(&comparison, "other").processes, [0, 1]);
    assert_eq!(comparison.programs[0].name, "solver");
}

#[test]
fn mappings_are_matched_by_name_and_those_without_one_together() {
    let comparison = changed();
    let mappings = &program(&comparison, "solver").mappings;
    let find = |name: &str| {
        let found = mappings
            .iter()
            .find(|mapping| mapping.name.starts_with(name));
        found.unwrap_or_else(|| panic!("no {name} in {mappings:?}"))
    };
    let [before, after] = find("[heap]").sides.map(Option::unwrap);
    assert_eq!((before.pages, after.pages), (1, 2));
    assert!((after.rate / before.rate - 2.0).abs() < 1e-9);
    assert!(find("/old").sides[1].is_none());
    assert!(find("/<img").sides[0].is_none());
    let anonymous = find("(anonymous memory)");
    assert_eq!(anonymous.name, "(anonymous memory)");
    assert!(anonymous.sides.iter().all(Option::is_some));
}

#[test]
fn recordings_that_are_alike_have_no_warning() {
    let samples = [(); 2].map(|()| solver(1, 100_000_000, "/a"));
    let analyses = samples.each_ref().map(|sample| {
        sample.written();
        read(sample.path()).unwrap()
    });
    let comparison = Comparison::of(&analyses[0], &analyses[1]);
    assert!(comparison.warnings.is_empty(), "{:?}", comparison.warnings);
    assert!(comparison.totals.iter().all(|total| total.change() == "="));
}
