//! What some options choose from.

use std::path::PathBuf;

/// What happens to processes that the command starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Children {
    /// Each is wrapped like its parent.
    Follow,
    /// They run natively, unwatched.
    Native,
}

impl Children {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Children::Follow => "follow",
            Children::Native => "native",
        }
    }
}

/// How the program's system calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallMode {
    /// As pays at the moment.
    Auto,
    /// Each leaves the guest.
    Exit,
    /// In the guest's sight, wherever that can be.
    Spin,
}

impl CallMode {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            CallMode::Auto => "auto",
            CallMode::Exit => "exit",
            CallMode::Spin => "spin",
        }
    }
}

/// Where the summary goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SummaryTarget {
    /// Standard error.
    Stderr,
    /// This file, replaced if it exists.
    File(PathBuf),
}

/// How `ls`, `dump` and `doctor` print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns for people.
    Text,
    /// JSON: one object a line, or of `doctor` one in all.
    Json,
}

/// The shells that aliases and completions are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    /// And others of POSIX: sh, dash, ksh.
    Bash,
    /// Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}
