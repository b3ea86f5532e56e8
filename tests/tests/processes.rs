//! Processes that a wrapped program starts: copies of it, each wrapped in a VM of its own.

use std::process::Command;
use std::time::Duration;

use vmmload_tests::dump::{Follower, Record, events};
use vmmload_tests::packages::{c_compiler, program, python_importing};
use vmmload_tests::scratch::Scratch;
use vmmload_tests::watched::{PAGE, hexadecimal};
use vmmload_tests::{Guest, Program, Session, guest_tests, machine, vmmload};

guest_tests! {
    forked_child_has_a_copy_of_everything: "processes/fork";
    forked_child_of_a_static_program_has_a_copy_of_everything: "processes/fork" Static;
    any_thread_can_fork_while_others_run: "processes/fork_and_threads";
    child_inherits_handlers_and_masks_but_no_signals: "processes/fork_and_signals";
    clone_flags_do_what_they_say_for_processes: "processes/clone_processes";
    children_that_share_their_parents_memory_do: "processes/sharing";
    children_of_a_static_program_that_share_its_memory_do: "processes/sharing" Static;
    clone_shares_and_tells_what_it_is_asked_to: "processes/clone_sharing";
    waiting_tells_what_each_option_asks_for: "processes/waits";
    orphans_groups_and_sessions_are_told_what_the_kernel_tells: "processes/orphans";
    terminal_stops_interrupts_and_hangs_up_its_session: "processes/terminal_control";
    descriptors_of_processes_tell_and_signal: "processes/pidfds";
    namespaces_hold_what_is_cloned_into_them: "processes/namespaces";
    times_of_children_are_told_to_who_waited: "processes/accounting";
}

#[test]
fn process_that_would_share_open_files_is_refused_by_name() {
    let program = Guest::new("processes/clone_sharing").program();
    let program = program.arg("descriptors");
    assert_eq!(program.native().text(), "shared\n");
    if !machine::can_run_inside() {
        return;
    }
    let inside = program.inside();
    inside.assert_success("the guest goes on");
    assert_eq!(inside.text(), "Invalid argument\n");
    let said = String::from_utf8_lossy(&inside.stderr);
    assert!(said.contains("CLONE_FILES without CLONE_THREAD"), "{said}");
}

#[test]
fn shell_tools_arrange_process_trees_as_natively() {
    let bash = program("/bin/bash", "bash");
    let script = "(exec setsid sh -c 'read -r _ _ _ _ _ session _ < /proc/$$/stat; test $session = $$'); echo $?\n\
                  timeout -s INT 0.3 sleep 20; echo $?\n\
                  nohup sh -c 'kill -HUP $$; echo still there' 2>/dev/null\n\
                  (sleep 0.1; exit 3) & (sleep 2; exit 4) & wait -n; echo $?; wait -n; echo $?; wait -n; echo $?\n\
                  trap 'echo child' CHLD; (exit 2); true; trap - CHLD\n\
                  sh -c 'sleep 30 & echo $! > pid; exit 6'; echo $?; kill $(cat pid) && echo killed\n\
                  set -m; sh -c 'kill -STOP $$; exit 7' & wait $!; echo $?; jobs | sed 's/  */ /g'; kill -CONT %1; wait %1; echo $?";
    let scratch = Scratch::new();
    let command = Program::new(bash)
        .args(["-c", script])
        .directory(scratch.path());
    command.limit(Duration::from_secs(120)).compare();
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
            Some(&Record::End {
                status: Some(0),
                executes: None,
            }),
            "the {who}"
        );
    }
}

/// A small C project with a makefile, in a fresh directory.
fn c_project(scratch: &Scratch) {
    for number in 1..=8 {
        let source = format!("int f{number}(int x) {{ return x * {number}; }}\n");
        let _ = scratch.file(&format!("f{number}.c"), source, 0o644);
    }
    let main = "#include <stdio.h>\nint f1(int), f8(int);\n\
                int main(void) { printf(\"%d\\n\", f1(3) + f8(4)); }\n";
    let _ = scratch.file("main.c", main, 0o644);
    let makefile = "OBJECTS = $(patsubst %.c,%.o,$(sort $(wildcard *.c)))\n\
                    prog: $(OBJECTS)\n\t$(CC) -o $@ $^\n\
                    %.o: %.c\n\t$(CC) -O1 -c $<\n\
                    clean:\n\trm -f $(OBJECTS) prog\n";
    let _ = scratch.file("Makefile", makefile, 0o644);
}

#[test]
fn make_builds_a_project_with_the_compiler_and_its_children() {
    let compiler = c_compiler();
    let make = program("/usr/bin/make", "make");
    let scratch = Scratch::new();
    c_project(&scratch);
    let run = |words: &[&str]| {
        let command = Program::new(make).directory(scratch.path());
        let command = command.args(words.iter().copied()).env("CC", compiler);
        command.limit(Duration::from_secs(180)).compare_success()
    };
    run(&["--always-make"]);
    let built = Program::new("./prog").directory(scratch.path());
    assert_eq!(built.compare_success().text(), "35\n");
    run(&["clean"]);
    let missing = Program::new(make).directory(scratch.path()).arg("nothing");
    assert_eq!(missing.compare().status.code(), Some(2));
}

#[test]
fn shell_pipelines_of_programs_do_the_same() {
    let bash = program("/bin/bash", "bash");
    let script = "set -o pipefail; seq 1 200 | grep 7 | sort -rn | head -5; ls -d / /etc | tr / -\n\
                  find /etc/apt -name '*.list' | sort | xargs -n1 basename -a; \
                  echo \"$(uname -s) $(id -u)\"; env -i A=1 /usr/bin/env; false | true; echo $?\n\
                  printf '%s\\n' c a b | sort > sorted; cat sorted; wc -l < sorted; exec sleep 0";
    let scratch = Scratch::new();
    let command = Program::new(bash)
        .args(["-c", script])
        .directory(scratch.path());
    command.limit(Duration::from_secs(120)).compare_success();
}

#[test]
fn children_can_be_left_to_run_natively() {
    let bash = program("/bin/bash", "bash");
    let script = "grep -c . /etc/passwd; (exit 5); echo $?; x=$(echo hi | tr h H); echo $x";
    let command = Program::new(bash).args(["-c", script]);
    command
        .option("--children")
        .option("native")
        .compare_success();
}

#[test]
fn segments_tell_who_forked_and_what_goes_on_natively() {
    if !machine::can_run_inside() {
        return;
    }
    let bash = program("/bin/bash", "bash");
    let script = "(echo $BASHPID; read -r word; exec true); true";
    let program = Program::new(bash).args(["-c", script]);
    let program = program
        .option("--children=native")
        .option("--interval=20ms");
    let mut parent = Session::start(program.inside_command());
    let child: i32 = parent.line().parse().expect("a pid is a number");
    let listed = Command::new(vmmload())
        .args(["ls", "--format", "json"])
        .output();
    let listed = String::from_utf8(listed.expect("vmmload runs").stdout).expect("JSON is text");
    let line = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON"))
        .find(|value| value["pid"] == child);
    let line = line.expect("the child is listed");
    assert_eq!(line["parent"], parent.pid(), "{line}");
    let mut follower = Follower::attach(child);
    let patience = machine::patience(Duration::from_secs(10));
    assert!(follower.read_until(patience, |records| !records.is_empty()));
    parent.send("x\n");
    let natively = Record::End {
        status: None,
        executes: Some("natively".to_owned()),
    };
    assert_eq!(follower.read_to_end().last(), Some(&natively));
    assert!(parent.finish().success());
}
