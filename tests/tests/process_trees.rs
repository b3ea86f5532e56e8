//! Following all processes of one `vmmload run`, as they come and go.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use vmmload_consumer::{Change, Consumer, End, ProcessId, Status, Woken};
use vmmload_tests::{Program, Session, machine};

/// What a follower has seen of a tree until it was over.
#[derive(Debug, Default)]
struct Followed {
    changes: Vec<Change>,
    /// Processes, whatever they executed.
    processes: BTreeSet<(u32, u64)>,
    /// Processes that the others have told of.
    told: BTreeSet<(u32, u64)>,
    events: u64,
    missed: u64,
}

/// Starts a shell script inside, follows it from its first line of output on, and lets it go on then.
#[track_caller]
fn follow(script: &str) -> Followed {
    let script = format!("echo ready; read go; {script}");
    let shell = Program::new("/bin/sh").args(["-c", script.as_str()]);
    let mut session = Session::start(shell.inside_command());
    assert_eq!(session.line(), "ready");
    let pid = u32::try_from(session.pid()).unwrap();
    let mut tree = vmmload_consumer::Session::of(pid).unwrap();
    assert_eq!(tree.id().pid, pid);
    session.send("go\n");
    let mut seen = Followed::default();
    let key = |id: ProcessId| (id.pid, id.start);
    let limit = machine::patience(Duration::from_secs(60));
    let end = Instant::now() + limit;
    loop {
        let woken = tree.wait(Some(Duration::from_secs(1)));
        let changes = tree.refresh();
        for process in tree.members_mut() {
            seen.processes.insert(key(process.id()));
            let children = process.children();
            seen.told
                .extend(children.iter().map(|child| key(child.process)));
            seen.events += process.drain().count() as u64;
        }
        seen.changes.extend(changes);
        if woken == Woken::Over {
            break;
        }
        assert!(Instant::now() < end, "not over after {limit:?}: {seen:?}");
    }
    seen.missed = tree.missed();
    assert!(session.finish().success());
    seen
}

#[test]
fn children_and_what_they_execute_are_followed_to_their_ends() {
    if !machine::can_run_inside() {
        return;
    }
    let followed = follow("sleep 1 & (sleep 1; exec sleep 1) & wait; exit 0");
    assert!(followed.events > 0);
    // The programs are executed by processes that the shell has forked, and that are gone soon after.
    assert!(
        followed.changes.iter().any(Change::is_replaced),
        "{followed:?}"
    );
    let exited =
        |change: &&Change| matches!(change, Change::Went(_, Status::Ended(End::Exited(0))));
    let ends = followed.changes.iter().filter(exited).count();
    assert_eq!(ends, 4, "{followed:?}");
    // The shell, its two children, and the child of one of them.
    assert_eq!(
        (followed.processes.len(), followed.told.len()),
        (4, 3),
        "{followed:?}"
    );
    assert_eq!(followed.missed, 0);
}

#[test]
fn orphans_stay_in_the_session_of_those_who_are_gone() {
    if !machine::can_run_inside() {
        return;
    }
    let followed = follow("(sleep 2 & exit 0); exit 0");
    let went: Vec<ProcessId> = followed
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::Went(id, _) if !change.is_replaced() => Some(*id),
            _ => None,
        })
        .collect();
    assert_eq!(
        (followed.processes.len(), went.len()),
        (3, 3),
        "{followed:?}"
    );
    // The last one was forked last: its parents are long gone.
    assert_eq!(
        went.last().map(|id| id.pid),
        followed.processes.iter().map(|id| id.0).max()
    );
}

#[test]
fn processes_too_quick_to_be_read_are_counted_as_missed() {
    if !machine::can_run_inside() {
        return;
    }
    const FORKS: usize = 20;
    let followed = follow(&format!(
        "i=0; while [ $i -lt {FORKS} ]; do (:); i=$((i+1)); done"
    ));
    let children = followed.processes.len() - 1;
    assert_eq!(followed.told.len(), FORKS, "{followed:?}");
    assert_eq!(children + followed.missed as usize, FORKS, "{followed:?}");
}

#[test]
fn processes_of_another_run_are_not_followed() {
    if !machine::can_run_inside() {
        return;
    }
    let cat = Program::new("/bin/cat");
    let mut others = Session::start(cat.inside_command());
    others.send("there\n");
    assert_eq!(others.line(), "there");
    let id = Consumer::attach(u32::try_from(others.pid()).unwrap())
        .unwrap()
        .id();
    let followed = follow("/bin/true; exit 0");
    assert!(
        !followed.processes.contains(&(id.pid, id.start)),
        "{followed:?}"
    );
    others.finish();
}
