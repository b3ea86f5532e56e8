//! The command line: arguments to configuration, and the subcommands that only read.
//!
//! Nothing here knows about VMs. `ls`, `dump` and the summary see a process as any other consumer of
//! its segment does; `doctor` prints what the module of that name found out.

mod alias;
mod args;
mod doctor;
mod dump;
mod kinds;
mod link;
mod ls;
mod numbers;
mod settings;
mod summary;
#[cfg(test)]
mod testing;
mod typed;
mod values;

pub(crate) use alias::AliasConfig;
pub(crate) use doctor::DoctorConfig;
pub(crate) use dump::DumpConfig;
pub(crate) use kinds::{CallMode, Children, Format, Shell, SummaryTarget};
pub(crate) use link::LinkConfig;
pub(crate) use ls::LsConfig;
pub(crate) use settings::{SettingsError, is_required};
pub(crate) use summary::{Facts, write_summary};
pub(crate) use typed::Settings;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;
use vmmload_consumer::Track;

use crate::doctor::Report;
use crate::host::messages::printable;

/// Status of our own failures, as env(1) has it.
pub(crate) const EXIT_FAILURE: i32 = 125;

/// What was typed behind `vmmload run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunRequest {
    /// The options.
    pub(crate) settings: Settings,
    /// The descriptor whose end the first instruction waits for.
    pub(crate) hold: Option<i32>,
    /// The command and its arguments, byte for byte as typed; never empty.
    pub(crate) command: Vec<OsString>,
}

/// How a command is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunConfig {
    /// Length of an epoch. Zero: as short as `max_overhead` allows.
    pub(crate) interval: Duration,
    /// Which accesses to watch.
    pub(crate) track: Track,
    /// Dirty-ring entries of each vCPU: a power of two from 512 to 65,536.
    pub(crate) buffer: u32,
    /// Per cent of the program's time that tracking may take, 1 to 100; 100: no limit.
    pub(crate) max_overhead: u32,
    /// What happens to processes that the command starts.
    pub(crate) children: Children,
    /// Who may read the segments.
    pub(crate) sharing: Sharing,
    /// Records in the ring of a segment, a power of two.
    pub(crate) ring_size: u32,
    /// Counter pages of a segment; `None`: as many as there can be, or fewer where memory is limited.
    pub(crate) heat_size: Option<u32>,
    /// How the program's system calls are made.
    pub(crate) call_mode: CallMode,
    /// Per cent of one processor's time that waiting for system calls may take besides; `None`: half of the
    /// processors.
    pub(crate) spin_budget: Option<u32>,
    /// Where a summary goes at exit, if anywhere.
    pub(crate) summary: Option<SummaryTarget>,
}

/// Who may read the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sharing {
    /// Permission bits of their files.
    pub(crate) mode: u32,
    /// The group of their files; `None`: as for any new file.
    pub(crate) group: Option<u32>,
    /// The user namespace in which the group has that number, once that is known.
    pub(crate) namespace: Option<u64>,
}

impl Sharing {
    /// Only who started the command, and root.
    pub(crate) const PRIVATE: Self = Self {
        mode: 0o600,
        group: None,
        namespace: None,
    };
}

/// The subcommand and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Wrap a command.
    Run(RunRequest),
    /// List the live segments.
    Ls(LsConfig),
    /// Print a segment's records.
    Dump(DumpConfig),
    /// Make, show or remove links.
    Link(LinkConfig),
    /// Tell what this machine offers.
    Doctor(DoctorConfig),
    /// Print aliases.
    Alias(AliasConfig),
    /// Print the completions for a shell.
    Completions(Shell),
    /// Print the manual page.
    Man,
}

/// Understands `args`, the whole argument vector with the program's name first.
///
/// # Errors
/// The status to exit with, after the help, the version or a message was printed.
pub(crate) fn parse(args: &[OsString]) -> Result<Command, i32> {
    args::parse(args).map_err(|error| args::show(&error))
}

/// The definition of the command line.
#[cfg(test)]
pub(crate) fn command() -> clap::Command {
    <typed::Cli as clap::CommandFactory>::command()
}

/// Runs `vmmload ls` and returns its exit status.
pub(crate) fn run_ls(config: &LsConfig) -> i32 {
    exit_status(ls::run(config, &mut io::stdout().lock()))
}

/// Runs `vmmload dump` and returns its exit status.
pub(crate) fn run_dump(config: &DumpConfig) -> i32 {
    exit_status(dump::run(
        config,
        &mut io::BufWriter::new(io::stdout().lock()),
    ))
}

/// Runs `vmmload link` and returns its exit status.
pub(crate) fn run_link(config: &LinkConfig) -> i32 {
    match link::run(config, &mut io::stdout().lock()) {
        Ok(()) => 0,
        Err(error) => {
            complain(&error.to_string());
            EXIT_FAILURE
        }
    }
}

/// Runs `vmmload doctor` and returns its exit status: 1 where programs cannot run.
pub(crate) fn run_doctor(config: &DoctorConfig, report: &Report) -> i32 {
    let printed = doctor::run(config, report, &mut io::stdout().lock());
    match exit_status(printed) {
        0 => i32::from(!report.usable()),
        status => status,
    }
}

/// Runs `vmmload alias` and returns its exit status.
pub(crate) fn run_alias(config: &AliasConfig) -> i32 {
    exit_status(alias::run(config, &mut io::stdout().lock()))
}

/// Runs `vmmload completions` and returns its exit status.
pub(crate) fn run_completions(shell: Shell) -> i32 {
    print(match shell {
        Shell::Bash => include_str!(concat!(env!("OUT_DIR"), "/vmmload.bash")),
        Shell::Zsh => include_str!(concat!(env!("OUT_DIR"), "/_vmmload")),
        Shell::Fish => include_str!(concat!(env!("OUT_DIR"), "/vmmload.fish")),
    })
}

/// Runs `vmmload man` and returns its exit status.
pub(crate) fn run_man() -> i32 {
    print(include_str!(concat!(env!("OUT_DIR"), "/vmmload.1")))
}

fn print(text: &str) -> i32 {
    let mut output = io::stdout().lock();
    let printed = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    exit_status(printed.map_err(ReportError::from))
}

/// Why a subcommand that only prints failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// The segment cannot be read.
    #[error(transparent)]
    Attach(#[from] vmmload_consumer::AttachError),
    /// No process was named, and there is none.
    #[error(
        "no live segment; start a command with `vmmload run COMMAND`, or name an ended process"
    )]
    NoSegment,
    /// No process was named, and there are several.
    #[error("several live segments; name one of these processes:{listing}")]
    Ambiguous {
        /// One line for each, beginning with a line break.
        listing: String,
    },
    /// The segment's file was cut short under us.
    #[error(
        "{path} was cut short while it was read; what was printed may be wrong, so start again"
    )]
    Truncated {
        /// The segment's file.
        path: PathBuf,
    },
    /// The output could not be written.
    #[error("cannot write to standard output; check where it goes")]
    Output(#[from] io::Error),
    /// There are no such aliases.
    #[error(transparent)]
    Alias(#[from] alias::AliasError),
}

/// Zero, or the failure's status after its message. A reader that has seen enough, as head(1) does, is
/// no failure.
fn exit_status(outcome: Result<(), ReportError>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(ReportError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            complain(&with_causes(&error));
            EXIT_FAILURE
        }
    }
}

/// The message with its causes in front, so that it still ends with what to do.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes
        .map(|cause| format!("{cause}: "))
        .chain([error.to_string()])
        .collect()
}

/// Prints one message of ours to standard error. There is nobody to tell when that fails.
fn complain(message: &str) {
    let lines: Vec<_> = message.lines().map(printable).collect();
    let _ = writeln!(io::stderr(), "vmmload: {}", lines.join("\n"));
}

/// An age for people: whole seconds from one second on, milliseconds below.
fn display_age(age: Duration) -> String {
    let shown = match age.as_secs() {
        0 => Duration::from_millis(age.as_millis() as u64),
        seconds => Duration::from_secs(seconds),
    };
    humantime::format_duration(shown).to_string()
}

/// A string as JSON, quotes included.
fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
