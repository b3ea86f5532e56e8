//! Who copies the pages that are reported as written, and no others, has the program's memory.

use std::process::Command;

use vmmload_tests::{Guest, Program, Session, example, machine, packages};

/// Copies the heap of `program` page by page while it runs, and compares at the end.
#[track_caller]
fn keep_copy(program: Program, options: &[&str]) {
    if !machine::can_run_inside() {
        return;
    }
    let incremental = example("incremental");
    let program = options
        .iter()
        .fold(program, |program, option| program.option(*option));
    let mut session = Session::start(program.inside_command());
    assert_eq!(session.line(), "ready");
    // Long enough for pages to be left alone, and watched again.
    let seconds = "3";
    let output = Command::new(incremental)
        .args([&session.pid().to_string(), seconds])
        .output()
        .expect("the example can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("equal: every change is among"), "{text}");
    session.signal(libc::SIGKILL);
    session.finish();
}

fn changing_heap() -> Program {
    Guest::new("incremental/heap").program()
}

#[test]
fn a_heap_that_changes_in_every_way_is_copied_without_missing_a_page() {
    keep_copy(changing_heap(), &["-i", "20ms"]);
}

#[test]
fn pages_that_are_left_alone_are_copied_too() {
    keep_copy(changing_heap(), &["-i", "10ms", "--max-overhead", "20"]);
}

#[test]
fn watching_loads_as_well_misses_no_store() {
    keep_copy(changing_heap(), &["-i", "20ms", "--track", "readwrite"]);
}

#[test]
fn the_heap_of_an_interpreter_is_copied_without_missing_a_page() {
    let perl = packages::program("/usr/bin/perl", "perl");
    let script = "$| = 1; print qq(ready\\n); srand 7; while (1) {
        $all{int rand 4000} = 'x' x rand 9000; delete $all{int rand 4000};
        select undef, undef, undef, 0.001 }";
    keep_copy(Program::new(perl).args(["-e", script]), &["-i", "50ms"]);
}
