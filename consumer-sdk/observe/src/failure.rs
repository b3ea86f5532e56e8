//! Failures, as all of vmmload has them: one line that names what, why and the way out, and status 125.

use clap::error::ErrorKind;
use std::io::{self, Write};
use std::path::Path;

/// Status of our own failures, as env(1) has it.
pub(crate) const OWN_FAILURE: u8 = 125;

/// Why a command could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A segment cannot be read.
    #[error(transparent)]
    Attach(#[from] vmmload_consumer::AttachError),
    /// Standard output, or the terminal.
    #[error("cannot write to standard output: {0}. Check where it goes")]
    Output(#[from] io::Error),
    /// A file of ours.
    #[error("{what}: {cause}. {remedy}")]
    File {
        /// What was to be done, with the path.
        what: String,
        /// Why not.
        cause: io::Error,
        /// What to do, as a sentence without its full stop.
        remedy: &'static str,
    },
    /// Anything else, complete with the way out.
    #[error("{0}")]
    Other(String),
}

/// What a subcommand gives: its exit status.
pub(crate) type Outcome = Result<u8, Failure>;

impl Failure {
    /// `cannot VERB PATH: CAUSE. REMEDY`.
    pub(crate) fn of_file(verb: &str, path: &Path, cause: io::Error, remedy: &'static str) -> Self {
        Self::File {
            what: format!("cannot {verb} {}", path.display()),
            cause,
            remedy,
        }
    }

    /// Says it on standard error, and gives the status to exit with. A reader of our output that has seen enough, as
    /// head(1) does, is no failure.
    pub(crate) fn complain(&self) -> u8 {
        if matches!(self, Self::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe) {
            return 0;
        }
        say(&with_causes(self));
        OWN_FAILURE
    }
}

/// One line of ours on standard error. There is nobody to tell when that fails.
pub(crate) fn say(message: &str) {
    let _ = writeln!(io::stderr(), "vmmload: {}", printable(message));
}

/// Text with control characters replaced: names come from other programs, and a terminal obeys them.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| match c.is_control() && c != '\n' {
        true => '?',
        false => c,
    };
    text.chars().map(shown).collect()
}

/// The message with its causes in front, so that it still ends with what to do.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes
        .map(|cause| format!("{cause}: "))
        .chain([error.to_string()])
        .collect()
}

/// Prints what clap has to say, and gives the status to exit with.
pub(crate) fn show_usage(error: &clap::Error) -> u8 {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let _ = write!(io::stdout(), "{error}");
        return 0;
    }
    let text = error.to_string();
    let message = text.strip_prefix("error: ").unwrap_or(&text);
    let _ = write!(io::stderr(), "vmmload: {message}");
    OWN_FAILURE
}
