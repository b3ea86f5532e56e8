//! The store, fed by hand, and what it has written.

use super::*;
use crate::recording::schema::Table;
use crate::recording::writer::testing::{Process, Scratch, files, numbers, rows};
use arrow::array::AsArray;
use std::fs;
use std::path::Path;
use std::time::Duration;
use vmmload_consumer::{End, Event};

fn store(scratch: &Scratch, resolution: Option<Resolution>, most_memory: usize) -> Store {
    let place = Place {
        root: scratch.path().into(),
        recording: "r".into(),
    };
    Store::new(place, resolution, most_memory)
}

fn key(pid: u32) -> Key {
    Key { pid, program: 0 }
}

fn come(store: &mut Store, process: &Process, pid: u32) {
    let (origin, counts) = process.facts();
    let came = Message::Came(key(pid), origin.into(), counts.into());
    store.take(came).unwrap();
}

/// Records of so many pages from page `first` on, all of one epoch.
fn events(first: u64, pages: u64) -> Vec<Event> {
    let event = |page| Event {
        addr: page * 4096,
        time_ns: 1000,
        epoch: 1,
        count: 1,
        ..Event::default()
    };
    (first..first + pages).map(event).collect()
}

fn pages_in(root: &Path) -> Vec<i64> {
    let mut pages = numbers(&rows(root, Table::Events), "addr");
    pages.iter_mut().for_each(|addr| *addr /= 4096);
    pages.sort_unstable();
    pages
}

#[test]
fn memory_stays_within_its_bound_however_many_processes_write_how_much() {
    const BOUND: usize = 1 << 20;
    let (scratch, process) = (Scratch::new(), Process::start(1024));
    let mut store = store(&scratch, None, BOUND);
    for pid in 1..=20 {
        come(&mut store, &process, pid);
    }
    for round in 0..20 {
        for pid in 1..=20 {
            let pages = 100 * u64::from(pid);
            let message = Message::Events(key(pid), events(round * pages, pages));
            store.take(message).unwrap();
            assert!(store.memory <= BOUND, "{}", store.memory);
        }
    }
    store.finish().unwrap();
    assert_eq!(store.memory, 0);
    let expected = 20 * 100 * (1..=20).sum::<u64>();
    assert_eq!(store.totals().rows, expected);
    assert_eq!(pages_in(scratch.path()).len() as u64, expected);
}

#[test]
fn a_process_with_many_rows_has_files_of_a_million_each() {
    let (scratch, process) = (Scratch::new(), Process::start(1024));
    let mut store = store(&scratch, None, MOST_MEMORY);
    come(&mut store, &process, 1);
    let full = part::GROUP_ROWS as u64;
    for first in (0..full + 1000).step_by(1 << 16) {
        let pages = (full + 1000 - first).min(1 << 16);
        store
            .take(Message::Events(key(1), events(first, pages)))
            .unwrap();
    }
    store.finish().unwrap();
    let files = files(&scratch.path().join("events"));
    let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["part-000000.parquet", "part-000001.parquet"]);
    let expected: Vec<i64> = (0..full.cast_signed() + 1000).collect();
    assert_eq!(pages_in(scratch.path()), expected);
}

#[test]
fn what_was_saved_once_is_saved_again_with_more_in_the_same_file() {
    let (scratch, process) = (Scratch::new(), Process::start(1024));
    let mut store = store(&scratch, None, MOST_MEMORY);
    come(&mut store, &process, 1);
    for first in 0..5 {
        store
            .take(Message::Events(key(1), events(first, 1)))
            .unwrap();
        store.save().unwrap();
        let saved: Vec<i64> = (0..=first.cast_signed()).collect();
        assert_eq!(pages_in(scratch.path()), saved);
        let row = rows(scratch.path(), Table::Processes);
        assert_eq!(numbers(&row, "rows"), [first.cast_signed() + 1]);
    }
    let parquet = files(scratch.path());
    // One for each table: the first process has files even of tables in which it has no rows.
    assert_eq!(parquet.len(), 5, "{parquet:?}");
    let size: u64 = parquet
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert_eq!(store.totals().bytes, size);
}

#[test]
fn a_process_has_its_row_from_the_beginning_and_its_end_in_it() {
    let (scratch, process) = (Scratch::new(), Process::start(1024));
    let mut store = store(&scratch, None, MOST_MEMORY);
    come(&mut store, &process, process.pid());
    let end = || {
        let rows = rows(scratch.path(), Table::Processes);
        let text = |name: &str| {
            let column = rows[0].column_by_name(name).unwrap();
            column.as_string::<i32>().value(0).to_owned()
        };
        assert_eq!(text("command"), "prog --option");
        text("end")
    };
    assert_eq!(end(), "running");
    let went = Message::Went(key(process.pid()), Status::Ended(End::Exited(3)));
    store.take(went).unwrap();
    assert_eq!(end(), "exited");
    assert!(store.programs.is_empty());
}

#[test]
fn rows_of_a_coarse_resolution_add_up_and_are_within_the_bound_too() {
    const BOUND: usize = 1 << 20;
    let (scratch, process) = (Scratch::new(), Process::start(1024));
    let resolution = Resolution {
        time: Duration::from_secs(1),
        bytes: 64 << 10,
    };
    let mut store = store(&scratch, Some(resolution), BOUND);
    come(&mut store, &process, 1);
    for round in 0..40 {
        let message = Message::Events(key(1), events(round * 16_000, 16_000));
        store.take(message).unwrap();
        assert!(store.memory <= BOUND, "{}", store.memory);
    }
    store.finish().unwrap();
    let rows = rows(scratch.path(), Table::Events);
    let counts = numbers(&rows, "count");
    assert_eq!(counts.iter().sum::<i64>(), 640_000);
    assert_eq!(numbers(&rows, "pages"), counts);
    assert!(counts.len() < 50_000, "{}", counts.len());
    assert_eq!(store.totals().events, 640_000);
}

#[test]
fn where_a_file_cannot_be_written_what_is_missing_is_counted_and_the_rest_is_complete() {
    let (scratch, process) = (Scratch::new(), Process::start(1024));
    let mut store = store(&scratch, None, MOST_MEMORY);
    come(&mut store, &process, 1);
    store.take(Message::Events(key(1), events(0, 10))).unwrap();
    store.save().unwrap();
    // A file where the directory of the next one's rows would be.
    fs::write(scratch.path().join("events/process=2-0"), "").unwrap();
    come(&mut store, &process, 2);
    store.take(Message::Events(key(2), events(0, 7))).unwrap();
    let failure = store.finish().unwrap_err().to_string();
    assert!(failure.contains("events/process=2-0"), "{failure}");
    assert_eq!(store.give_up(), 7);
    assert_eq!(store.totals().events, 10);
    fs::remove_file(scratch.path().join("events/process=2-0")).unwrap();
    assert_eq!(pages_in(scratch.path()).len(), 10);
    let hidden = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "unfinished");
    assert!(!files(scratch.path()).iter().any(hidden));
}
