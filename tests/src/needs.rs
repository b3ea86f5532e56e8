//! Lists what a test needs instead of running it, so that another machine can be equipped for it.
//!
//! With `VMMLOAD_LIST_NEEDS=FILE` guests are compiled, data is generated and packages are installed as
//! always, and the path of each is appended to FILE. Commands are not run: each counts as having
//! succeeded without a word, so that a test comes to its later ones, too, and fails at the first
//! assertion that is about output. What such a test says means nothing.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use crate::Outcome;

const LIST: &str = "VMMLOAD_LIST_NEEDS";

/// Whether needs are only listed.
pub(crate) fn listing() -> bool {
    std::env::var_os(LIST).is_some()
}

/// Adds a path to the list, if there is one.
pub(crate) fn note(path: &Path) {
    let Some(list) = std::env::var_os(LIST) else {
        return;
    };
    let line = format!("{}\n", path.display());
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(&list)
        // One write of less than a page: lines of tests in parallel do not mix.
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|cause| panic!("{LIST}={}: {cause}", list.display()));
}

/// What a command that is not run has done.
pub(crate) fn nothing_done() -> Outcome {
    Outcome {
        stdout: Vec::new(),
        stderr: Vec::new(),
        status: ExitStatus::from_raw(0),
        elapsed: Duration::ZERO,
    }
}
