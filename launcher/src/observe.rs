//! `vmmload top`, `record`, `report`, `diff` and `export` are a program of their own, `vmmload-observe`, which is executed
//! for them: this one is loaded into every wrapped process, so what they are made of must not be in it.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::EXIT_FAILURE;
use crate::entry::Inherited;
use crate::host::{execution, messages};
use crate::process::command;

/// The program.
const PROGRAM: &str = "vmmload-observe";

/// Its subcommands.
const NAMES: [&str; 5] = ["top", "record", "report", "diff", "export"];

/// What was typed for it, the subcommand first. Byte for byte, help included: it knows its own options.
pub(crate) fn asked(args: &[OsString]) -> Option<Vec<OsString>> {
    let is_name = |word: &OsString| NAMES.iter().any(|name| word == name);
    match args {
        [_, help, name] if help == "help" && is_name(name) => {
            Some(vec![name.clone(), "--help".into()])
        }
        [_, rest @ ..] if rest.first().is_some_and(is_name) => Some(rest.to_vec()),
        _ => None,
    }
}

/// Executes it. Returns only if that is impossible, with the exit status.
pub(crate) fn execute(typed: &[OsString], inherited: &Inherited) -> i32 {
    let beside = own_directory().map(|directory| directory.join(PROGRAM));
    let name = typed[0].display();
    let argv: Vec<CString> = [OsStr::new(PROGRAM)]
        .into_iter()
        .chain(typed.iter().map(OsString::as_os_str))
        .map(command::c_string)
        .collect();
    let elsewhere = command::search(OsStr::new(PROGRAM), inherited.variable("PATH")).ok();
    for path in beside.iter().chain(&elsewhere) {
        let refused =
            execution::execute(&command::c_string(path.as_os_str()), &argv, &inherited.envp);
        if refused.kind() != io::ErrorKind::NotFound {
            messages::say(&format!(
                "{}, which vmmload {name} needs, cannot be executed: {refused}. Check the file",
                path.display()
            ));
            return EXIT_FAILURE;
        }
    }
    let place = beside.as_deref().unwrap_or(Path::new(PROGRAM)).display();
    messages::say(&format!(
        "vmmload {name} needs the program {PROGRAM}: there is neither {place} nor one in PATH. Build it with \
         `cargo build --release -p {PROGRAM}`, or install vmmload with `make install`"
    ));
    EXIT_FAILURE
}

/// Where this program's file is, whatever link it was called by.
fn own_directory() -> Option<PathBuf> {
    let own = std::fs::read_link("/proc/self/exe").ok()?;
    own.parent().map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_by(line: &str) -> Option<Vec<OsString>> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        asked(&words)
    }

    #[test]
    fn only_its_own_subcommands_are_passed_on_with_all_that_follows() {
        let words = |line: &str| Some(line.split(' ').map(OsString::from).collect());
        assert_eq!(asked_by("vmmload top --once 17"), words("top --once 17"));
        assert_eq!(
            asked_by("vmmload record -o x -- ls --help"),
            words("record -o x -- ls --help")
        );
        assert_eq!(asked_by("vmmload help diff"), words("diff --help"));
        for line in [
            "vmmload",
            "vmmload ls",
            "vmmload run top",
            "vmmload help",
            "vmmload help ls",
        ] {
            assert_eq!(asked_by(line), None, "{line}");
        }
    }

    #[test]
    fn they_are_those_that_the_help_lists() {
        let command = crate::cli::command();
        let passed_on: Vec<&str> = command
            .get_subcommands()
            .filter(|sub| sub.is_disable_help_flag_set())
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(passed_on, NAMES);
    }
}
