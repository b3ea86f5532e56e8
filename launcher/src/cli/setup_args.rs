//! Arguments of the subcommands that fit a shell out.

use clap::builder::ValueParser;
use std::ffi::OsString;

/// A shell, by what is written for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    /// And others of POSIX: sh, dash, ksh.
    Bash,
    /// Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
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

An alias is a word of the shell that you type to: scripts and other programs do not see it, nor does what
comes first behind sudo, env, xargs, time or nohup (unless that is an alias that ends with a blank: alias
sudo='sudo '). \\make and `command make` run make natively. For all of these, see vmmload link.

Nothing is printed, and the status is 125, unless every name is a program in PATH that can have an
alias.")]
pub(super) struct AliasArgs {
    /// The shell to print for [default: that of SHELL; sh, dash and ksh take what bash does]
    #[arg(long, value_enum, value_name = "SHELL")]
    pub(super) shell: Option<Shell>,

    /// The commands, as they are typed
    #[arg(required = true, value_name = "CMD", value_parser = ValueParser::os_string())]
    pub(super) commands: Vec<OsString>,
}
