//! Random programs: whatever is mapped, moved, protected and forked, exactly the accessed pages are counted.
//!
//! The same scripts each time, unless `VMMLOAD_PROPERTY_CASES` asks for so many new ones.

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use vmmload_tests::{machine, script};

/// Asks for so many scripts, other ones each time.
const CASES: &str = "VMMLOAD_PROPERTY_CASES";
/// Scripts run by default; a tenth of a second each.
const DEFAULT_CASES: u64 = 16;
/// Operations of a script.
const LONGEST: usize = 60;

fn runner() -> TestRunner {
    let asked = std::env::var(CASES).ok();
    let cases = asked.as_ref().map(|text| {
        text.parse()
            .unwrap_or_else(|cause| panic!("{CASES}={text}: {cause}"))
    });
    let config = Config {
        cases: cases.unwrap_or(machine::work(DEFAULT_CASES).max(2) as u32),
        max_shrink_iters: 300,
        failure_persistence: None,
        ..Config::default()
    };
    if asked.is_some() {
        return TestRunner::new(config);
    }
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
}

/// Runs scripts, and shows the shortest that fails.
#[track_caller]
fn scripts_are_counted_right(options: &[&str]) {
    if !machine::can_run_inside() {
        return;
    }
    let outcome = runner().run(&script::operations(LONGEST), |(pace, script)| {
        script::run(pace, &script, options)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn random_programs_have_an_event_for_each_page_that_they_write() {
    scripts_are_counted_right(&[]);
}

#[test]
fn random_programs_have_them_with_a_small_ring_too() {
    scripts_are_counted_right(&["--buffer", "1024"]);
}

#[test]
fn random_programs_have_an_event_for_each_page_that_they_read() {
    scripts_are_counted_right(&["--track", "readwrite"]);
}
