//! Threads: many, short-lived, blocking, dying, and started without the C library.

use vmmload_tests::{Guest, Link, guest_tests};

guest_tests! {
    two_hundred_threads_live_at_once_with_their_own_locals: "threads/many_at_once";
    two_hundred_threads_live_in_a_static_program: "threads/many_at_once" Static;
    locks_conditions_and_counters_add_up_under_contention: "threads/contention";
    threads_end_while_others_run_and_block: "threads/exit_while_running";
    clone_and_clone3_work_without_the_c_library: "threads/raw_clone";
    clone_and_clone3_work_in_a_static_program: "threads/raw_clone" Static;
    owner_of_robust_mutexes_dies_and_the_next_is_told: "threads/robust_mutex";
    five_thousand_threads_one_after_the_other_use_up_nothing: "threads/sequential";
    each_thread_has_its_own_id_name_nice_and_affinity: "threads/identity";
    blocking_calls_hold_up_only_their_own_thread: "threads/blocking";
    thread_locals_are_initialised_in_every_thread: "threads/thread_local";
    thread_locals_are_initialised_in_a_static_program: "threads/thread_local" Static;
    thread_locals_are_initialised_in_a_static_pie: "threads/thread_local" StaticPie;
    changed_pages_are_changed_at_once_for_other_threads: "threads/translations";
    concurrent_allocation_disturbs_nobodys_content: "threads/allocation";
    threads_that_cannot_start_use_up_nothing: "threads/failed_starts";
    signals_are_not_lost_with_threads_that_end: "threads/signals_at_exit";
    main_thread_can_leave_first: "threads/main_leaves_first";
}

#[test]
fn last_thread_can_exit_with_a_status_after_main_has_left() {
    let outcome = Guest::new("threads/main_leaves_first")
        .program()
        .arg("exit")
        .compare();
    assert_eq!(outcome.status.code(), Some(7));
}

#[test]
fn last_thread_to_exit_gives_the_process_its_status() {
    let guest = Guest::new("threads/last_status").program();
    assert_eq!(guest.compare().status.code(), Some(5));
}

#[track_caller]
fn exits_from_a_thread(link: Link) {
    let guest = Guest::new("threads/exit_from_thread").linked(link);
    let outcome = guest.program().compare();
    assert_eq!(outcome.status.code(), Some(42));
    assert_eq!(outcome.text(), "leaving\n");
}

#[test]
fn exit_from_any_thread_ends_the_process() {
    exits_from_a_thread(Link::Dynamic);
}

#[test]
fn exit_from_any_thread_ends_a_static_process() {
    exits_from_a_thread(Link::Static);
}
