//! The processor as the program sees it: registers, clocks, vector units, start-up state.

use vmmload_tests::{Guest, Link, guest_tests};

guest_tests! {
    clocks_agree_with_each_other_and_never_go_back: "cpu/clocks";
    clocks_agree_in_a_static_program: "cpu/clocks" Static;
    vector_registers_survive_calls_and_faults: "cpu/vector_state";
    rounding_modes_survive_calls_and_are_inherited_by_threads: "cpu/float_control";
    auxiliary_vector_describes_the_program: "cpu/auxiliary_vector";
    auxiliary_vector_describes_a_static_program: "cpu/auxiliary_vector" Static;
    auxiliary_vector_describes_a_static_pie: "cpu/auxiliary_vector" StaticPie;
    auxiliary_vector_describes_a_program_at_a_fixed_address: "cpu/auxiliary_vector" NoPie;
    system_calls_change_only_the_registers_they_may: "cpu/call_registers";
    segment_bases_belong_to_the_program: "cpu/segment_bases";
    processor_features_are_the_machines_own: "cpu/features";
}

#[test]
fn first_instruction_finds_stack_and_registers_as_the_abi_says() {
    // One more or one fewer word on the stack must not break its alignment.
    let program = Guest::new("cpu/entry_state")
        .linked(Link::Bare)
        .program()
        .args(["one", "two three"]);
    program.compare_success();
    program.arranged("env=A=1").compare_success();
    let two = Guest::new("cpu/entry_state")
        .linked(Link::Bare)
        .program()
        .args(["one", "x"]);
    two.arranged("env=A=1")
        .arranged("env=B=22")
        .compare_success();
}
