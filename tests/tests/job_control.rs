//! An interactive shell on a terminal: stopping, continuing and interrupting jobs.

use std::ffi::OsString;
use std::time::Duration;

use vmmload_tests::packages::{program, python};
use vmmload_tests::{Program, machine, vmmload};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/job_control.py");

/// What becomes of each step with this in front of the shell.
fn session(wrapper: &[OsString]) -> String {
    let bash = program("/bin/bash", "bash");
    let driver = Program::new(python()).arg(SCRIPT).args(wrapper.to_vec());
    let driver = driver.args([bash, "--norc", "--noprofile", "--noediting", "-i"]);
    driver.limit(Duration::from_secs(180)).native().text()
}

#[test]
fn jobs_are_stopped_continued_and_interrupted_from_the_terminal() {
    let native = session(&[]);
    assert!(
        !native.contains("False") && native.ends_with("exit 5\n"),
        "natively:\n{native}"
    );
    if machine::can_run_inside() {
        assert_eq!(session(&[vmmload().into(), "run".into()]), native);
    }
}
