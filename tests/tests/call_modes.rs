//! Programs that do little else than make system calls, in each way that vmmload has to serve them, while all that may
//! come between comes between: signals, threads, filters. And from all places that code can be at.
//!
//! A call is served by leaving the guest for each (`exit`), by a thread beside it (`spin`), or now so and now so
//! (`auto`). A program must not be able to tell. `VMMLOAD_CALL_MODE` in the tests' environment chooses one alone.
//!
//! The guests make as many calls as there is time for, so none prints how many.

use vmmload_tests::scratch::Scratch;
use vmmload_tests::{Guest, Program, call_mode_tests, call_modes};

call_mode_tests! {
    timers_interrupt_loops_of_short_calls: "calls/interrupted" ["short"];
    bytes_through_a_pipe_are_a_sequence_whatever_interrupts: "calls/interrupted" ["pipes"];
    sleeps_end_early_only_if_interrupted: "calls/interrupted" ["sleeps"];
    turns_by_futex_are_neither_lost_nor_doubled: "calls/interrupted" ["futexes"];
    futexes_with_a_limit_end_by_it_or_by_a_signal: "calls/interrupted" ["limits"];
    signals_go_back_and_forth_between_calling_threads: "calls/counted" ["back-and-forth"];
    queued_signals_come_in_order_to_a_calling_thread: "calls/counted" ["in-order"];
    signals_unblocked_by_a_call_come_lowest_first: "calls/counted" ["lowest-first"];
    handlers_call_on_the_alternate_stack: "calls/handlers" ["calling"];
    calls_left_by_a_jump_are_made_once_or_not: "calls/handlers" ["jumping"];
    blocked_signals_wait_while_all_threads_call: "calls/pending" ["blocked"];
    ignored_signals_are_not_noticed_by_calls: "calls/pending" ["ignored"];
    calls_change_no_register_flag_vector_or_red_zone: "calls/registers";
    single_steps_over_calls_are_the_same_when_they_are_frequent: "calls/steps";
    one_thread_calls: "calls/many" ["1"];
    four_threads_call_at_once: "calls/many" ["4"];
    four_threads_call_at_once_in_a_static_program: "calls/many" ["4"] Static;
    fifty_threads_call_at_once: "calls/many" ["50"];
    two_hundred_threads_call_at_once: "calls/many" ["200"];
    threads_come_and_go_while_others_call: "calls/many" ["passing"];
    locks_are_handed_over_while_threads_call: "calls/together" ["locks"];
    waits_last_as_long_as_they_have_to_while_others_call: "calls/together" ["waits"];
    rights_are_changed_for_all_threads_that_call: "calls/together" ["rights"];
    threads_stay_on_their_processors_while_they_call: "calls/together" ["processors"];
    nice_values_are_each_threads_own: "calls/together" ["priorities"];
    words_of_ending_threads_are_cleared_while_others_call: "calls/together" ["ends"];
    stacks_of_frequent_calls_are_told_as_natively: "calls/unwound" ["traced"];
    handlers_find_the_program_at_its_own_instructions: "calls/boundaries";
    calls_waits_faults_and_computation_follow_each_other: "calls/phases";
    calls_and_faults_follow_each_other_in_a_static_program: "calls/phases" Static;
    breakpoints_and_other_exceptions_are_the_programs_own: "signals/exceptions";
    threads_are_cancelled_in_calls: "calls/unwound" ["cancelled"];
    #[ignore = "not pending for a moment while a thread of vmmload's, which does not block them, gives them back"]
    blocked_signals_of_faults_wait_while_all_threads_call: "calls/pending" ["blocked-faults"];
}

/// With dirty rings so short, and epochs so many, that the guest often stops because a ring is full.
#[track_caller]
fn with_short_rings(program: &Program) {
    for track in ["write", "readwrite"] {
        let options = ["--buffer", "512", "--track", track, "--interval", "5ms"];
        let with_options = |program: Program, option| program.option(option);
        let program = options.into_iter().fold(program.clone(), with_options);
        call_modes::compare_success(&program);
    }
}

#[test]
fn calls_go_on_while_short_dirty_rings_are_filled() {
    with_short_rings(&Guest::new("calls/phases").program());
}

#[test]
fn timers_interrupt_calls_while_short_dirty_rings_are_filled() {
    with_short_rings(&Guest::new("calls/interrupted").program().arg("pages"));
}

/// In a directory of its own: the guest makes files with code in the current one.
#[track_caller]
fn in_a_directory(guest: &str, arguments: &[&str]) {
    let scratch = Scratch::new();
    let program = Guest::new(guest).program().args(arguments);
    call_modes::compare_success(&program.directory(scratch.path()));
}

#[test]
fn frequent_calls_of_the_library_and_of_own_text_are_made() {
    in_a_directory("calls/places", &["library"]);
    in_a_directory("calls/places", &["own"]);
}

#[test]
fn code_in_writable_memory_is_called_as_it_is_written() {
    in_a_directory("calls/places", &["writable"]);
}

#[test]
fn code_in_shared_files_is_called_as_it_is_written() {
    in_a_directory("calls/places", &["shared"]);
}

#[test]
fn code_in_private_files_can_be_rewritten() {
    in_a_directory("calls/places", &["rewritten"]);
}

#[test]
fn code_that_was_made_writable_is_what_the_program_sees() {
    in_a_directory("calls/places", &["observed"]);
}

#[test]
fn calls_can_be_entered_behind_their_number() {
    in_a_directory("calls/places", &["middle"]);
}

#[test]
fn code_at_the_place_of_other_code_is_called() {
    in_a_directory("calls/places", &["replaced"]);
    in_a_directory("calls/places", &["loaded"]);
}

#[test]
fn code_that_is_moved_protected_and_thrown_away_is_called() {
    in_a_directory("calls/places", &["moved"]);
}

#[test]
fn children_call_and_rewrite_the_code_that_they_inherit() {
    in_a_directory("calls/places", &["children"]);
}

#[test]
fn files_with_code_and_their_mappings_stay_as_they_are() {
    in_a_directory("calls/places", &["files"]);
}

#[test]
fn filters_judge_frequent_calls() {
    in_a_directory("calls/filtered", &[]);
}
