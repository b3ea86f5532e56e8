//! The program's view of its own memory: every call that changes it, and every fault it can give.

use vmmload_tests::{Guest, Link, guest_tests};

guest_tests! {
    anonymous_memory_starts_as_zero_and_keeps_what_is_written: "memory/mmap_anonymous";
    anonymous_memory_works_the_same_in_a_static_program: "memory/mmap_anonymous" Static;
    shared_file_writes_reach_the_file_and_private_ones_do_not: "memory/mmap_file";
    fixed_mappings_replace_what_is_there_and_noreplace_refuses: "memory/mmap_fixed";
    grows_down_mapping_grows_when_touched_below: "memory/grows_down";
    hundred_gibibyte_reservation_is_committed_piece_by_piece: "memory/reservation";
    reservation_works_the_same_in_a_static_program: "memory/reservation" Static;
    munmap_takes_parts_and_holes_and_refuses_misaligned: "memory/munmap";
    mprotect_splits_joins_and_refuses_gaps: "memory/mprotect";
    memory_that_may_only_be_written_can_be_read_as_the_processor_allows: "memory/write_only";
    kernel_stops_at_the_end_of_a_mapping: "memory/buffer_past_end";
    code_written_at_run_time_runs: "memory/code_generation";
    mremap_grows_moves_shrinks_duplicates_and_refuses: "memory/mremap";
    break_grows_shrinks_and_refuses: "memory/brk";
    break_works_the_same_in_a_static_program: "memory/brk" Static;
    break_works_the_same_in_a_static_pie: "memory/brk" StaticPie;
    break_works_the_same_at_a_fixed_address: "memory/brk" NoPie;
    madvise_forgets_or_keeps_as_asked: "memory/madvise";
    shared_segments_attach_detach_and_refuse: "memory/shared_segments";
    memory_files_map_resize_and_seal: "memory/memfd";
    huge_pages_are_mapped_in_whole_or_refused: "memory/hugetlb";
    clock_pages_can_be_unmapped: "memory/without_vdso";
    pages_appear_and_go_with_the_end_of_the_file: "memory/file_end";
    residency_locking_and_syncing_tell_the_truth: "memory/residency";
    stack_grows_to_its_limit_and_for_the_kernel: "memory/stack";
    stack_grows_the_same_in_a_static_program: "memory/stack" Static;
    stack_with_raised_limit_takes_forty_mebibytes: "memory/stack" ["40"];
    low_and_fixed_addresses_can_be_had: "memory/low_addresses";
    low_addresses_can_be_had_beside_a_program_at_0x400000: "memory/low_addresses" Static;
    low_addresses_can_be_had_beside_a_dynamic_program_at_0x400000: "memory/low_addresses" NoPie;
    map_32bit_stays_below_two_gibibytes: "memory/map_32bit";
    kernel_accesses_memory_with_the_programs_rights: "memory/kernel_access";
    random_operations_agree_with_a_model_of_every_page: "memory/random_operations";
    random_operations_agree_in_a_static_program: "memory/random_operations" Static;
}

/// The guest must die of exactly this signal, natively and inside.
#[track_caller]
fn dies(case: &str, signal: i32) {
    let outcome = Guest::new("memory/die").program().arg(case).compare();
    assert_eq!(
        outcome.signal(),
        Some(signal),
        "{case} natively ended with {}",
        outcome.status
    );
    assert_eq!(outcome.text(), "before\n");
}

/// Declares one test per way to die: `sentence: "case of memory/die" => signal;`
macro_rules! deaths {
    ($($name:ident: $case:literal => $signal:ident;)+) => {
        $(#[test] fn $name() { dies($case, libc::$signal); })+
    };
}

deaths! {
    write_to_null_dies: "write_to_null" => SIGSEGV;
    read_of_null_dies: "read_of_null" => SIGSEGV;
    write_to_read_only_memory_dies: "write_to_read_only" => SIGSEGV;
    read_of_inaccessible_memory_dies: "read_of_inaccessible" => SIGSEGV;
    write_after_rights_were_taken_dies: "write_after_mprotect" => SIGSEGV;
    read_after_rights_were_taken_dies: "read_after_mprotect" => SIGSEGV;
    read_after_munmap_dies: "read_after_munmap" => SIGSEGV;
    write_to_a_constant_dies: "write_to_constant" => SIGSEGV;
    write_to_code_dies: "write_to_code" => SIGSEGV;
    jump_to_a_data_mapping_dies: "jump_to_mapping" => SIGSEGV;
    jump_to_the_heap_dies: "jump_to_heap" => SIGSEGV;
    jump_to_static_data_dies: "jump_to_data" => SIGSEGV;
    jump_to_the_stack_dies: "jump_to_stack" => SIGSEGV;
    jump_to_null_dies: "jump_to_null" => SIGSEGV;
    write_to_a_read_only_segment_dies: "write_to_read_only_segment" => SIGSEGV;
    read_past_the_end_of_a_file_is_a_bus_error: "read_past_the_file" => SIGBUS;
    write_past_the_end_of_a_file_is_a_bus_error: "write_past_the_file" => SIGBUS;
    read_of_a_file_truncated_while_mapped_is_a_bus_error: "read_of_truncated_file" => SIGBUS;
    stack_overflow_dies: "stack_overflow" => SIGSEGV;
    non_canonical_address_dies: "non_canonical_address" => SIGSEGV;
    kernel_address_dies: "kernel_address" => SIGSEGV;
    undefined_instruction_dies: "undefined_instruction" => SIGILL;
    division_by_zero_dies: "division_by_zero" => SIGFPE;
    breakpoint_dies: "breakpoint" => SIGTRAP;
    privileged_instruction_dies: "privileged_instruction" => SIGSEGV;
    port_output_dies: "port_output" => SIGSEGV;
    clearing_the_interrupt_flag_dies: "interrupt_flag" => SIGSEGV;
    unknown_software_interrupt_dies: "unknown_interrupt" => SIGSEGV;
    abort_dies: "abort" => SIGABRT;
}

#[test]
fn stack_overflow_of_a_static_program_dies() {
    let program = Guest::new("memory/die")
        .linked(Link::Static)
        .program()
        .arg("stack_overflow");
    assert_eq!(program.compare().signal(), Some(libc::SIGSEGV));
}
