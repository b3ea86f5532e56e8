//! What can be typed: the definition of the command line, and nothing of what is done with it.
//!
//! The launcher's build script has this file, too: `vmmload completions` and `vmmload man` tell of these commands, but
//! the launcher itself has nothing of them.

use clap::builder::ValueParser;
use clap::{ArgGroup, Parser, Subcommand};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Shows, records and reports which memory pages programs in vmmload touch
#[derive(Debug, Parser)]
#[command(
    name = "vmmload",
    bin_name = "vmmload",
    version,
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Typed,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Typed {
    Top(TopArgs),
    Record(RecordArgs),
    Report(ReportArgs),
    Diff(DiffArgs),
    Export(ExportArgs),
}

/// Watch your live programs in the terminal: events, working sets, mappings, a picture of their memory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys: arrows or j k move, Enter zooms into a process or mapping, Esc back, s sorts, / filters, space pauses,
q quits, h shows all of them.

Examples:
  vmmload top                     all of your programs
  vmmload top 4711                process 4711 and what descends from it
  vmmload top --once              one table, for scripts
  watch -n 10 vmmload top --once --sort lost")]
pub(crate) struct TopArgs {
    /// A process: it, and all others of the same vmmload run
    #[arg(value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// How often to look
    #[arg(short, long, value_name = "DUR", default_value = "1s", value_parser = pause)]
    pub(crate) delay: Duration,

    /// Print one plain table, of what happens in one delay, and stop
    #[arg(long)]
    pub(crate) once: bool,

    /// What to sort by
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "events")]
    pub(crate) sort: SortKey,

    /// Processes of other users, too, where they share them
    #[arg(short, long, conflicts_with = "pid")]
    pub(crate) all: bool,

    /// No colours (as with NO_COLOR in the environment)
    #[arg(long)]
    pub(crate) no_color: bool,
}

/// Columns of `top` that can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SortKey {
    /// Events in a second.
    Events,
    /// Working set.
    Pages,
    /// Share of writes.
    Writes,
    /// Lost records.
    Lost,
    /// Process id, or address.
    Pid,
    /// Command, or name.
    Name,
}

/// Record a program's events and mappings into a directory of Parquet files
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["pid", "command"]),
    override_usage = "vmmload record [OPTIONS] -o DIR [--] COMMAND [ARG]...\n       \
                      vmmload record [OPTIONS] -o DIR --pid PID",
    after_help = "\
With COMMAND, the exit status is the command's, and everything from COMMAND on belongs to it. Ctrl-C ends the
command, and the recording with it; with --pid it ends the recording alone. What was recorded until then is valid.

Options of vmmload run that have none here can be said by its variables: VMMLOAD_BUFFER=4096, VMMLOAD_CHILDREN=native
and so on.

Examples:
  vmmload record -o before -- ./solver input.dat
  vmmload record -o reads -i 10ms --track readwrite -- python3 app.py
  vmmload record -o day --pid 4711 --resolution 1s,64K    a second and 64 KiB are one row
  vmmload record -o minute --pid 4711 --for 1m
  duckdb -c \"select kind, count(*) from read_parquet('before/events/**/*.parquet') group by all\"")]
pub(crate) struct RecordArgs {
    /// The directory to make: it must not be there yet, or be empty
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Record a process that runs, and all others of the same vmmload run
    #[arg(short, long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// Rows for less: events of one page and kind within TIME become one row, and with SIZE (4K to 2M) so do those of
    /// neighbouring pages. Their counts are added up [default: a row for each record]
    #[arg(short, long, value_name = "TIME[,SIZE]", value_parser = resolution)]
    pub(crate) resolution: Option<Resolution>,

    /// Stop recording after this time; the program goes on
    #[arg(long = "for", value_name = "DUR", value_parser = pause)]
    pub(crate) duration: Option<Duration>,

    /// Length of an epoch, for COMMAND [default: 100ms]
    #[arg(short, long, value_name = "DUR", conflicts_with = "pid", value_parser = ValueParser::os_string())]
    pub(crate) interval: Option<OsString>,

    /// Which accesses to watch, for COMMAND: write, readwrite or none [default: write]
    #[arg(long, value_name = "WHAT", conflicts_with = "pid", value_parser = ValueParser::os_string())]
    pub(crate) track: Option<OsString>,

    /// No status line
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// The command and its arguments
    #[arg(
        trailing_var_arg = true,
        value_names = ["COMMAND", "ARG"],
        num_args = 1..,
        value_parser = ValueParser::os_string()
    )]
    pub(crate) command: Vec<OsString>,
}

/// What becomes one row of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resolution {
    /// Events within this time become one row.
    pub(crate) time: Duration,
    /// Events within this many bytes become one row: a power of two from 4 KiB to 2 MiB.
    pub(crate) bytes: u64,
}

/// Tell what a recording says: as text, as a page for the browser, as pictures
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without -o, --png and --svg, the report is printed. Pages and pictures are of the processes with the most events.

Examples:
  vmmload report before
  vmmload report before -o before.html        one file; opens offline
  vmmload report before --png pictures")]
pub(crate) struct ReportArgs {
    /// The recording
    #[arg(value_name = "DIR")]
    pub(crate) recording: PathBuf,

    /// Write a page for the browser, complete in one file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Write the charts as PNG files into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) png: Option<PathBuf>,

    /// Write the charts as SVG files into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,

    /// Only this process
    #[arg(short, long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    /// How many processes get charts of their own, those with the most events first
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) processes: u32,
}

/// Tell what has changed between two recordings
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vmmload diff before after
  vmmload diff before after -o change.html")]
pub(crate) struct DiffArgs {
    /// The recording to compare with
    #[arg(value_name = "DIR")]
    pub(crate) before: PathBuf,

    /// The recording that is compared
    #[arg(value_name = "DIR")]
    pub(crate) after: PathBuf,

    /// Write a page for the browser, complete in one file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Serve metrics of your live programs over HTTP, as Prometheus and others collect them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Metrics are at /metrics, in the format of OpenMetrics. Whoever can reach the address can read them: with an address other
than the loopback's, that is everybody on that network.

Examples:
  vmmload export
  vmmload export --listen 127.0.0.1:9500
  vmmload export --dashboard > vmmload.json      to import in Grafana")]
pub(crate) struct ExportArgs {
    /// Address and port to listen at
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// Most processes with series of their own, those with the most events first; the others are added up
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) processes: u32,

    /// Processes of other users, too, where they share them
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Print a dashboard for Grafana instead
    #[arg(long)]
    pub(crate) dashboard: bool,
}

fn pause(text: &str) -> Result<Duration, String> {
    let wrong = |why: String| format!("{why}; write it like 500ms, 1s or 2m");
    let parsed = humantime::parse_duration(text).map_err(|cause| wrong(cause.to_string()))?;
    match parsed.is_zero() {
        true => Err(wrong("it must be more than nothing".into())),
        false => Ok(parsed),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |_| {
        "write the address as a number, and the port, as in --listen 127.0.0.1:9464 or [::1]:9464"
            .to_owned()
    };
    text.parse().map_err(wrong)
}

fn resolution(text: &str) -> Result<Resolution, String> {
    let (time, size) = text.split_once(',').unwrap_or((text, "4K"));
    let time = pause(time)?;
    let wrong = || "use a power of two from 4K to 2M behind the comma, as in 1s,64K".to_owned();
    let (digits, unit) = match size.as_bytes().last() {
        Some(b'K' | b'k') => (&size[..size.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&size[..size.len() - 1], 1 << 20),
        _ => (size, 1),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(unit).ok_or_else(wrong)?;
    match bytes.is_power_of_two() && (4 << 10..=2 << 20).contains(&bytes) {
        true => Ok(Resolution { time, bytes }),
        false => Err(wrong()),
    }
}
