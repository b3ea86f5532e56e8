//! Commands of the host that must succeed.

use std::process::Command;

use crate::{RigError, doing};

/// Standard output of a command.
///
/// # Errors
/// When it cannot be started or fails; with its messages.
pub(crate) fn output(command: &mut Command) -> Result<String, RigError> {
    let shown = shown(command);
    let output = command.output().map_err(doing(shown.clone()))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned();
        return Err(RigError::Command {
            command: shown,
            messages,
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command line, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
