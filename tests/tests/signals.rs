//! Signals: handlers, masks, timers, faults that reach handlers, and default actions.

use std::time::Duration;

use vmmload_tests::{Guest, Session, guest_tests, machine};

guest_tests! {
    timers_deliver_as_often_as_asked: "signals/timers";
    handlers_learn_who_sent_the_signal_and_how: "signals/information";
    blocked_calls_restart_or_fail_as_asked: "signals/restart";
    handlers_run_on_the_alternate_stack: "signals/alternate_stack";
    faults_reach_handlers_with_address_and_code: "signals/memory_faults";
    blocked_signals_wait_and_can_be_waited_for: "signals/masks";
    signals_reach_the_thread_they_are_sent_to: "signals/to_threads";
    interrupted_computation_never_notices_the_handler: "signals/handler_state";
    handler_flags_and_masks_do_what_they_say: "signals/flags";
    handlers_can_be_left_by_a_jump: "signals/jumps";
    exceptions_are_described_as_natively: "signals/exceptions";
    single_steps_end_behind_each_instruction: "signals/single_step";
    handlers_can_change_registers_vectors_flags_and_mask: "signals/context";
    each_waiting_call_restarts_or_fails_as_natively: "signals/interrupted";
    waiting_calls_survive_a_stop_as_natively: "signals/stopped";
    queued_signals_keep_their_values_and_order: "signals/queued";
    posix_timers_notify_in_every_way: "signals/posix_timers";
    no_wake_up_is_lost_between_check_and_wait: "signals/wakeups";
    fatal_signals_end_waits_that_no_handler_interrupts: "signals/killable";
    deaths_by_signals_are_told_to_the_parent: "signals/core_dumps";
}

/// Every signal whose default action ends the process.
const FATAL: [i32; 22] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGKILL,
    libc::SIGUSR1,
    libc::SIGSEGV,
    libc::SIGUSR2,
    libc::SIGPIPE,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGSTKFLT,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
    libc::SIGSYS,
];

#[test]
fn program_that_raises_a_fatal_signal_dies_of_it() {
    for signal in FATAL {
        let program = Guest::new("environment/end")
            .program()
            .arg("raise")
            .arg(signal.to_string());
        assert_eq!(program.compare().signal(), Some(signal));
    }
}

#[test]
fn program_that_kills_itself_dies_of_that_signal() {
    for signal in [
        libc::SIGTERM,
        libc::SIGKILL,
        libc::SIGSEGV,
        libc::SIGABRT,
        34,
        64,
    ] {
        let program = Guest::new("environment/end")
            .program()
            .arg("kill")
            .arg(signal.to_string());
        assert_eq!(program.compare().signal(), Some(signal));
    }
}

#[test]
fn program_survives_signals_that_do_nothing_by_default() {
    for signal in [libc::SIGCHLD, libc::SIGURG, libc::SIGWINCH, libc::SIGCONT] {
        let program = Guest::new("environment/end")
            .program()
            .arg("raise")
            .arg(signal.to_string());
        assert_eq!(
            program.compare_success().text(),
            format!("raise {signal}\nsurvived\n")
        );
    }
}

/// Starts the waiting guest in the given way, natively (which shows that the test itself is right) and
/// inside, and hands each over once it is ready.
fn each_waiting(how: &str, act: impl Fn(&mut Session)) {
    let program = Guest::new("environment/wait_for_signal").program().arg(how);
    let mut commands = vec![program.native_command()];
    if machine::can_run_inside() {
        commands.push(program.inside_command());
    }
    for command in commands {
        let mut session = Session::start(command);
        assert_eq!(session.line(), "ready");
        act(&mut session);
    }
}

fn dies_from_outside(how: &str) {
    use std::os::unix::process::ExitStatusExt;
    for signal in [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGKILL,
        libc::SIGQUIT,
        libc::SIGHUP,
        libc::SIGSEGV,
    ] {
        each_waiting(how, |session| {
            session.signal(signal);
            let status = session.finish();
            assert_eq!(status.signal(), Some(signal), "{status}");
        });
    }
}

#[test]
fn signal_from_outside_kills_a_program_that_waits_in_the_kernel() {
    dies_from_outside("pause");
}

#[test]
fn signal_from_outside_kills_a_program_that_only_computes() {
    dies_from_outside("spin");
}

/// Stops and continues the guest, which afterwards must go on as if nothing had been.
fn stops_and_continues(session: &mut Session, signal: i32) {
    use std::os::unix::process::ExitStatusExt;
    session.send("before\n");
    assert_eq!(session.line(), "before");
    session.signal(signal);
    let status = session
        .change(libc::WUNTRACED)
        .expect("the stop is reported");
    assert_eq!(status.stopped_signal(), Some(signal), "{status}");
    session.send("while stopped\n");
    assert!(
        session.line_within(Duration::from_millis(100)).is_err(),
        "a stopped program answers nothing"
    );
    session.signal(libc::SIGCONT);
    let status = session
        .change(libc::WCONTINUED)
        .expect("the continuation is reported");
    assert!(status.continued(), "{status}");
    assert_eq!(session.line(), "while stopped");
}

#[test]
fn stopped_program_goes_on_when_continued() {
    for signal in [libc::SIGSTOP, libc::SIGTSTP] {
        each_waiting("read", |session| {
            stops_and_continues(session, signal);
            stops_and_continues(session, signal);
            assert!(session.finish().success());
        });
    }
}

#[test]
fn computing_program_stops_and_still_dies_of_sigterm() {
    use std::os::unix::process::ExitStatusExt;
    each_waiting("spin", |session| {
        session.signal(libc::SIGTSTP);
        let status = session
            .change(libc::WUNTRACED)
            .expect("the stop is reported");
        assert_eq!(status.stopped_signal(), Some(libc::SIGTSTP), "{status}");
        session.signal(libc::SIGTERM);
        session.signal(libc::SIGCONT);
        let status = session.finish();
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
    });
}
