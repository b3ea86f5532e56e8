//! `vmmload run` inside vmmload: a VM in the VM would relay each call twice and count nothing better. So the command is
//! executed, which the vmmload around this one wraps as always, after it has been told how.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

use vmmload_guest::protocol;

use crate::cli::Settings;
use crate::entry::Inherited;
use crate::host::execution;
use crate::process::command::{self, CommandError};
use crate::session::{RunError, open_summary};

/// Whether there is a vmmload around this process.
pub(crate) fn is_inside() -> bool {
    protocol::ask() > 0
}

/// Has the vmmload around this process wrap the command. Returns only if it could not be started.
pub(crate) fn run(settings: Settings, command: Vec<OsString>, inherited: &Inherited) -> RunError {
    match prepare(settings, &command) {
        Ok(program) => RunError::Command(execute(&program, command, &inherited.envp)),
        Err(error) => error,
    }
}

fn prepare(settings: Settings, command: &[OsString]) -> Result<command::Program, RunError> {
    let program = command::find(command, std::env::var_os("PATH").as_deref())?;
    let text = settings.to_text();
    // Its errors are told better from here.
    drop(open_summary(&settings.config(Vec::new())?)?);
    // SAFETY: the call reads the text.
    let answer = unsafe {
        let arguments = [text.as_ptr() as u64, text.len() as u64, 0];
        protocol::call(protocol::CONFIGURE, arguments)
    };
    match answer {
        0.. => Ok(program),
        error => Err(RunError::Around(io::Error::from_raw_os_error(
            -error as i32,
        ))),
    }
}

/// As execvp(3): what the kernel cannot execute is a script for the shell.
fn execute(program: &command::Program, command: Vec<OsString>, envp: &[CString]) -> CommandError {
    let argv: Vec<CString> = command.into_iter().map(c_string).collect();
    let mut error = execution::execute(&program.execfn, &argv, envp);
    if error.raw_os_error() == Some(libc::ENOEXEC) {
        error = execution::execute(SHELL, &program.argv, envp);
    }
    CommandError::Denied {
        path: program.path.clone(),
        source: error,
        remedy: "Check the file",
    }
}

const SHELL: &CStr = c"/bin/sh";

fn c_string(word: OsString) -> CString {
    // Arguments are C strings: there is no NUL in them.
    CString::new(word.into_vec()).unwrap_or_default()
}
