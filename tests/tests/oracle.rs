//! The counts against an instrument of another kind: exactly the pages that the program stored to.

use vmmload_tests::oracle::{Scope, assert_same, inside, lackey};
use vmmload_tests::{Guest, Link, Program, machine};

/// How often pages are harvested and armed again makes no difference to which pages are written.
const OPTIONS: &[&[&str]] = &[
    &[],
    &["--interval", "2ms", "--buffer", "1024"],
    &["--interval", "100s"],
];

/// A pattern of the guest without a C library: every page of the process counts.
fn pattern(name: &str) -> Program {
    let guest = Guest::new("oracle/patterns").linked(Link::Bare);
    guest.program().arg(name)
}

/// The pages written inside must be those that the oracle saw stores to: none missed, none invented.
#[track_caller]
fn compare(program: &Program, scope: Scope) {
    let traced = lackey::trace(program);
    if !machine::can_run_inside() {
        return;
    }
    let expected = scope.of(&traced.written);
    for options in OPTIONS {
        let observed = inside::observe(program, options);
        let what = format!("written by {} with {options:?}", program.shown());
        assert_same(&what, &scope.of(&observed.written), &expected);
        assert!(observed.read.is_empty(), "reads are not tracked");
    }
}

macro_rules! patterns {
    ($($name:ident: $pattern:literal;)+) => {
        $(
            #[test]
            fn $name() {
                compare(&pattern($pattern), Scope::Process);
            }
        )+
    };
}

patterns! {
    pages_written_in_sequence: "sequential";
    pages_written_with_a_stride: "strided";
    pages_written_at_random: "random";
    one_page_written_again_and_again: "hammer";
    pages_of_a_heap_that_grows_and_shrinks: "heap";
    pages_of_a_buffer_mapped_anew_at_its_address: "remapped";
    pages_two_mebibytes_apart: "sparse";
    pages_only_read_are_not_written: "reads-only";
    pages_read_before_they_are_written: "read-then-write";
    stores_that_change_nothing: "same-value";
    stores_across_page_boundaries: "unaligned";
    string_instructions_over_pages: "strings";
    vector_stores: "vectors";
    atomic_instructions: "atomics";
    pages_of_a_deep_stack: "stack";
    pages_of_globals: "globals";
    pages_of_a_private_file_mapping: "private-file";
    pages_of_a_shared_file_mapping: "shared-file";
    pages_of_shared_memory: "shared-memory";
    pages_that_the_kernel_fills_are_not_written: "kernel";
    pages_whose_protection_changes: "protections";
    pages_that_are_discarded_and_written_again: "discarded";
    pages_of_a_buffer_that_moves: "moved";
    pages_of_the_arguments: "arguments";
}
