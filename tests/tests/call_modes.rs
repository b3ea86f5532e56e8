//! Programs that do little else than make system calls, in each way that vmmload has to serve them, while all that may
//! come between comes between: signals, threads, filters.
//!
//! A call is served by leaving the guest for each (`exit`), by a thread beside it (`spin`), or now so and now so
//! (`auto`). A program must not be able to tell. `VMMLOAD_CALL_MODE` in the tests' environment chooses one alone.
//!
//! The guests make as many calls as there is time for, so none prints how many.

use vmmload_tests::call_mode_tests;

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
    fifty_threads_call_at_once: "calls/many" ["50"];
    two_hundred_threads_call_at_once: "calls/many" ["200"];
    threads_come_and_go_while_others_call: "calls/many" ["passing"];
    locks_are_handed_over_while_threads_call: "calls/together" ["locks"];
    waits_last_as_long_as_they_have_to_while_others_call: "calls/together" ["waits"];
    rights_are_changed_for_all_threads_that_call: "calls/together" ["rights"];
    threads_stay_on_their_processors_while_they_call: "calls/together" ["processors"];
    nice_values_are_each_threads_own: "calls/together" ["priorities"];
    words_of_ending_threads_are_cleared_while_others_call: "calls/together" ["ends"];
    #[ignore = "signals of faults that kill(2) sends to a process whose threads all block them get lost"]
    blocked_signals_of_faults_wait_while_all_threads_call: "calls/pending" ["blocked-faults"];
}
