//! `vmmload run` inside vmmload: a VM in the VM would relay each call twice and count nothing better. So the command is
//! executed, which the vmmload around this one wraps as always, after it has been told how.

use std::ffi::CStr;
use std::io;

use vmmload_guest::protocol;

use crate::cli::Settings;
use crate::host::execution;
use crate::process::command::{self, CommandError, Program};
use crate::process::image;
use crate::session::{RunError, Start, open_summary};

/// Whether there is a vmmload around this process.
pub(crate) fn is_inside() -> bool {
    protocol::ask() > 0
}

/// Has the vmmload around this process wrap the command. Returns only if it could not be started.
pub(crate) fn run(settings: Settings, start: &Start) -> RunError {
    match prepare(settings, start) {
        Ok(program) => RunError::Command(execute(&program, start)),
        Err(error) => error,
    }
}

fn prepare(settings: Settings, start: &Start) -> Result<Program, RunError> {
    // Errors are told better from here.
    let program = command::load(start.path.clone(), start.argv.clone())?;
    image::check(&program)?;
    let text = settings.to_text();
    drop(open_summary(&settings.config()?)?);
    match protocol::configure(&text) {
        Ok(()) => Ok(program),
        Err(errno) => Err(RunError::Around(io::Error::from_raw_os_error(errno))),
    }
}

/// As execvp(3): what the kernel cannot execute is a script for the shell.
fn execute(program: &Program, start: &Start) -> CommandError {
    let mut error = execution::execute(&program.execfn, &start.argv, &start.envp);
    if error.raw_os_error() == Some(libc::ENOEXEC) {
        error = execution::execute(SHELL, &program.argv, &start.envp);
    }
    CommandError::Denied {
        path: start.path.clone(),
        source: error,
        remedy: "Check the file",
    }
}

const SHELL: &CStr = c"/bin/sh";
