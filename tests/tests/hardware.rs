//! What the processor's virtualisation does for vmmload, by KVM's own counters of exits and faults.
//!
//! They need a KVM that counts, and a processor known beforehand: `VMMLOAD_RIG` says `amd` or `intel`.
//! The tests in `amd` and `intel` say that they are elsewhere where it names the other.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vmmload_tests::counts::{self, Command, Cost, HANDOVERS, Rewrite, Touching};
use vmmload_tests::{Program, kvm, vmmload};

/// Pages that are rewritten, unless [`PAGES`] says otherwise: an emulated machine may be slow.
const DEFAULT_PAGES: u64 = 100_000;
const PAGES: &str = "VMMLOAD_RIG_PAGES";

/// What a command may exit for beside its work: its two system calls, and the stack and the buffer of
/// standard output, which are armed as well. Interrupts are counted by themselves and taken off.
const COMMAND_EXITS: u64 = 40;
/// Entries of the processor's own log: a full one is an exit.
const LOG_ENTRIES: u64 = 512;

/// Of so many system calls that do not leave the guest, one may after all: a signal, or an owner that got no
/// processor for a while.
const CALLS_PER_EXIT: u64 = 100;

/// One test after the other: each measures, and would be disturbed.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A test that failed leaves nothing behind that concerns the next.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rig that this is.
#[track_caller]
fn rig() -> String {
    let name = kvm::rig().expect("VMMLOAD_RIG names no rig: these tests run in one, by cargo rig");
    assert!(name == "amd" || name == "intel", "VMMLOAD_RIG={name}");
    name
}

/// Whether this is the rig that a test is for; if not, that is said past the test runner's capture.
#[track_caller]
fn rig_is(wanted: &str) -> bool {
    let name = rig();
    if name != wanted {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(
            std::io::stderr(),
            "ELSEWHERE: {test}: for {wanted}, not {name}"
        );
    }
    name == wanted
}

fn pages() -> u64 {
    std::env::var(PAGES).map_or(DEFAULT_PAGES, |text| {
        text.parse()
            .unwrap_or_else(|cause| panic!("{PAGES}={text}: {cause}"))
    })
}

/// Prints what was measured, also for a test that passes: these figures are what a rig is run for.
fn tell(what: &str, cost: &Cost) {
    let counted = cost.kvm.map_or("not counted by KVM".into(), |growth| {
        let kvm::Counters {
            exits,
            faults,
            interrupts,
        } = growth;
        format!("{exits} exits, {faults} for faults, {interrupts} for interrupts")
    });
    let _ = writeln!(
        std::io::stderr(),
        "MEASURED: {what}: {counted}; {} to user space, {} for a full ring; {} events; {:.3} s",
        cost.user_exits,
        cost.ring_full_exits,
        cost.events,
        cost.seconds
    );
}

/// KVM's counters of a cost.
#[track_caller]
fn counted(cost: &Cost) -> kvm::Counters {
    cost.kvm
        .expect("KVM counts nothing: is debugfs mounted at /sys/kernel/debug?")
}

/// Rewrites armed pages; each must have been counted once for each of the two times.
#[track_caller]
fn rewritten() -> Rewrite {
    let _alone = alone();
    let rewrite = counts::rewrite(pages());
    let Rewrite {
        pages,
        first,
        armed,
    } = rewrite;
    tell(&format!("first write of {pages} pages"), &first);
    tell(&format!("rewriting {pages} armed pages"), &armed);
    assert_eq!(
        (first.events, armed.events),
        (pages, pages),
        "write events of the first and of the second time"
    );
    rewrite
}

mod intel {
    use super::*;

    #[test]
    #[ignore = "needs KVM's own counters: run by cargo rig"]
    fn processor_logs_modified_pages_by_itself() {
        if !rig_is("intel") {
            return;
        }
        for name in ["pml", "ept", "eptad"] {
            assert_eq!(
                kvm::parameter("kvm_intel", name).as_deref(),
                Some("Y"),
                "parameter {name} of kvm_intel"
            );
        }
    }

    #[test]
    #[ignore = "needs KVM's own counters: run by cargo rig"]
    fn rewriting_pages_exits_once_for_each_512_and_takes_no_fault() {
        if !rig_is("intel") {
            return;
        }
        let Rewrite { pages, armed, .. } = rewritten();
        let (exits, faults) = (counted(&armed).own_exits(), counted(&armed).faults);
        let most = pages / LOG_ENTRIES * 3 / 2 + COMMAND_EXITS;
        assert!(
            exits <= most,
            "{exits} exits for {pages} pages, not {most} at most"
        );
        assert!(
            faults <= COMMAND_EXITS,
            "{faults} faults for {pages} pages, which are mapped"
        );
    }
}

mod amd {
    use super::*;

    #[test]
    #[ignore = "needs KVM's own counters: run by cargo rig"]
    fn processor_walks_nested_page_tables() {
        if !rig_is("amd") {
            return;
        }
        let npt = kvm::parameter("kvm_amd", "npt");
        assert!(
            matches!(npt.as_deref(), Some("1" | "Y")),
            "parameter npt of kvm_amd: {npt:?}"
        );
    }

    #[test]
    #[ignore = "needs KVM's own counters: run by cargo rig"]
    fn rewriting_pages_takes_one_fault_each() {
        if !rig_is("amd") {
            return;
        }
        let Rewrite { pages, armed, .. } = rewritten();
        let (exits, faults) = (counted(&armed).own_exits(), counted(&armed).faults);
        let most = pages * 6 / 5 + COMMAND_EXITS;
        assert!(
            (pages..=most).contains(&exits) && faults >= pages,
            "{exits} exits, {faults} for faults, for {pages} pages: not between as many and {most}"
        );
    }

    #[test]
    #[ignore = "needs KVM's own counters: run by cargo rig"]
    fn two_threads_run_at_once_and_each_page_of_theirs_counts_once() {
        if !rig_is("amd") {
            return;
        }
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        assert!(cpus >= 2, "{cpus} CPU is online: two are needed");
        let _alone = alone();
        let pages = 400;
        let mut touching = Touching::start(pages, &[]);
        let cost = touching.cost_of(Command::HandOver);
        let events = touching.events();
        touching.end();
        tell(&format!("{HANDOVERS} handovers"), &cost);
        // Starting and ending a thread is some hundred exits; each page's first store is two or three.
        let most = HANDOVERS / 4;
        let exits = counted(&cost).own_exits();
        assert!(
            exits <= most,
            "{exits} exits for {HANDOVERS} handovers, not {most} at most"
        );
        assert_eq!(events.len() as u64, pages, "pages that were counted");
        let wrong: Vec<_> = events.iter().filter(|(_, count)| **count != 1).collect();
        assert!(
            wrong.is_empty(),
            "written once, but counted not once: {wrong:x?}"
        );
    }
}

#[test]
#[ignore = "needs KVM's own counters: run by cargo rig"]
fn doctor_finds_what_the_emulated_processor_has() {
    let rig = rig();
    let outcome = Program::new(vmmload())
        .args(["doctor", "--format", "json"])
        .native();
    let document: serde_json::Value = serde_json::from_slice(&outcome.stdout).expect("an object");
    let log = if rig == "intel" { "hardware" } else { "fault" };
    for (probe, found) in [
        ("syscall_entry", "ring0"),
        ("paging", "nested"),
        ("write_log", log),
        ("write_log_evidence", "count"),
        ("tsc", "host"),
    ] {
        assert_eq!(document["probes"][probe], found, "{probe}: {document:#}");
    }
}

#[test]
#[ignore = "needs KVM's own counters: run by cargo rig"]
fn thousand_calls_are_thousand_exits() {
    rig();
    let _alone = alone();
    let calls = counts::calls();
    tell(&format!("{} calls", calls.calls), &calls.with);
    tell("a command without calls", &calls.without);
    counted(&calls.with);
    let exits = calls.exits();
    assert!(
        exits >= calls.calls && exits <= calls.calls + calls.calls / 20,
        "{exits} exits for {} calls",
        calls.calls
    );
}

/// Whether there is a processor for the thread beside the guest's; if not, that is said.
#[track_caller]
fn has_two_processors() -> bool {
    let found = std::thread::available_parallelism().map_or(0, usize::from);
    if found < 2 {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(
            std::io::stderr(),
            "ELSEWHERE: {test}: for two processors, not {found}"
        );
    }
    found >= 2
}

/// Calls that are made in a row: an emulator that interprets is slow.
fn many_calls() -> u64 {
    match rig().as_str() {
        "intel" => 4_000,
        _ => 100_000,
    }
}

#[test]
#[ignore = "needs KVM's own counters: run by cargo rig"]
fn calls_and_reads_with_a_thread_beside_do_not_leave_the_guest() {
    let number = many_calls();
    if !has_two_processors() {
        return;
    }
    let _alone = alone();
    let [calls, reads] = counts::calls_of([Command::Calls, Command::Reads], number, "spin");
    tell("a command without calls", &calls.without);
    let most = number / CALLS_PER_EXIT;
    for (what, calls) in [("calls", calls), ("reads of a byte", reads)] {
        tell(&format!("{number} {what} in the guest"), &calls.with);
        counted(&calls.with);
        let exits = calls.exits();
        assert!(exits < most, "{exits} exits for {number} {what}");
    }
}

#[test]
#[ignore = "needs KVM's own counters: run by cargo rig"]
fn pages_written_between_calls_in_the_guest_count_once_each() {
    rig();
    if !has_two_processors() {
        return;
    }
    let _alone = alone();
    // More than the processor's own log takes.
    let (pages, rounds) = (LOG_ENTRIES * 5 / 2, 2);
    let mut touching = Touching::start(pages, &["--call-mode", "spin"]);
    for round in 1..=rounds {
        let cost = touching.cost_of(Command::WriteAndCall);
        tell(&format!("writing {pages} pages between calls"), &cost);
        assert_eq!(cost.events, pages, "write events of round {round}");
    }
    let events = touching.events();
    touching.end();
    assert_eq!(events.len() as u64, pages, "pages that were counted");
    let wrong: Vec<_> = events.iter().filter(|(_, n)| **n != rounds).collect();
    assert!(
        wrong.is_empty(),
        "written {rounds} times, but counted otherwise: {:x?}",
        &wrong[..wrong.len().min(5)]
    );
}

#[test]
#[ignore = "needs KVM's own counters: run by cargo rig"]
fn full_rings_are_emptied_and_each_page_counts_once() {
    rig();
    let _alone = alone();
    let pages = 3000;
    let mut touching = Touching::start(pages, &["--buffer", "1024"]);
    let first = touching.cost_of(Command::Write);
    let second = touching.cost_of(Command::Write);
    let events = touching.events();
    touching.end();
    tell("first write with a small ring", &first);
    tell("rewriting with a small ring", &second);
    counted(&second);
    // KVM keeps some of the entries in reserve: 64, and as many as the processor's own log has.
    assert!(
        (2..=10).contains(&second.ring_full_exits),
        "{} exits for a full ring",
        second.ring_full_exits
    );
    assert_eq!(events.len() as u64, pages, "pages that were counted");
    let wrong: Vec<_> = events.iter().filter(|(_, count)| **count != 2).collect();
    assert!(
        wrong.is_empty(),
        "written twice, but counted not twice: {:x?}",
        &wrong[..wrong.len().min(5)]
    );
}
