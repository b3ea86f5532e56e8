//! Which mapping an event is counted for: whatever lies behind it, and whatever came and went at its address.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use vmmload_consumer::{
    Consumer, Epoch, Event, Item, Kind, Mapping, MappingClass, Mappings, Status,
};
use vmmload_tests::oracle::inside::Inside;
use vmmload_tests::scratch::Scratch;
use vmmload_tests::watched::PAGE;
use vmmload_tests::{Guest, machine};

/// Epochs that end long after the program does: everything happens in one.
const ONE_EPOCH: &[&str] = &["--interval", "100s"];
/// Epochs of which several pass between steps.
const SHORT_EPOCHS: &[&str] = &["--interval", "10ms"];

/// A guest that waits for its first step.
fn scene(name: &str, options: &[&str]) -> Inside {
    let guest = Guest::new("attribution/scenes").program().arg(name);
    Inside::start(&guest, options)
}

#[track_caller]
fn step(inside: &mut Inside) -> String {
    inside.guest.send("g");
    inside.guest.line()
}

#[track_caller]
fn mappings(inside: &Inside) -> Mappings {
    let mappings = inside.segment.consumer().mappings();
    mappings.expect("a table that nobody changes any more")
}

/// The write events of each page of a region, by its number, each with the mapping that it hit.
#[track_caller]
fn hits(inside: &mut Inside, region: &str) -> BTreeMap<u64, Vec<(Event, Mapping)>> {
    let region = inside.region(region);
    let mappings = mappings(inside);
    let mut hits: BTreeMap<u64, Vec<(Event, Mapping)>> = BTreeMap::new();
    for event in inside.segment.events(Kind::Write, &region) {
        let hit = mappings.of(&event).cloned();
        let hit = hit.unwrap_or_else(|| panic!("{event:?} hit no mapping of {mappings:#x?}"));
        let page = (event.addr - region.start) / PAGE;
        hits.entry(page).or_default().push((event, hit));
    }
    hits
}

/// The names of the mappings that each page's events hit, in the order in which they came.
#[track_caller]
fn names(inside: &mut Inside, region: &str) -> BTreeMap<u64, Vec<String>> {
    let hits = hits(inside, region).into_iter();
    hits.map(|(page, hits)| (page, hits.into_iter().map(|(_, hit)| hit.name).collect()))
        .collect()
}

/// The one mapping that a region of 4 pages is in, which were written once each.
#[track_caller]
fn only_mapping(inside: &mut Inside, region: &str) -> Mapping {
    let hits = hits(inside, region);
    assert_eq!(
        hits.keys().copied().collect::<Vec<u64>>(),
        [0, 1, 2, 3],
        "{region}"
    );
    let mut all: Vec<Mapping> = hits.into_values().flatten().map(|(_, hit)| hit).collect();
    assert_eq!(all.len(), 4, "{region}: {all:x?}");
    all.dedup();
    assert_eq!(all.len(), 1, "{region}: {all:x?}");
    all.remove(0)
}

#[test]
fn every_event_names_the_mapping_that_it_hit() {
    if !machine::can_run_inside() {
        return;
    }
    let mut inside = scene("places", ONE_EPOCH);
    let answer = step(&mut inside);
    inside.end("g");
    let numbers: Vec<u64> = answer
        .split(' ')
        .map(|n| n.parse().expect(&answer))
        .collect();
    // No device is among them: none of those that every machine has can be mapped by everybody.
    for (region, class, name) in [
        ("heap", MappingClass::Heap, "[heap]"),
        ("stack", MappingClass::Stack, "[stack]"),
        ("named", MappingClass::Anonymous, "[anon:own name]"),
        ("anonymous", MappingClass::Anonymous, ""),
        ("shared", MappingClass::Shared, "[anon_shmem]"),
        ("memfd", MappingClass::Shared, "/memfd:some"),
        ("zero", MappingClass::Shared, "/dev/zero"),
        ("segment", MappingClass::Shared, "[sysv shared memory]"),
    ] {
        let hit = only_mapping(&mut inside, region);
        assert_eq!((hit.class, hit.retired), (class, 0), "{region}: {hit:x?}");
        assert!(
            hit.name.starts_with(name) && hit.name.is_empty() == name.is_empty(),
            "{hit:x?}"
        );
        assert!(class == MappingClass::File || hit.thread == 0);
    }
    let data = only_mapping(&mut inside, "data");
    let executable = Guest::new("attribution/scenes").path();
    assert_eq!(
        (data.class, data.name.as_str()),
        (MappingClass::File, executable.to_str().expect("text"))
    );
    let offset = inside.region("data").start - data.start + data.offset;
    assert_eq!(offset, numbers[2], "{data:x?}");
    stacks_are_their_threads(&mut inside, &numbers[..2]);
}

/// Two threads wrote the same pages, one after the other.
#[track_caller]
fn stacks_are_their_threads(inside: &mut Inside, threads: &[u64]) {
    let hits = hits(inside, "thread");
    assert_eq!(hits.len(), 4);
    let mut ids = BTreeSet::new();
    for (page, hits) in hits {
        assert_eq!(hits.len(), 2, "{page}: {hits:x?}");
        for ((event, hit), thread) in hits.iter().zip(threads) {
            assert_eq!(hit.name, format!("[stack:{thread}]"), "{event:x?}");
            assert_eq!(hit.class, MappingClass::ThreadStack);
            assert_eq!(u64::from(hit.thread), *thread);
            ids.insert(hit.id);
        }
        assert!(hits[0].1.retired > 0 && hits[1].1.retired == 0, "{hits:x?}");
    }
    assert_eq!(ids.len(), 2);
}

/// Runs a scene that writes 8 pages, has others come to their place, and writes those.
#[track_caller]
fn replaced(name: &str, options: &[&str]) -> Inside {
    let mut inside = scene(name, options);
    for _ in 0..2 {
        assert_eq!(step(&mut inside), "done");
        if options == SHORT_EPOCHS {
            inside.segment.settle();
        }
    }
    inside.end("g");
    inside
}

fn each_has_its_own_events(name: &str) {
    if !machine::can_run_inside() {
        return;
    }
    for options in [ONE_EPOCH, SHORT_EPOCHS] {
        let mut inside = replaced(name, options);
        let hits = hits(&mut inside, "buffer");
        assert_eq!(hits.len(), 8);
        for hits in hits.values() {
            let [(old, first), (new, second)] = &hits[..] else {
                panic!("{hits:x?}");
            };
            assert_eq!(
                (first.name.as_str(), second.name.as_str()),
                ("[anon:first]", "[anon:second]")
            );
            assert_ne!(old.mapping, new.mapping);
            assert_eq!(old.epoch == new.epoch, options == ONE_EPOCH);
            assert!(
                first.retired >= old.epoch && first.retired <= new.epoch,
                "{hits:x?}"
            );
            assert!(second.retired == 0 && second.born <= new.epoch, "{hits:x?}");
        }
    }
}

#[test]
fn what_is_unmapped_keeps_its_events_when_its_address_is_used_again() {
    each_has_its_own_events("unmapped");
}

#[test]
fn what_is_covered_by_another_mapping_keeps_its_events() {
    each_has_its_own_events("covered");
}

#[test]
fn what_moves_away_keeps_its_events_when_its_address_is_used_again() {
    each_has_its_own_events("moved");
}

#[test]
fn heap_that_is_given_back_and_taken_again_is_written_again_under_one_id() {
    if !machine::can_run_inside() {
        return;
    }
    for options in [ONE_EPOCH, SHORT_EPOCHS] {
        let mut inside = replaced("shrunk", options);
        let hits = hits(&mut inside, "buffer");
        assert_eq!(hits.len(), 8);
        for hits in hits.values() {
            let [(old, first), (new, second)] = &hits[..] else {
                panic!("{hits:x?}");
            };
            assert_eq!(
                (first.class, second.class),
                (MappingClass::Heap, MappingClass::Heap)
            );
            assert_eq!(old.mapping, new.mapping);
        }
    }
}

#[test]
fn memory_that_gets_another_name_keeps_what_it_had_under_the_old_one() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path().join("summary");
    let summary = format!("--summary={}", file.display());
    let mut inside = scene("named-in-parts", &["--interval", "100s", &summary]);
    assert_eq!(step(&mut inside), "done");
    inside.end("g");
    let text = std::fs::read_to_string(file).expect("a summary");
    for (name, pages) in [("half", "4"), ("quarter", "2"), ("whole", "8")] {
        let name = format!("[anon:{name}]");
        let row = text.lines().find(|line| line.ends_with(&name));
        let row = row.unwrap_or_else(|| panic!("no row {name} in:\n{text}"));
        let cells: Vec<&str> = row.split_whitespace().take(2).collect();
        assert_eq!(cells, [pages, pages], "{row}");
    }
    let buffer = names(&mut inside, "buffer");
    assert_eq!(buffer.len(), 8);
    for (page, names) in buffer {
        let expected: &[&str] = match page {
            0..4 => &[""],
            4..6 => &["", "[anon:half]", "[anon:quarter]"],
            _ => &["", "[anon:half]"],
        };
        assert_eq!(names, expected, "page {page}");
    }
    // A name for all of it says what it was all the time.
    let whole = names(&mut inside, "whole");
    assert_eq!(whole.len(), 8);
    assert!(
        whole.values().all(|names| *names == ["[anon:whole]"]),
        "{whole:?}"
    );
}

/// What a reader saw of a table that changes.
#[derive(Default)]
struct Watch {
    /// Class, and name if it has got one.
    known: BTreeMap<u32, (MappingClass, String)>,
    unresolved: Vec<Event>,
    events: u64,
    copies: u64,
}

impl Watch {
    #[track_caller]
    fn look(&mut self, consumer: &mut Consumer) {
        while let Some(item) = consumer.next() {
            let Item::Event(event) = item else {
                panic!("records are lost: {item:?}");
            };
            self.events += 1;
            self.unresolved.push(event);
        }
        // Changed too often to be copied: again later.
        let Some(mappings) = consumer.mappings() else {
            return;
        };
        self.copies += 1;
        assert!(!mappings.truncated);
        for pair in mappings.entries.windows(2) {
            assert!(pair[0].end <= pair[1].start, "{pair:x?}");
        }
        for mapping in mappings.entries.iter().chain(&mappings.retired) {
            assert!(
                mapping.start < mapping.end && mapping.id > 0,
                "{mapping:x?}"
            );
            self.know(mapping);
        }
        self.unresolved.retain(|event| mappings.of(event).is_none());
    }

    /// A mapping without a name may get one, and keeps it.
    #[track_caller]
    fn know(&mut self, mapping: &Mapping) {
        let now = (mapping.class, mapping.name.clone());
        let known = self.known.entry(mapping.id).or_insert_with(|| now.clone());
        let has_name = |name: &str| !matches!(name, "" | "[anon_shmem]");
        if !has_name(&known.1) {
            *known = now;
        } else if has_name(&mapping.name) {
            assert_eq!(*known, now, "{mapping:x?}");
        }
    }
}

#[test]
fn readers_find_a_consistent_table_while_it_changes() {
    if !machine::can_run_inside() {
        return;
    }
    let mut inside = scene("changing", &["--interval", "2ms"]);
    inside.guest.send("g");
    let pid = u32::try_from(inside.guest.pid()).expect("a pid is positive");
    let mut consumer = Consumer::attach(pid).expect("the guest has just begun");
    let mut watch = Watch::default();
    let deadline = Instant::now() + machine::patience(Duration::from_secs(30));
    while consumer.status() == Status::Running {
        watch.look(&mut consumer);
        assert!(Instant::now() < deadline, "the guest does not end");
    }
    watch.look(&mut consumer);
    assert!(inside.guest.finish().success());
    // The retired ones are fewer than are remembered, so none is forgotten.
    assert_eq!(
        watch.unresolved,
        [],
        "of {} events, {} copies",
        watch.events,
        watch.copies
    );
    let own = |(class, name): &&(MappingClass, String)| {
        *class != MappingClass::ThreadStack && name.contains(":thread ")
    };
    let seen = watch.known.values().filter(own).count();
    assert!(
        seen >= 10 && watch.copies >= 10,
        "{seen} mappings in {} copies",
        watch.copies
    );
}

/// Waits until a condition on the segment holds.
#[track_caller]
fn wait_until(inside: &mut Inside, what: &str, holds: impl Fn(&mut Inside) -> bool) {
    let deadline = Instant::now() + machine::patience(Duration::from_secs(60));
    while !holds(inside) {
        assert!(
            Instant::now() < deadline,
            "never {what}: {:?}",
            inside.segment.consumer().info()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn events_of(inside: &Inside, buffer: &Range<u64>, page: u64) -> u64 {
    let counts = inside.segment.counts(Kind::Write, buffer);
    counts.get(&page).copied().unwrap_or(0)
}

#[test]
fn in_the_shortest_epochs_pages_that_are_written_more_often_have_more_events() {
    if !machine::can_run_inside() {
        return;
    }
    let mut inside = scene("rates", &["--interval", "0"]);
    let buffer = inside.region("buffer");
    inside.guest.send("g");
    let enough = |inside: &mut Inside| events_of(inside, &inside.region("buffer"), 1) >= 15;
    wait_until(&mut inside, "15 rare stores", enough);
    inside.end("g");
    let [often, rarely] = [0, 1].map(|page| events_of(&inside, &buffer, page));
    assert!(often >= 5 * rarely, "{often} events, and {rarely}");
}

/// Whether pages were left alone in some epoch, and all 600 had an event in one that came after.
fn were_watched_again(epochs: &[Epoch]) -> bool {
    let mut epochs = epochs.iter().skip_while(|epoch| epoch.left_alone == 0);
    epochs.any(|epoch| epoch.written >= 600)
}

#[test]
fn pages_that_are_left_alone_are_watched_again_after_a_while() {
    if !machine::can_run_inside() {
        return;
    }
    let mut inside = scene("busy", &["--interval", "2ms", "--max-overhead", "5"]);
    let buffer = inside.region("buffer");
    inside.guest.send("g");
    let again = |inside: &mut Inside| were_watched_again(&inside.segment.consumer().epochs());
    wait_until(&mut inside, "watched again", again);
    let before = inside.segment.counts(Kind::Write, &buffer);
    wait_until(&mut inside, "events of all pages again", |inside| {
        let now = inside.segment.counts(Kind::Write, &buffer);
        now.iter()
            .all(|(page, count)| before.get(page) < Some(count))
    });
    inside.end("g");
    let epochs = inside.segment.consumer().epochs();
    assert!(epochs.iter().any(|epoch| epoch.ticks > 1));
    let counts = inside.segment.counts(Kind::Write, &buffer);
    assert_eq!(counts.len(), 600);
}

#[test]
fn without_a_limit_no_page_is_left_alone_and_no_epoch_stretched() {
    if !machine::can_run_inside() {
        return;
    }
    let mut inside = scene("busy", &["--interval", "20ms", "--max-overhead", "100"]);
    inside.guest.send("g");
    let goal = |inside: &mut Inside| inside.segment.consumer().epochs().len() >= 20;
    wait_until(&mut inside, "20 epochs", goal);
    inside.end("g");
    let epochs = inside.segment.consumer().epochs();
    for epoch in epochs {
        assert_eq!(epoch.left_alone, 0, "{epoch:?}");
        assert!(epoch.ticks <= 3, "{epoch:?}");
    }
}

/// The sums of the three columns of events in the summary's table, in its order: write, read, kernel.
#[track_caller]
fn sums(summary: &str) -> [u64; 3] {
    let rows = summary
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("PAGES"));
    let mut sums = [0; 3];
    for row in rows.skip(1).take_while(|row| !row.trim().is_empty()) {
        let cells = row.split_whitespace().skip(1);
        for (sum, cell) in sums.iter_mut().zip(cells) {
            let number: u64 = cell.replace(',', "").parse().expect(row);
            *sum += number;
        }
    }
    sums
}

#[test]
fn the_rows_of_all_mappings_add_up_to_the_totals() {
    if !machine::can_run_inside() {
        return;
    }
    for name in ["places", "changing", "named-in-parts"] {
        let scratch = Scratch::new();
        let file = scratch.path().join("summary");
        let summary = format!("--summary={}", file.display());
        let mut inside = scene(
            name,
            &["--interval", "5ms", "--track", "readwrite", &summary],
        );
        if name != "changing" {
            step(&mut inside);
        }
        inside.end("g");
        let text = std::fs::read_to_string(file).expect("a summary");
        let totals = inside.segment.consumer().info().totals;
        assert_eq!(sums(&text), totals, "{name}: {text}");
        assert!(totals.iter().all(|&total| total > 0), "{name}: {text}");
    }
}
