//! Whatever the kernel does to a program's pages, only the program's own accesses are counted.
//!
//! Each test writes pages, waits until they are counted and armed again, provokes what takes pages away from
//! every table that shows them (as fork, reclaim and migration do), and reads them. No page has an event more
//! than before; and when the pages are written again, none misses its event.

use std::path::Path;
use std::time::{Duration, Instant};

use vmmload_consumer::Kind;
use vmmload_tests::oracle::inside::Inside;
use vmmload_tests::segment::{assert_counts, each};
use vmmload_tests::{Guest, machine};

/// Pages of the buffers that the guest writes, reads, and leaves alone.
const PAGES: u64 = 300;

/// The guest with its buffers.
struct Churn {
    inside: Inside,
    reads: bool,
}

impl Churn {
    fn start(reads: bool) -> Self {
        let program = Guest::new("oracle/churn").program();
        let track = if reads { "readwrite" } else { "write" };
        let inside = Inside::start(&program, &["--interval", "20ms", "--track", track]);
        Self { inside, reads }
    }

    /// Carries out commands, and has what they did counted and armed again.
    fn settled(&mut self, letters: &str) {
        self.inside.command(letters);
        self.inside.segment.settle();
    }

    /// Fails unless the guest's pages have so many events each as they were written and read in rounds.
    #[track_caller]
    fn assert_counts(&mut self, when: &str, writes: u64, reads: u64) {
        let Inside {
            regions, segment, ..
        } = &mut self.inside;
        let mut check = |name: &str, kind: Kind, expected| {
            let region = regions.addresses(name);
            let counts = match kind {
                Kind::Read => segment.loads(&region),
                _ => segment.counts(kind, &region),
            };
            let what = format!("{} events of {name} pages {when}", kind.name());
            assert_counts(&what, &counts, &expected);
        };
        check("written", Kind::Write, each(0..PAGES, writes));
        check("aligned", Kind::Write, each((0..512).step_by(2), writes));
        for name in ["read", "never", "file"] {
            check(name, Kind::Write, each([], 0));
        }
        let reads = if self.reads { reads } else { 0 };
        for name in ["written", "read", "file"] {
            check(
                name,
                Kind::Read,
                each((0..PAGES).filter(|_| reads > 0), reads),
            );
        }
        check(
            "aligned",
            Kind::Read,
            each((0..512).filter(|_| reads > 0), reads),
        );
        check("never", Kind::Read, each([], 0));
    }

    fn path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.inside.guest.pid())
    }
}

/// Between the rounds of writing and reading, `disturb` is done.
#[track_caller]
fn undisturbed_by(disturb: impl Fn(&mut Churn)) {
    if !machine::can_run_inside() {
        return;
    }
    for reads in [false, true] {
        let mut churn = Churn::start(reads);
        churn.settled("r");
        churn.settled("w");
        churn.assert_counts("written and read once", 1, 1);
        for round in 1..3 {
            disturb(&mut churn);
            churn.inside.segment.settle();
            churn.assert_counts("after the disturbance", round, round);
            churn.settled("r");
            churn.assert_counts("read after the disturbance", round, round + 1);
            churn.settled("w");
            churn.assert_counts("written after the disturbance", round + 1, round + 1);
        }
        churn.inside.end("q");
        churn.assert_counts("at the end", 3, 3);
    }
}

#[test]
fn forks_are_no_accesses() {
    undisturbed_by(|churn| churn.inside.command("f"));
}

#[test]
fn changes_of_protection_are_no_accesses() {
    undisturbed_by(|churn| churn.inside.command("p"));
}

#[test]
fn advice_that_pages_are_cold_is_no_access() {
    undisturbed_by(|churn| churn.inside.command("c"));
}

#[test]
fn paging_out_is_no_access() {
    undisturbed_by(|churn| churn.inside.command("o"));
}

#[test]
fn pages_discarded_next_to_others_are_no_accesses_of_those() {
    undisturbed_by(|churn| churn.inside.command("d"));
}

#[test]
fn pages_joined_to_a_huge_one_are_counted_one_by_one() {
    undisturbed_by(|churn| churn.inside.command("h"));
}

#[test]
fn everything_at_once_is_no_access() {
    undisturbed_by(|churn| churn.inside.command("pfhdocf"));
}

#[test]
fn reading_and_writing_a_process_from_outside_is_no_access_of_its_own() {
    use std::os::unix::fs::FileExt;
    undisturbed_by(|churn| {
        let memory = std::fs::File::options()
            .read(true)
            .write(true)
            .open(churn.path("mem"));
        let memory = memory.expect("an own process's memory can be opened");
        let mut bytes = vec![0; (PAGES * 4096) as usize];
        for name in ["read", "file", "written"] {
            let start = churn.inside.region(name).start;
            memory
                .read_exact_at(&mut bytes, start)
                .expect("memory can be read");
            memory
                .write_all_at(&bytes, start)
                .expect("memory can be written");
        }
    });
}

#[test]
fn clearing_the_kernels_own_marks_is_no_access() {
    undisturbed_by(|churn| {
        // Marks of references; of anonymous pages; of files' pages.
        for which in ["1", "2", "3"] {
            std::fs::write(churn.path("clear_refs"), which).expect("marks can be cleared");
        }
    });
}

#[test]
fn migration_by_compaction_is_no_access() {
    let file = "/proc/sys/vm/compact_memory";
    if !machine::is_root() || !Path::new(file).exists() {
        return machine::skip("only root can have memory compacted, by a kernel that does it");
    }
    undisturbed_by(|_| std::fs::write(file, "1").expect("root can have memory compacted"));
}

/// Merging of equal pages, switched on until the value is dropped.
struct Merging(String);

const MERGING: &str = "/sys/kernel/mm/ksm/run";

impl Merging {
    fn start() -> Self {
        let before = std::fs::read_to_string(MERGING).expect("the kernel merges pages");
        std::fs::write(MERGING, "1").expect("root can have pages merged");
        Self(before)
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        let _ = std::fs::write(MERGING, self.0.trim());
    }
}

#[test]
fn merging_of_equal_pages_is_no_access() {
    if !machine::is_root() || !Path::new(MERGING).exists() {
        return machine::skip("only root can have equal pages merged, by a kernel that does it");
    }
    let _merging = Merging::start();
    undisturbed_by(|churn| {
        churn.inside.command("s");
        // The pages that were written have few different values, and those only read are all zeros.
        let merged = || {
            let text = std::fs::read_to_string(churn.path("ksm_merging_pages"));
            text.is_ok_and(|text| text.trim().parse().is_ok_and(|pages: u64| pages >= 100))
        };
        let deadline = Instant::now() + machine::patience(Duration::from_secs(10));
        while !merged() {
            assert!(Instant::now() < deadline, "the kernel merges nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}
