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
struct Churn(Inside);

impl Churn {
    fn start() -> Self {
        let program = Guest::new("oracle/churn").program();
        let mut inside = Inside::start(&program, &["--interval", "20ms"]);
        inside.command("r");
        Self(inside)
    }

    /// Fails unless the written pages have so many write events each, and no other page has any.
    #[track_caller]
    fn assert_written(&self, when: &str, rounds: u64) {
        let check = |name: &str, expected| {
            let counts = self.0.segment.counts(Kind::Write, &self.0.region(name));
            assert_counts(&format!("{name} pages {when}"), &counts, &expected);
        };
        check("written", each(0..PAGES, rounds));
        check("aligned", each((0..512).step_by(2), rounds));
        for name in ["read", "never", "file"] {
            check(name, each([], 0));
        }
    }

    fn path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.0.guest.pid())
    }
}

/// Between the rounds of writing, `disturb` is done.
#[track_caller]
fn undisturbed_by(disturb: impl Fn(&mut Churn)) {
    if !machine::can_run_inside() {
        return;
    }
    let mut churn = Churn::start();
    churn.0.command("w");
    churn.0.segment.settle();
    churn.assert_written("written once", 1);
    for rounds in 2..4 {
        disturb(&mut churn);
        churn.0.segment.settle();
        churn.0.command("r");
        churn.0.segment.settle();
        churn.assert_written("after the disturbance", rounds - 1);
        churn.0.command("w");
        churn.0.segment.settle();
        churn.assert_written("written again", rounds);
    }
    churn.0.end("q");
    churn.assert_written("at the end", 3);
}

#[test]
fn forks_are_no_accesses() {
    undisturbed_by(|churn| churn.0.command("f"));
}

#[test]
fn changes_of_protection_are_no_accesses() {
    undisturbed_by(|churn| churn.0.command("p"));
}

#[test]
fn advice_that_pages_are_cold_is_no_access() {
    undisturbed_by(|churn| churn.0.command("c"));
}

#[test]
fn paging_out_is_no_access() {
    undisturbed_by(|churn| churn.0.command("o"));
}

#[test]
fn pages_discarded_next_to_others_are_no_accesses_of_those() {
    undisturbed_by(|churn| churn.0.command("d"));
}

#[test]
fn pages_joined_to_a_huge_one_are_counted_one_by_one() {
    undisturbed_by(|churn| churn.0.command("h"));
}

#[test]
fn everything_at_once_is_no_access() {
    undisturbed_by(|churn| churn.0.command("pfhdocf"));
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
            let start = churn.0.region(name).start;
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
        churn.0.command("s");
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
