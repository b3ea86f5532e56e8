//! Less common services of the kernel: each natively and inside.

use vmmload_tests::{Guest, guest_tests, machine};

guest_tests! {
    io_uring_transfers_waits_and_polls: "features/io_uring";
    pages_are_provided_by_another_thread_where_userfaultfd_may_be_used: "features/userfaultfd";
    protection_keys_are_there_or_consistently_absent: "features/protection_keys";
    personality_stays_over_exec: "features/personality";
    scheduling_root_capabilities_and_user_are_the_programs: "features/rights";
    wrapped_processes_look_into_each_other: "features/between_processes";
    namespaces_are_entered_alone_and_together: "features/namespaces";
}

#[test]
fn tracing_is_refused_once_with_a_reason() {
    if !machine::can_run_inside() {
        return;
    }
    let outcome = Guest::new("features/tracing").program().inside();
    outcome.assert_success("the tracer");
    let expected = "traceme: Operation not permitted\n\
                    attach to nobody: No such process\n\
                    attach: Operation not permitted\n\
                    seize: Operation not permitted\n\
                    peek: No such process\n\
                    continue: No such process\n\
                    detach: No such process\n";
    assert_eq!(outcome.text(), expected);
    let said = outcome.messages();
    // Once by the child that wants to be traced, once by its parent.
    assert_eq!(
        said.matches("vmmload: ptrace: a wrapped program").count(),
        2,
        "{said}"
    );
    assert!(said.contains("strace -f in front of vmmload"), "{said}");
}

#[test]
fn interfaces_of_32_bit_code_are_refused_with_a_reason() {
    if !machine::can_run_inside() {
        return;
    }
    let outcome = Guest::new("features/old_interfaces").program().inside();
    outcome.assert_success("the guest");
    let expected = "modify_ldt: Function not implemented\n\
                    modify_ldt: Function not implemented\n\
                    int 0x80: signal 11, code 128\n";
    assert_eq!(outcome.text(), expected);
    let said = outcome.messages();
    for (reason, remedy) in [
        ("vmmload: int 0x80: a wrapped program has no", "syscall"),
        (
            "vmmload: modify_ldt: a wrapped program has no",
            "without vmmload",
        ),
    ] {
        assert_eq!(said.matches(reason).count(), 1, "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}
