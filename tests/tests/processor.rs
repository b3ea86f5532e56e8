//! The processor as the program sees it: registers, clocks, vector units, start-up state.

use vmmload_tests::{Guest, Link, Outcome, guest_tests, machine};

/// How far the vDSO's clocks may be from the kernel's: far more than it takes to read them, far less
/// than any wrong offset makes.
const CLOSE_NS: i64 = 1_000_000;

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

/// Checks the lines of `cpu/vdso_offset`: clock, nanoseconds outside, nanoseconds between the kernel's.
#[track_caller]
fn assert_close(place: &str, outcome: &Outcome) {
    outcome.assert_success(place);
    let text = outcome.text();
    assert_eq!(text.lines().count(), 2, "{place}: {text}");
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<i64>().expect("a number");
        let (outside, closest) = (number(1), number(2));
        assert!(
            outside < CLOSE_NS,
            "{} of the vDSO is {outside} ns off the kernel's {place}",
            words[0]
        );
        assert!(
            closest < CLOSE_NS,
            "{} of the kernel takes {closest} ns at best {place}: too long to compare",
            words[0]
        );
    }
}

#[test]
fn vdso_clock_is_the_hosts_within_a_millisecond() {
    let program = Guest::new("cpu/vdso_offset").program();
    assert_close("natively", &program.native());
    if machine::can_run_inside() {
        assert_close("inside", &program.inside());
    }
}
