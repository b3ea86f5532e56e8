//! Real shells: what they offer behind an unfinished line, with vmmload's completions and their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::c_library::output_of;
use crate::scratch::{Scratch, workspace};
use crate::{packages, vmmload};

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// With the package bash-completion, which knows other commands.
    Bash,
    /// Without it.
    BareBash,
    /// With its completion system.
    Zsh,
    /// As it is.
    Fish,
}

/// Those that complete other commands, too.
pub const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// What completes other commands in bash, of the package bash-completion.
pub const BASH_COMPLETION: &str = "/usr/share/bash-completion/bash_completion";

impl Shell {
    /// What vmmload calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash | Self::BareBash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    /// The shell itself.
    ///
    /// # Panics
    /// When it cannot be installed.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Bash | Self::BareBash => packages::bash(),
            Self::Zsh => packages::program("/usr/bin/zsh", "zsh"),
            Self::Fish => packages::program("/usr/bin/fish", "fish"),
        }
    }

    /// A command that runs the shell without anybody's configuration.
    ///
    /// # Panics
    /// When it cannot be installed.
    #[must_use]
    pub fn command(self, home: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            Self::Bash | Self::BareBash => command.args(["--norc", "--noprofile"]),
            Self::Zsh => command.arg("-f"),
            Self::Fish => &mut command,
        };
        command
            .env("HOME", home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env("SHELL", self.program());
        command
    }

    /// What the shell offers for each of these lines, with the completions that vmmload prints.
    ///
    /// # Panics
    /// When the shell has anything to say but offers.
    #[must_use]
    pub fn offers(self, lines: &[&str]) -> Vec<Vec<String>> {
        let home = Scratch::new();
        let text = output_of(Command::new(vmmload()).args(["completions", self.name()]));
        let completions = home.file("_vmmload", text, 0o644);
        self.offers_with(&completions, lines)
    }

    /// What the shell offers for each of these lines, with the completions in a file, called `_vmmload` for zsh.
    ///
    /// # Panics
    /// When the shell has anything to say but offers.
    #[must_use]
    pub fn offers_with(self, completions: &Path, lines: &[&str]) -> Vec<Vec<String>> {
        let home = Scratch::new();
        let mut command = self.command(home.path());
        let directory = completions.parent().expect("a file lies in a directory");
        match self {
            Self::Zsh => return lines.iter().map(|l| zsh_offers(directory, l, "")).collect(),
            Self::Bash => {
                let _ = packages::program(BASH_COMPLETION, "bash-completion");
                command.arg(script("bash")).arg(completions);
                command.args(["with", BASH_COMPLETION, "--"]);
            }
            Self::BareBash => {
                command.arg(script("bash")).arg(completions).arg("--");
            }
            Self::Fish => {
                command.arg(script("fish")).arg(completions);
            }
        }
        let text = output_of(command.args(lines));
        let mut offers = vec![Vec::new()];
        for line in text.lines() {
            match (line, offers.last_mut()) {
                ("--end--", _) => offers.push(Vec::new()),
                (candidate, Some(last)) if !candidate.is_empty() => last.push(candidate.to_owned()),
                _ => {}
            }
        }
        offers.pop();
        assert_eq!(offers.len(), lines.len(), "{text}");
        offers
    }
}

/// What zsh offers for a line, after some commands. The completions are in `directory`.
///
/// # Panics
/// When it has anything to say but offers.
#[must_use]
pub fn zsh_offers(directory: &Path, line: &str, before: &str) -> Vec<String> {
    let home = Scratch::new();
    let mut command = Shell::Zsh.command(home.path());
    command
        .arg(script("zsh"))
        .arg(directory)
        .args([line, before]);
    let text = output_of(&mut command);
    text.lines().map(str::to_owned).collect()
}

fn script(shell: &str) -> PathBuf {
    workspace().join(format!("tests/shells/offers.{shell}"))
}
