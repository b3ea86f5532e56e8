//! Programs that are stopped and continued over and over, at whatever vmmload asks of KVM in that moment. Signals can be
//! made to wait; a stop cannot.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use vmmload_tests::dump::{assert_events, events, lost};
use vmmload_tests::watched::{Watched, several_epochs};
use vmmload_tests::{Guest, Session, machine};

fn stop_and_continue(session: &Session) {
    session.signal(libc::SIGSTOP);
    session.signal(libc::SIGCONT);
}

#[test]
fn programs_start_while_they_are_stopped_and_continued_all_the_time() {
    if !machine::can_run_inside() {
        return;
    }
    let guest = Guest::new("environment/wait_for_signal");
    let command = || guest.program().arg("read").inside_command();
    for _ in 0..10 {
        let mut session = Session::start(command());
        let deadline = Instant::now() + machine::patience(Duration::from_secs(60));
        let first = loop {
            match session.line_within(Duration::ZERO) {
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {
                    stop_and_continue(&session);
                }
                first => break first,
            }
        };
        assert_eq!(first, Ok("ready".to_owned()));
        assert!(session.finish().success());
    }
}

#[test]
fn pages_are_seen_in_every_round_whatever_stops_come_between() {
    const ROUNDS: u64 = 20;
    if !machine::can_run_inside() {
        return;
    }
    let mut watched = Watched::start(4000, 4, &[]);
    for _ in 0..ROUNDS {
        watched.command('w');
        let end = Instant::now() + several_epochs();
        while Instant::now() < end {
            stop_and_continue(&watched.guest);
        }
        std::thread::sleep(several_epochs());
    }
    let (buffer, expected) = (watched.buffer.clone(), watched.expected(4, ROUNDS));
    let records = watched.end();
    assert_eq!(lost(&records), 0);
    assert_events(&events(&records, "write", &buffer), &expected);
}
