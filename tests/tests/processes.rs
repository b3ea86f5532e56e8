//! Processes that a wrapped program starts: copies of it, each wrapped in a VM of its own.

use std::time::Duration;

use vmmload_tests::dump::{Follower, Record, events};
use vmmload_tests::packages::{program, python_importing};
use vmmload_tests::watched::{PAGE, hexadecimal};
use vmmload_tests::{Guest, Program, Session, guest_tests, machine};

guest_tests! {
    forked_child_has_a_copy_of_everything: "processes/fork";
    forked_child_of_a_static_program_has_a_copy_of_everything: "processes/fork" Static;
    any_thread_can_fork_while_others_run: "processes/fork_and_threads";
    child_inherits_handlers_and_masks_but_no_signals: "processes/fork_and_signals";
    clone_flags_do_what_they_say_for_processes: "processes/clone_processes";
}

#[test]
fn shell_waits_for_its_subshells_and_background_jobs() {
    let script = "echo one; (echo two; exit 3); echo \"status $?\"; x=$(echo three); echo \"$x\"\n\
                  for i in 1 2 3; do (exit $i) & done; wait; echo four | while read -r y; do\n\
                  echo \"$y\"; done; (kill -TERM $BASHPID; sleep 9); echo \"died of $?\"; trap 'echo bye' EXIT";
    let bash = program("/bin/bash", "bash");
    Program::new(bash).args(["-c", script]).compare_success();
    let dash = program("/bin/dash", "dash");
    let script =
        "echo one | { read -r x; echo \"$x\"; }; (exit 4); echo $?; false || (true && echo ok)";
    Program::new(dash).args(["-c", script]).compare_success();
}

#[test]
fn python_forks_pools_and_pipes() {
    let script = "import multiprocessing as mp, os\n\
                  def square(x): return x * x\n\
                  if __name__ == '__main__':\n\
                  \x20   mp.set_start_method('fork')\n\
                  \x20   with mp.Pool(3) as pool: print(pool.map(square, range(20)))\n\
                  \x20   r, w = os.pipe()\n\
                  \x20   if os.fork() == 0: os.write(w, b'x' * 100); os._exit(7)\n\
                  \x20   print(len(os.read(r, 1000)), os.waitstatus_to_exitcode(os.wait()[1]))\n";
    let python = python_importing("multiprocessing.pool, multiprocessing.popen_fork");
    let outcome = Program::new(python).args(["-c", script]);
    outcome.limit(Duration::from_secs(120)).compare_success();
}

#[test]
fn writes_of_a_child_are_counted_in_a_segment_of_its_own() {
    if !machine::can_run_inside() {
        return;
    }
    let pages: u64 = 500;
    let program = Guest::new("tracking/forked")
        .program()
        .arg(pages.to_string());
    let mut parent = Session::start(program.option("--interval").option("20ms").inside_command());
    let line = parent.line();
    let (pid, buffer) = line.split_once(' ').expect("a pid and an address");
    let pid = pid.parse().expect("a pid is a number");
    assert_ne!(pid, parent.pid());
    let buffer = hexadecimal(buffer);
    let buffer = buffer..buffer + pages * PAGE;
    let mut child = Follower::attach(pid);
    let all = |records: &[Record]| events(records, "write", &buffer).len() as u64 == pages;
    let seen = child.read_until(machine::patience(Duration::from_secs(10)), all);
    assert!(
        seen,
        "{} pages",
        events(child.records(), "write", &buffer).len()
    );
    let mut own = Follower::attach(parent.pid());
    let patience = machine::patience(Duration::from_secs(10));
    assert!(own.read_until(patience, |records| !records.is_empty()));
    assert!(parent.finish().success());
    for (records, who) in [
        (child.read_to_end(), "child"),
        (own.read_to_end(), "parent"),
    ] {
        let found = events(records, "write", &buffer);
        let wrong: Vec<_> = found.iter().filter(|(_, count)| **count != 1).collect();
        assert_eq!(
            (found.len() as u64, wrong.len()),
            (pages, 0),
            "the {who}: {wrong:x?}"
        );
        assert_eq!(
            records.last(),
            Some(&Record::End { status: Some(0) }),
            "the {who}"
        );
    }
}
