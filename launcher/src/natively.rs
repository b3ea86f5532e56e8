//! A command that cannot be wrapped, for whoever did not ask for it by name: it runs as it would without vmmload,
//! after one line that says why; unless it must not (VMMLOAD_REQUIRE).

use std::ffi::CString;
use std::path::Path;

use crate::host::{execution, messages};
use crate::session::{self, RunError};

/// Keeps the preload library from handing the process over again that its value is the id of.
const NATIVE: &[u8] = b"VMMLOAD_NATIVE=";

/// Says that the preload library is there.
const PRELOAD: &[u8] = b"LD_PRELOAD=";

/// What is executed then.
pub(crate) struct Native<'a> {
    /// What the user knows it by.
    pub name: &'a Path,
    /// Its file.
    pub path: CString,
    /// Its arguments.
    pub argv: &'a [CString],
    /// Its environment.
    pub envp: &'a [CString],
}

/// Runs the command natively because of `error`, which is said first. Returns only if that is impossible or must not
/// be, with the exit status.
pub(crate) fn instead(error: &RunError, required: bool, native: &Native) -> i32 {
    if required || !error.is_of_machine() {
        return session::failed(error);
    }
    let name = native.name.display();
    let error = error.to_string();
    messages::say(&match error.split_once(". ") {
        Some((reason, remedy)) => format!("{reason}; {name} runs natively. {remedy}"),
        None => format!("{error}; {name} runs natively"),
    });
    let refused = execution::execute(&native.path, native.argv, &left_alone(native.envp));
    messages::say(&format!(
        "{name}: cannot be executed: {refused}. Check the file"
    ));
    match refused.raw_os_error() {
        Some(libc::ENOENT) => 127,
        _ => 126,
    }
}

/// The environment for a program that this process executes natively: the preload library, if it is there, does not
/// hand it over.
fn left_alone(envp: &[CString]) -> Vec<CString> {
    let is_preloaded = envp.iter().any(|s| s.as_bytes().starts_with(PRELOAD));
    if !is_preloaded {
        return envp.to_vec();
    }
    let mark = [NATIVE, std::process::id().to_string().as_bytes()].concat();
    let others = envp.iter().filter(|s| !s.as_bytes().starts_with(NATIVE));
    others.cloned().chain(CString::new(mark)).collect()
}
