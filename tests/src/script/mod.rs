//! Random scripts of what a program does with its memory, and a model of what must be counted.
//!
//! [`operations`] generates a script, [`run`] has the guest `oracle/script` carry it out inside and compares
//! the counts of every page with the bounds that the model knows.

mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;
use vmmload_consumer::Kind;

use self::model::{Bounds, Model};
use crate::Guest;
use crate::oracle::inside::Inside;

/// Pages of the arena and of the heap.
const PAGES: [u64; 2] = [256, 64];

/// Memory that the guest accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Where mappings come and go.
    Arena,
    /// Up to the program's break.
    Heap,
}

/// One line of a script. Numbers are pages of the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// mmap(2) over whatever is there: private or shared memory, a private or shared file.
    Map(Range<u64>, u8),
    /// munmap(2).
    Unmap(Range<u64>),
    /// mprotect(2): nothing, reading, or reading and writing is allowed.
    Protect(Range<u64>, u8),
    /// mremap(2) to this page.
    Move(Range<u64>, u64),
    /// madvise(2) with MADV_DONTNEED.
    Discard(Range<u64>),
    /// brk(2), to so many pages.
    Break(u64),
    /// fork(2), of a child that writes these pages.
    Fork(Range<u64>),
    /// One store to each page, or every few pages.
    Write(Area, Range<u64>, u64),
    /// One load from each page, or every few pages.
    Read(Area, Range<u64>, u64),
    /// All that was done so far is counted and armed again before what follows.
    Settle,
}

/// What is tracked while a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Epochs end while the script runs.
    Short,
    /// All of the script is one epoch.
    One,
}

impl Pace {
    fn interval(self) -> &'static str {
        match self {
            Self::Short => "5ms",
            Self::One => "100s",
        }
    }
}

/// Some pages of the first `limit`, mostly few.
fn range(limit: u64) -> impl Strategy<Value = Range<u64>> {
    (0..limit, 1..=limit / 4).prop_map(move |(from, pages)| from..(from + pages).min(limit))
}

fn accesses() -> impl Strategy<Value = (Area, Range<u64>, u64)> {
    let arena = range(PAGES[0]).prop_map(|range| (Area::Arena, range));
    let heap = range(PAGES[1]).prop_map(|range| (Area::Heap, range));
    (prop_oneof![4 => arena, 1 => heap], 1..5_u64)
        .prop_map(|((area, range), stride)| (area, range, stride))
}

fn operation() -> impl Strategy<Value = Operation> {
    let arena = || range(PAGES[0]);
    prop_oneof![
        6 => (arena(), 0..4_u8).prop_map(|(range, kind)| Operation::Map(range, kind)),
        1 => arena().prop_map(Operation::Unmap),
        2 => (arena(), 0..3_u8).prop_map(|(range, prot)| Operation::Protect(range, prot)),
        2 => (arena(), 0..PAGES[0]).prop_map(|(range, to)| Operation::Move(range, to)),
        2 => arena().prop_map(Operation::Discard),
        2 => (0..=PAGES[1]).prop_map(Operation::Break),
        1 => arena().prop_map(Operation::Fork),
        9 => accesses().prop_map(|(area, range, stride)| Operation::Write(area, range, stride)),
        6 => accesses().prop_map(|(area, range, stride)| Operation::Read(area, range, stride)),
        3 => Just(Operation::Settle),
    ]
}

/// Scripts of up to so many operations.
pub fn operations(most: usize) -> impl Strategy<Value = (Pace, Vec<Operation>)> {
    let pace = prop_oneof![3 => Just(Pace::Short), 1 => Just(Pace::One)];
    (pace, prop::collection::vec(operation(), 1..most))
}

/// Has the guest carry out a script, and compares what was counted with what had to be.
///
/// # Errors
/// What is counted wrongly.
pub fn run(pace: Pace, script: &[Operation], options: &[&str]) -> Result<(), TestCaseError> {
    let mut words = vec!["--interval", pace.interval()];
    words.extend(options);
    let mut inside = Inside::start(&Guest::new("oracle/script").program(), &words);
    let mut model = Model::new(pace);
    for operation in script {
        carry_out(&mut inside, &mut model, operation)?;
    }
    inside.end("q\n");
    for (area, name) in [(Area::Arena, "arena"), (Area::Heap, "heap")] {
        let region = inside.region(name);
        let written = inside.segment.counts(Kind::Write, &region);
        check(
            &format!("writes of {name}"),
            &written,
            &model.writes(area),
            0,
        )?;
        if options.contains(&"readwrite") {
            let read = inside.segment.counts(Kind::Read, &region);
            let ends = match pace {
                Pace::Short => inside.segment.consumer().epochs().len(),
                Pace::One => 0,
            };
            check(&format!("reads of {name}"), &read, &model.reads(area), ends)?;
        }
    }
    Ok(())
}

fn carry_out(
    inside: &mut Inside,
    model: &mut Model,
    operation: &Operation,
) -> Result<(), TestCaseError> {
    if *operation == Operation::Settle {
        if model.settle() {
            inside.segment.settle();
        }
        return Ok(());
    }
    let Some((line, expected)) = model.apply(operation) else {
        return Ok(());
    };
    inside.guest.send(&line);
    let answer = inside.guest.line();
    prop_assert_eq!(
        answer,
        expected.to_string(),
        "the answer to {:?}",
        operation
    );
    Ok(())
}

/// Every page's events must lie within its bounds. `doubled` of them may not: loads that were under way when an
/// epoch ended are counted in the next one, too.
fn check(
    what: &str,
    found: &BTreeMap<u64, u64>,
    bounds: &BTreeMap<u64, Bounds>,
    doubled: usize,
) -> Result<(), TestCaseError> {
    let mut wrong = Vec::new();
    let mut twice = 0;
    let pages: BTreeSet<u64> = found.keys().chain(bounds.keys()).copied().collect();
    for page in pages {
        let events = found.get(&page).copied().unwrap_or(0);
        let bounds = bounds.get(&page).copied().unwrap_or_default();
        let allowed = (bounds.least..=bounds.most).contains(&events);
        if !allowed && twice < doubled && events == bounds.most + 1 && bounds.most > 0 {
            twice += 1;
        } else if !allowed {
            wrong.push(format!("page {page}: {events} events, not {bounds}"));
        }
    }
    prop_assert!(
        wrong.is_empty(),
        "{what}: {} pages: {}",
        wrong.len(),
        wrong.join("; ")
    );
    Ok(())
}
