//! A command that cannot be wrapped, for whoever did not ask for it by name: it runs as it would without vmmload,
//! after one line that says why; unless it must not (VMMLOAD_REQUIRE).

use crate::host::{execution, messages};
use crate::process::command;
use crate::session::{self, RunError, Start};

/// Runs the command natively because of `error`, which is said first. Returns only if that is impossible or must not
/// be, with the exit status.
pub(crate) fn instead(error: &RunError, required: bool, start: &Start) -> i32 {
    if required || !error.is_of_machine() {
        return session::failed(error);
    }
    let name = start.path.display();
    messages::say(&format!("{error}. {name} runs natively"));
    let path = command::c_string(start.path.as_os_str());
    let refused = execution::execute(&path, &start.argv, &start.envp);
    messages::say(&format!(
        "{name}: cannot be executed: {refused}. Check the file"
    ));
    match refused.raw_os_error() {
        Some(libc::ENOENT) => 127,
        _ => 126,
    }
}
