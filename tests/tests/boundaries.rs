//! What is counted where a mapping, a process or a program ends and another begins, and by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use vmmload_consumer::{End, Kind, Status};
use vmmload_tests::oracle::Regions;
use vmmload_tests::oracle::inside::Inside;
use vmmload_tests::segment::{Segment, assert_counts, each};
use vmmload_tests::watched::PAGE;
use vmmload_tests::{Guest, machine};

/// Epochs that end long after the program does: everything happens in one.
const ONE_EPOCH: &[&str] = &["--interval", "100s"];
/// Epochs of which several pass between steps.
const SHORT_EPOCHS: &[&str] = &["--interval", "20ms"];

/// A guest that waits for its first step.
fn scene(name: &str, options: &[&str]) -> Inside {
    Inside::start(
        &Guest::new("oracle/boundaries").program().arg(name),
        options,
    )
}

/// One step of the guest, and what it answers.
#[track_caller]
fn step(inside: &mut Inside) -> String {
    inside.guest.send("g");
    inside.guest.line()
}

/// The guest forks: the child's segment, attached to before it does anything else.
#[track_caller]
fn fork(inside: &mut Inside) -> Segment {
    let answer = step(inside);
    let pid = answer
        .strip_prefix("child ")
        .and_then(|pid| pid.parse().ok());
    Segment::attach(pid.unwrap_or_else(|| panic!("no child: {answer:?}")))
}

/// Fails unless the pages of a region have so many write events; shows all that was at the pages that differ.
#[track_caller]
fn assert_written(
    whose: &str,
    segment: &mut Segment,
    region: &Range<u64>,
    expected: impl IntoIterator<Item = (u64, u64)>,
) {
    let counts = segment.counts(Kind::Write, region);
    let expected: BTreeMap<u64, u64> = expected.into_iter().collect();
    if counts != expected {
        let mappings = segment.consumer().mappings().unwrap_or_default();
        for event in segment.events(Kind::Write, region) {
            let page = (event.addr - region.start) / PAGE;
            if counts.get(&page) != expected.get(&page) {
                eprintln!("page {page}: {event:?} in {:?}", mappings.of(&event));
            }
        }
    }
    assert_counts(whose, &counts, &expected);
}

#[test]
fn stores_of_parent_and_child_to_copies_are_each_ones_own() {
    if !machine::can_run_inside() {
        return;
    }
    for options in [SHORT_EPOCHS, ONE_EPOCH] {
        let settled = options == SHORT_EPOCHS;
        let mut parent = scene("copies", options);
        let buffer = parent.region("buffer");
        step(&mut parent);
        if settled {
            parent.segment.settle();
        }
        let mut child = fork(&mut parent);
        assert_written("child yet", &mut child, &buffer, []);
        step(&mut parent);
        if settled {
            parent.segment.settle();
            assert_written("child", &mut child, &buffer, each(16..32, 1));
            // Its copies are nothing that the parent does.
            assert_written(
                "parent so far",
                &mut parent.segment,
                &buffer,
                each(0..64, 1),
            );
        }
        assert_eq!(step(&mut parent), "done");
        parent.end("g");
        child.ended();
        let mut expected = each(0..64, 1);
        expected.extend(each(40..56, if settled { 2 } else { 1 }));
        assert_written("parent", &mut parent.segment, &buffer, expected);
        assert_written("child at last", &mut child, &buffer, each(16..32, 1));
    }
}

fn each_process_counts_its_own_stores(scene_name: &str) {
    if !machine::can_run_inside() {
        return;
    }
    for options in [SHORT_EPOCHS, ONE_EPOCH] {
        let mut parent = scene(scene_name, options);
        let buffer = parent.region("buffer");
        let mut child = fork(&mut parent);
        step(&mut parent);
        parent.end("g");
        child.ended();
        assert_written("parent", &mut parent.segment, &buffer, each(0..20, 1));
        assert_written("child", &mut child, &buffer, each(10..30, 1));
    }
}

#[test]
fn stores_to_shared_memory_are_counted_by_who_makes_them() {
    each_process_counts_its_own_stores("shared-memory");
}

#[test]
fn stores_to_a_shared_file_are_counted_by_who_makes_them() {
    each_process_counts_its_own_stores("shared-file");
}

#[test]
fn stores_of_a_child_in_its_parents_memory_are_the_parents() {
    if !machine::can_run_inside() {
        return;
    }
    let mut inside = scene("borrowed", ONE_EPOCH);
    inside.end("g");
    let buffer = inside.region("buffer");
    assert_written("both", &mut inside.segment, &buffer, each(0..48, 1));
}

#[test]
fn stores_before_and_after_a_move_are_counted_where_they_were_made() {
    if !machine::can_run_inside() {
        return;
    }
    for options in [SHORT_EPOCHS, ONE_EPOCH] {
        let mut inside = scene("moved", options);
        let (old, new) = (inside.region("old"), inside.region("new"));
        assert_eq!(step(&mut inside), "done");
        if options == SHORT_EPOCHS {
            inside.segment.settle();
        }
        inside.end("g");
        let before = each((0..64).step_by(4), 1);
        assert_written("old place", &mut inside.segment, &old, before);
        let mut after = each((1..128).step_by(4), 1);
        after.extend(each((0..128).step_by(2), 1));
        assert_written("new place", &mut inside.segment, &new, after);
    }
}

/// Pages 8 to 12 of the written ones are discarded and written again.
fn written_again(options: &[&str], events: u64) {
    if !machine::can_run_inside() {
        return;
    }
    let mut inside = scene("discarded", options);
    let buffer = inside.region("buffer");
    step(&mut inside);
    if options == SHORT_EPOCHS {
        inside.segment.settle();
        assert_written("before", &mut inside.segment, &buffer, each(0..32, 1));
    }
    inside.end("g");
    let mut expected = each(0..32, 1);
    expected.extend(each(8..12, events));
    assert_written("after", &mut inside.segment, &buffer, expected);
}

#[test]
fn discarded_pages_keep_their_event_and_get_another_in_a_later_epoch() {
    written_again(SHORT_EPOCHS, 2);
}

#[test]
fn discarded_pages_written_again_in_the_same_epoch_have_one_event() {
    written_again(ONE_EPOCH, 1);
}

#[test]
fn a_program_that_executes_another_leaves_its_own_counts_complete() {
    if !machine::can_run_inside() {
        return;
    }
    let mut inside = scene("executed", ONE_EPOCH);
    let old_buffer = inside.region("buffer");
    inside.guest.send("g");
    let mut regions = Regions::default();
    while regions.note(&inside.guest.line()) {}
    let mut new = Segment::attach(inside.guest.pid());
    assert_eq!(inside.segment.ended(), Status::Ended(End::Replaced));
    inside.end("g");
    new.ended();
    assert_written(
        "old image",
        &mut inside.segment,
        &old_buffer,
        each(0..32, 1),
    );
    let new_buffer = regions.addresses("buffer");
    assert_written("new image", &mut new, &new_buffer, each(0..16, 1));
}

/// The written pages of each mapping, by its identity, in the order in which they came.
fn by_mapping(segment: &mut Segment, region: &Range<u64>) -> Vec<BTreeSet<u64>> {
    let mut pages: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for event in segment.events(Kind::Write, region) {
        let page = (event.addr - region.start) / PAGE;
        let first = pages.entry(event.mapping).or_default().insert(page);
        assert!(
            first,
            "page {page} of one mapping has two events in one epoch"
        );
    }
    assert!(!pages.contains_key(&0), "nothing is known of {pages:?}");
    pages.into_values().collect()
}

#[test]
fn mappings_at_one_address_have_events_of_their_own_in_one_epoch() {
    if !machine::can_run_inside() {
        return;
    }
    let mut inside = scene("replaced", ONE_EPOCH);
    let buffer = inside.region("buffer");
    step(&mut inside);
    inside.end("g");
    let pages = by_mapping(&mut inside.segment, &buffer);
    assert_eq!(pages, [(0..8).collect(), (4..12).collect()]);
    let mut expected = each((0..4).chain(8..12), 1);
    expected.extend(each(4..8, 2));
    assert_written("both", &mut inside.segment, &buffer, expected);
    let mappings = inside.segment.consumer().mappings();
    let mappings = mappings.expect("a table that nobody changes any more");
    for event in inside.segment.events(Kind::Write, &buffer) {
        let mapping = mappings.of(&event);
        let mapping = mapping.unwrap_or_else(|| panic!("{event:?} hit no mapping"));
        assert!(mapping.start <= buffer.start && buffer.end <= mapping.end);
    }
}
