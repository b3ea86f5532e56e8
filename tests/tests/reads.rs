//! Reads, with `--track readwrite`: a page that was only read in an epoch has a read event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use vmmload_consumer::{Epoch, Kind};
use vmmload_tests::oracle::inside::Inside;
use vmmload_tests::watched::PAGE;
use vmmload_tests::{Guest, machine};

/// Finished epochs that a guest is left to run for, of so few events that all are still in the ring; where the machine was too busy, more the next time.
const EPOCHS: [u32; 3] = [10, 20, 30];
/// Of those, at least so many must have been the guest's own.
const AT_LEAST: usize = 5;
/// An epoch was the guest's own if so long a time went by in it between the ends of two rounds. A harvest looks
/// at pages one after the other, some time before the moment that it tells as the end of the epoch: no
/// shorter time proves that a round was over before the look and had begun after the last.
const OWN_TIME: u64 = 15_000_000;

/// One test after the other: two at once would take each other's processors.
static ALONE: Mutex<()> = Mutex::new(());

/// A guest that has touched the same pages all the time.
struct Loop {
    inside: Inside,
    /// When rounds over all pages ended.
    rounds: Vec<u64>,
}

impl Loop {
    fn run(pages: u64, written: u64, epochs: u32) -> Self {
        let program = Guest::new("oracle/loop").program();
        let program = program.args([pages.to_string(), written.to_string()]);
        let options = ["--track", "readwrite", "--interval", "100ms"];
        let mut inside = Inside::start(&program, &options);
        inside.guest.send("g");
        wait_for_epochs(&inside, epochs);
        inside.guest.signal(libc::SIGTERM);
        let mut rounds = Vec::new();
        while let Some(time) = inside.guest.line().strip_prefix("round ") {
            rounds.push(time.parse().expect("a time"));
        }
        inside.end("");
        Self { inside, rounds }
    }

    /// The finished epochs in which the guest went over all its pages from beginning to end.
    fn whole_epochs(&self) -> Vec<Epoch> {
        let mut epochs = self.inside.segment.consumer().epochs();
        epochs.retain(|epoch| {
            let inside = |time: &&u64| (epoch.start_ns..epoch.end_ns).contains(*time);
            let mut ends = self.rounds.iter().filter(inside);
            let first = ends.next().copied().unwrap_or(0);
            ends.next_back()
                .is_some_and(|last| last - first >= OWN_TIME)
        });
        // The guest may have begun in the midst of the first, and ended in the midst of the last.
        let last = epochs.len().saturating_sub(1);
        epochs.get(1..last).map_or(Vec::new(), <[Epoch]>::to_vec)
    }

    /// The pages with an event of this kind in each epoch.
    fn pages_by_epoch(&mut self, kind: Kind) -> BTreeMap<u32, BTreeSet<u64>> {
        let buffer = self.inside.region("buffer");
        let mut events = self.inside.segment.events(kind, &buffer);
        // What was at these addresses before, when the program was loaded, is another mapping.
        let mapping = events.last().map(|event| event.mapping);
        events.retain(|event| Some(event.mapping) == mapping);
        let mut pages: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for event in events {
            let page = (event.addr - buffer.start) / PAGE;
            let first = pages.entry(event.epoch).or_default().insert(page);
            assert!(first, "page {page} has two events in epoch {}", event.epoch);
        }
        pages
    }
}

#[track_caller]
fn wait_for_epochs(inside: &Inside, epochs: u32) {
    let segment = inside.segment.consumer();
    let goal = segment.info().epoch + epochs;
    let deadline = Instant::now() + machine::patience(Duration::from_secs(60));
    while segment.info().epoch < goal {
        assert!(Instant::now() < deadline, "{epochs} epochs take too long");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Of `pages` pages that a program reads all the time, each has an event in every epoch; of those that it
/// writes all the time, too.
#[track_caller]
fn seen_in_every_epoch(pages: u64, written: u64) {
    if !machine::can_run_inside() {
        return;
    }
    let runs = EPOCHS.map(|epochs| move || Loop::run(pages, written, epochs));
    let runs = runs.into_iter().map(|run| run());
    let own = |run: &Loop| run.whole_epochs().len() >= AT_LEAST;
    let shown = |run: &Loop| {
        let epochs = run.inside.segment.consumer().epochs();
        eprintln!("{} rounds noted in {epochs:?}", run.rounds.len());
    };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut run = runs
        .inspect(shown)
        .find(own)
        .expect("a machine that lets the guest run");
    let epochs = run.whole_epochs();
    for (kind, range) in [(Kind::Read, written..pages), (Kind::Write, 0..written)] {
        let by_epoch = run.pages_by_epoch(kind);
        let expected: BTreeSet<u64> = range.collect();
        let short: Vec<String> = epochs
            .iter()
            .map(|epoch| (epoch, by_epoch.get(&epoch.number).map_or(0, BTreeSet::len)))
            // Not watched for stores, and said so.
            .filter(|(epoch, found)| match kind {
                Kind::Write => found + (epoch.left_alone as usize) < expected.len(),
                _ => *found != expected.len(),
            })
            .map(|(epoch, found)| format!("{found} in {epoch:?}"))
            .collect();
        assert!(
            short.is_empty(),
            "of {} pages with {} events, in {} of {} epochs: {}",
            expected.len(),
            kind.name(),
            short.len(),
            epochs.len(),
            short.join("\n")
        );
    }
}

#[test]
fn sixteen_pages_read_all_the_time_are_seen_in_every_epoch() {
    seen_in_every_epoch(16, 0);
}

#[test]
fn sixty_four_pages_read_all_the_time_are_seen_in_every_epoch() {
    seen_in_every_epoch(64, 0);
}

#[test]
fn hundreds_of_pages_read_all_the_time_are_seen_in_every_epoch() {
    seen_in_every_epoch(256, 0);
}

#[test]
fn a_thousand_pages_read_all_the_time_are_seen_in_every_epoch() {
    seen_in_every_epoch(1024, 0);
}

#[test]
fn thousands_of_pages_read_all_the_time_are_seen_in_every_epoch() {
    seen_in_every_epoch(2048, 0);
}

#[test]
fn pages_read_and_pages_written_all_the_time_are_seen_in_every_epoch() {
    seen_in_every_epoch(512, 32);
}
