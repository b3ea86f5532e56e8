//! The counts against an instrument of another kind: exactly the pages that the program stored to,
//! and exactly those that it only read.

use std::collections::BTreeSet;

use vmmload_tests::oracle::{Place, Scope, assert_same, inside, lackey, shown};
use vmmload_tests::watched::PAGE;
use vmmload_tests::{Guest, Link, Program, machine};

/// How often pages are harvested and armed again makes no difference to which pages are written.
const WRITES: &[&[&str]] = &[
    &[],
    &["--interval", "2ms", "--buffer", "1024"],
    &["--interval", "100s"],
];
/// Nor to which pages are read and never written.
const READS: &[&[&str]] = &[
    &["--track", "readwrite", "--interval", "5ms"],
    &["--track", "readwrite", "--interval", "100s"],
];

/// A pattern of the guest without a C library: every page of the process counts.
fn pattern(name: &str) -> Program {
    let guest = Guest::new("oracle/patterns").linked(Link::Bare);
    guest.program().arg(name)
}

/// A pattern of the guest with a C library: its regions count. The library binds its functions beforehand:
/// what a late binding saves on the stack depends on the processor.
fn hosted(name: &str) -> Program {
    let guest = Guest::new("oracle/hosted");
    guest.program().arg(name).env("LD_BIND_NOW", "1")
}

/// The pages written inside must be those that the oracle saw stores to: none missed, none invented.
#[track_caller]
fn compare(program: &Program, scope: Scope) {
    let traced = lackey::trace(program);
    if !machine::can_run_inside() {
        return;
    }
    let written = scope.of(&traced.written);
    for options in WRITES.iter().chain(READS) {
        let observed = inside::observe(program, options);
        let what = |how: &str| format!("{how} by {} with {options:?}", program.shown());
        assert_same(&what("written"), &scope.of(&observed.written), &written);
        let read = scope.of(&observed.read);
        if WRITES.contains(options) {
            assert!(read.is_empty(), "reads are not tracked: {}", shown(&read));
        } else {
            assert_read(&what("read"), &read, &scope.of(&traced.read), &written);
        }
    }
}

/// A page that was only read has a read event. One that was written as well may have one, if it was read in
/// an epoch of its own. One that the program has not read has none. Where the arguments lie above the stack
/// depends on the environment.
#[track_caller]
fn assert_read(
    what: &str,
    found: &BTreeSet<Place>,
    read: &BTreeSet<Place>,
    written: &BTreeSet<Place>,
) {
    let of_both: BTreeSet<Place> = read.intersection(written).cloned().collect();
    let without = |places: &BTreeSet<Place>, others: &BTreeSet<Place>| {
        let mut rest: BTreeSet<Place> = places.difference(others).cloned().collect();
        rest.retain(|place| !matches!(place, Place::Region(name, _) if name == "above"));
        rest
    };
    assert_same(what, &without(found, &of_both), &without(read, written));
}

macro_rules! patterns {
    ($($name:ident: $guest:ident($pattern:literal), $scope:ident;)+) => {
        $(
            #[test]
            fn $name() {
                compare(&$guest($pattern), Scope::$scope);
            }
        )+
    };
}

patterns! {
    pages_written_in_sequence: pattern("sequential"), Process;
    pages_written_with_a_stride: pattern("strided"), Process;
    pages_written_at_random: pattern("random"), Process;
    one_page_written_again_and_again: pattern("hammer"), Process;
    pages_of_a_heap_that_grows_and_shrinks: pattern("heap"), Process;
    pages_of_a_buffer_mapped_anew_at_its_address: pattern("remapped"), Process;
    pages_two_mebibytes_apart: pattern("sparse"), Process;
    pages_only_read_are_not_written: pattern("reads-only"), Process;
    pages_read_before_they_are_written: pattern("read-then-write"), Process;
    stores_that_change_nothing: pattern("same-value"), Process;
    stores_across_page_boundaries: pattern("unaligned"), Process;
    string_instructions_over_pages: pattern("strings"), Process;
    vector_stores: pattern("vectors"), Process;
    atomic_instructions: pattern("atomics"), Process;
    pages_of_a_deep_stack: pattern("stack"), Process;
    pages_of_globals: pattern("globals"), Process;
    pages_of_a_private_file_mapping: pattern("private-file"), Process;
    pages_of_a_shared_file_mapping: pattern("shared-file"), Process;
    pages_of_shared_memory: pattern("shared-memory"), Process;
    pages_that_the_kernel_fills_are_not_written: pattern("kernel"), Process;
    pages_whose_protection_changes: pattern("protections"), Process;
    pages_that_are_discarded_and_written_again: pattern("discarded"), Process;
    pages_of_a_buffer_that_moves: pattern("moved"), Process;
    pages_of_the_arguments: pattern("arguments"), Process;
    pages_of_holes_in_the_address_space: pattern("holes"), Process;
    pages_handed_from_thread_to_thread: hosted("threads"), Regions;
    pages_of_the_stacks_of_threads: hosted("thread-stacks"), Regions;
    pages_of_allocated_and_freed_blocks: hosted("allocations"), Regions;
    pages_written_by_library_functions: hosted("library"), Regions;
    pages_of_a_sorted_array: hosted("sorting"), Regions;
    pages_of_buffered_files: hosted("files"), Regions;
}

#[test]
fn pages_that_the_kernel_fills_have_events_of_their_own_kind() {
    if !machine::can_run_inside() {
        return;
    }
    let buffer = 0x20_0000_0000_u64;
    // Each read(2) of 5,000 bytes reaches into a second page; then uname(2), fstat(2), clock_gettime(2).
    let filled = (0..64).step_by(4).flat_map(|page| [page, page + 1]);
    let filled = filled.chain([100, 104, 108]);
    let expected: BTreeSet<Place> = filled
        .map(|page| Place::Address(buffer + page * PAGE))
        .collect();
    for options in WRITES {
        let mut kernel = inside::observe(&pattern("kernel"), options).kernel;
        let of_buffer = |place: &Place| match place {
            Place::Address(address) => (buffer..buffer + 128 * PAGE).contains(address),
            Place::Region(..) => false,
        };
        kernel.retain(of_buffer);
        assert_same(&format!("filled with {options:?}"), &kernel, &expected);
    }
}
