//! What can be typed: the definition of the command line, and nothing of what is done with it.
//!
//! The build script has this file, too: completions and the manual page are made of it.

use super::{CallMode, Children, Format, Shell, SummaryTarget, values};
use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use vmmload_consumer::Track;

/// Runs an unmodified command in a minimal VM and publishes which memory pages it writes.
#[derive(Parser)]
#[command(name = "vmmload", version, after_help = EXAMPLES, subcommand_required = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Typed,
}

const EXAMPLES: &str = "\
Examples:
  vmmload run python3 app.py      run it as always, with its pages watched
  vmmload ls                      in a second terminal: what is running
  vmmload dump --follow           the pages, while they are written
  vmmload top                     the same as a picture
  vmmload record -o app python3 app.py    keep it, for vmmload report app -o app.html
  vmmload doctor                  whether this machine is fit, and what to do if not

vmmload's own failures exit with 125, a command that cannot be executed with 126, one that is
not found with 127. Otherwise the exit status is the command's.";

#[derive(Subcommand)]
pub(super) enum Typed {
    Run(RunArgs),
    Ls(LsArgs),
    Dump(DumpArgs),
    /// Watch your live programs in the terminal
    #[command(disable_help_flag = true)]
    Top(PassedOn),
    /// Record a program's events and mappings into a directory of Parquet files
    #[command(disable_help_flag = true)]
    Record(PassedOn),
    /// Tell what a recording says: as text, as a page for the browser, as pictures
    #[command(disable_help_flag = true)]
    Report(PassedOn),
    /// Tell what has changed between two recordings
    #[command(disable_help_flag = true)]
    Diff(PassedOn),
    /// Serve metrics of your live programs over HTTP
    #[command(disable_help_flag = true)]
    Export(PassedOn),
    Doctor(DoctorArgs),
    Alias(AliasArgs),
    Link(LinkArgs),
    Completions(CompletionsArgs),
    /// Print vmmload's manual page
    #[command(after_help = MAN_EXAMPLES)]
    Man,
}

/// What another program understands: see the module `observe`. These are here for the list in the help, and never
/// parsed; completions and the manual page have that program's own definition in their place.
#[derive(clap::Args)]
pub(super) struct PassedOn {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

const MAN_EXAMPLES: &str = "\
Examples:
  vmmload man | man -l -                  read it where it is not installed
  vmmload man > ~/.local/share/man/man1/vmmload.1";

/// Wrap a command: same arguments, environment, files and exit status
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  vmmload run python3 script.py --verbose
  vmmload run -i 1s --summary -- sort -n numbers.txt
  vmmload run --summary=pages.txt ./server --port 8080
  vmmload run --track readwrite ./sort        pages that are only read, too
  vmmload run -i 0 ./solver                   epochs as short as they can be, to rank hot pages
  vmmload run --max-overhead 5 ./server       at most a twentieth of its time goes to tracking
  vmmload run --ring-group monitor ./server   readable by members of the group monitor, too
  vmmload run --ring-size 1M ./solver         for readers that come once in many seconds

Everything from COMMAND on belongs to the command.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// Descriptor of a pipe: the first instruction waits until nobody can write to it any more. How a recorder comes to
    /// a program before anything has happened in it, and nothing to be typed
    #[arg(long, value_name = "FD", hide = true, value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) hold: Option<i32>,

    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_names = ["COMMAND", "ARG"],
        num_args = 1..,
        value_parser = ValueParser::os_string()
    )]
    pub(super) command: Vec<OsString>,
}

/// List this user's live segments (root: everybody's): pid, command, age, events per second, pages
#[derive(clap::Args)]
#[command(after_help = "\
EVENTS/S is measured while you wait: over two epochs, at least 0.2 and at most 2 seconds.
PAGES is the number of distinct 4 KiB pages touched since the start.

A process that is killed cannot remove its segment. It can still be read (vmmload dump PID) until
`vmmload ls --prune`, or the same user's next `vmmload run`, removes it.

Examples:
  vmmload ls
  vmmload ls --all                also what other users share (vmmload run --ring-mode, --ring-group)
  vmmload ls --tree               children below their parents
  vmmload ls --prune              remove what killed processes have left
  vmmload ls --format json")]
pub(super) struct LsArgs {
    /// List segments of other users, too, where they share them
    #[arg(short, long)]
    pub(super) all: bool,

    /// Show each process below the one that forked it
    #[arg(short, long)]
    pub(super) tree: bool,

    /// Instead of listing, remove the segments of processes that died without removing them (root:
    /// everybody's), and print their paths
    #[arg(long, conflicts_with_all = ["all", "tree"])]
    pub(super) prune: bool,

    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
}

/// Print a segment's mappings, records and finished epochs, one a line
#[derive(clap::Args)]
#[command(after_help = "\
Without --follow, dump prints what is still in the ring and stops. An epoch is printed when it has
ended, behind its records.

Examples:
  vmmload dump                    of the only live process
  vmmload dump 4711 --follow      until process 4711 ends
  vmmload dump --regions          what huge pages would hold
  vmmload dump 4711 --format json | jq 'select(.type == \"page\") | .addr'")]
pub(super) struct DumpArgs {
    /// The process; may be left out when there is only one
    #[arg(value_name = "PID")]
    pub(super) pid: Option<u32>,

    /// Go on until the process ends
    #[arg(short, long)]
    pub(super) follow: bool,

    /// Instead of records, one line for each touched 2 MiB of the address space: how many of its 512
    /// pages were touched
    #[arg(long, conflicts_with = "follow")]
    pub(super) regions: bool,

    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
}

/// Make links by which commands are wrapped without being typed differently
#[derive(clap::Args)]
#[command(after_help = "\
With DIR first in PATH, each COMMAND that is typed, or started by whatever program, is its link in DIR. That is
vmmload, which wraps the next command of that name in PATH, as `vmmload run` does. Options come from VMMLOAD_*
variables (VMMLOAD_INTERVAL=1s ...). Where this machine cannot wrap a command, it runs natively after one line that
says why, or not at all with VMMLOAD_REQUIRE=1.

Keep the links in a directory of their own: wrapped commands do not have it in their PATH.

Examples:
  vmmload link ~/.vmmload make gcc python3
  export PATH=~/.vmmload:$PATH            as a line of ~/.profile, too
  vmmload link --list ~/.vmmload          the links, and what each of them wraps
  vmmload link --remove ~/.vmmload gcc
  vmmload link --remove ~/.vmmload        all of them")]
pub(super) struct LinkArgs {
    /// Show the links in DIR instead, and the command that each of them wraps
    #[arg(long, conflicts_with = "commands")]
    pub(super) list: bool,

    /// Remove links from DIR instead: those named, or all
    #[arg(long, conflicts_with = "list")]
    pub(super) remove: bool,

    /// Directory of the links; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,

    /// Names of commands in PATH
    #[arg(value_name = "COMMAND", required_unless_present_any = ["list", "remove"])]
    pub(super) commands: Vec<OsString>,
}

/// Tell what this machine offers, what is missing, and what to do about it
#[derive(clap::Args)]
#[command(after_help = "\
Looks at KVM, tries it out with guests of a few instructions, and measures what it costs. Changes
nothing. The exit status is 0 where `vmmload run` works, 1 where it does not.

Each line begins with ok (as it should be), -- (could be better) or !! (in the way).

Examples:
  vmmload doctor
  vmmload doctor --format json | jq .probes")]
pub(super) struct DoctorArgs {
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
}

/// Options of `vmmload run`; `None`: not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Settings {
    /// Length of an epoch: how often counts are published [example: 250ms, 1s] [default: 100ms]; 0 for
    /// epochs as short as --max-overhead allows
    #[arg(short, long, value_name = "DUR", value_parser = values::interval)]
    pub(super) interval: Option<Duration>,

    /// Which accesses to watch: write, readwrite or none [default: write]
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = values::offering("write readwrite none", values::track),
        hide_possible_values = true
    )]
    pub(super) track: Option<Track>,

    /// Dirty-ring entries of each vCPU: a power of two from 512 to 65536 [default: 65536]
    #[arg(
        long,
        value_name = "N",
        value_parser = values::offering("512 1024 2048 4096 8192 16384 32768 65536", values::buffer),
        hide_possible_values = true
    )]
    pub(super) buffer: Option<u32>,

    /// Most of the program's time that tracking may take, in per cent, 1 to 100 [default: 33]. Epochs go
    /// on for longer where it would take more. 100: no limit
    #[arg(long, value_name = "PERCENT", value_parser = values::overhead)]
    pub(super) max_overhead: Option<u32>,

    /// Who may read the segments: 600 for you and root (the default), 640 for a group, too, 644 for
    /// everybody on this machine. Nobody else may ever write to them
    #[arg(
        long,
        value_name = "MODE",
        value_parser = values::offering("600 640 644", values::ring_mode),
        hide_possible_values = true
    )]
    pub(super) ring_mode: Option<u32>,

    /// The group, by name or number, that may read the segments [default mode with it: 640]. You must be
    /// in it
    #[arg(long, value_name = "GROUP", value_parser = values::ring_group)]
    pub(super) ring_group: Option<u32>,

    /// Records in the ring of each segment: a power of two from 1024 to 16M [default: 64K]. A reader that
    /// stays away for longer than it takes to write so many loses the oldest
    #[arg(long, value_name = "N", value_parser = values::ring_size)]
    pub(super) ring_size: Option<u32>,

    /// Counter pages of each segment, 16 to 64K: one for each 2 MiB that the program touches, and for each kind
    /// of event there [default: 64K, or 4K where memory is limited (ulimit -v)]
    #[arg(long, value_name = "N", value_parser = values::heat_size)]
    pub(super) heat_size: Option<u32>,

    /// Wrap the processes that the command starts, or let them run natively [default: follow]
    #[arg(
        long,
        value_name = "HOW",
        value_parser = values::offering("follow native", values::children),
        hide_possible_values = true
    )]
    pub(super) children: Option<Children>,

    /// How system calls are made: exit: each leaves the VM; spin: a second thread runs the program meanwhile, so that
    /// it finds the answer without leaving the VM; auto: as pays at the moment [default: auto]
    #[arg(
        long,
        value_name = "MODE",
        value_parser = values::offering("auto exit spin", values::call_mode),
        hide_possible_values = true
    )]
    pub(super) call_mode: Option<CallMode>,

    /// Processor time that such second threads of a process may take, in per cent of one processor's; 0: none
    /// [default: half of the processors]
    #[arg(long, value_name = "PERCENT", value_parser = values::spin_budget)]
    pub(super) spin_budget: Option<u32>,

    /// At exit, report pages and events by mapping, to standard error (or -), or to FILE
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "-",
        value_parser = OsStringValueParser::new().map(values::summary)
    )]
    pub(super) summary: Option<SummaryTarget>,
}

/// Print aliases, so that commands are wrapped wherever you type them
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  eval \"$(vmmload alias make cc)\"         from now on, in bash, zsh or sh; keep it in ~/.bashrc or ~/.zshrc
  vmmload alias make cc | source          in fish; keep it in ~/.config/fish/config.fish
  unalias make                            no more (fish: functions --erase make)

make is then `vmmload run make`, with what VMMLOAD_INTERVAL, VMMLOAD_SUMMARY and their kin say. Whatever is
behind it is make's own, and is completed as before.

An alias is a word of the shell that you type to. Scripts, makefiles and other programs do not see it, nor does
what is typed behind sudo, env, xargs or nohup, unless that is an alias itself that ends with a blank: alias
sudo='sudo '. \\make and `command make` run make natively. Where an alias does not reach, `vmmload link` does.

Nothing is printed, and the status is 125, unless every name is a program in PATH that can have an
alias.")]
pub(super) struct AliasArgs {
    /// The shell to print for [default: that of SHELL; sh, dash and ksh take what bash does]
    #[arg(long, value_enum, value_name = "SHELL")]
    pub(super) shell: Option<Shell>,

    /// The commands, as they are typed
    #[arg(required = true, value_name = "COMMAND", value_parser = ValueParser::os_string())]
    pub(super) commands: Vec<OsString>,
}

/// Print what lets a shell complete vmmload's options, and what follows vmmload run
#[derive(clap::Args)]
#[command(after_help = "\
`make install` and the Debian package put them where the shells look for them.

Examples:
  eval \"$(vmmload completions bash)\"     for this shell; in zsh after compinit
  vmmload completions fish | source
  vmmload completions bash > ~/.local/share/bash-completion/completions/vmmload
  vmmload completions zsh > DIR/_vmmload  where DIR is in fpath
  vmmload completions fish > ~/.config/fish/completions/vmmload.fish")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(super) shell: Shell,
}
