//! `vmmload alias`: prints what makes a shell wrap commands wherever they are typed.

use super::{ReportError, Shell};
use crate::process::command;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Options of `alias`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AliasConfig {
    /// `None`: that of the variable SHELL.
    pub(crate) shell: Option<Shell>,
    /// The commands, as they are typed.
    pub(crate) commands: Vec<OsString>,
}

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AliasError {
    /// No shell was named, and the environment names none that is known.
    #[error(
        "{}: no aliases are known for this shell. Say whose to print: --shell bash (for all of POSIX), zsh or fish",
        .0.as_ref().map_or("SHELL is not set".into(), |shell| format!("SHELL={}", shell.display()))
    )]
    Shell(Option<OsString>),
    /// What no alias can be called.
    #[error("{}: no alias can have this name: {reason}. Put vmmload run in front of the command instead", .name.display())]
    Name {
        /// As it was typed.
        name: OsString,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing that could be wrapped.
    #[error(
        "{}: no program in PATH has this name, and what a shell does by itself (builtins, functions) cannot be \
         wrapped. Check the spelling, or add the program's directory to PATH", .0.display()
    )]
    NotFound(OsString),
    /// An alias for vmmload, to run vmmload.
    #[error("{}: is vmmload itself. Name the commands that it is to wrap", .0.display())]
    Itself(OsString),
    /// A program of another user's rights.
    #[error("{}: a set-user-ID or set-group-ID program, which only the kernel can start. Leave it out", .0.display())]
    SetId(OsString),
    /// This file cannot be named any more.
    #[error("vmmload's own file cannot be found any more. Start it by a path that still exists")]
    OwnFile(#[source] io::Error),
}

/// Where commands are looked for, and who looks.
struct Surroundings {
    /// The value of PATH.
    path: OsString,
    /// This program's own file.
    own_path: PathBuf,
    own_file: Metadata,
}

/// Prints an alias for each command, if all of them can have one.
pub(super) fn run(config: &AliasConfig, output: &mut impl Write) -> Result<(), ReportError> {
    let shell = match config.shell {
        Some(shell) => shell,
        None => shell_of(std::env::var_os("SHELL"))?,
    };
    let surroundings = Surroundings::look().map_err(AliasError::OwnFile)?;
    let text = lines(shell, &config.commands, &surroundings)?;
    output.write_all(&text)?;
    Ok(output.flush()?)
}

/// By the name of the shell's program.
fn shell_of(variable: Option<OsString>) -> Result<Shell, AliasError> {
    let program = variable.as_ref().map(Path::new).and_then(Path::file_name);
    match program.and_then(OsStr::to_str) {
        Some("bash" | "sh" | "dash" | "ash" | "ksh" | "ksh93" | "mksh") => Ok(Shell::Bash),
        Some("zsh") => Ok(Shell::Zsh),
        Some("fish") => Ok(Shell::Fish),
        _ => Err(AliasError::Shell(variable.filter(|text| !text.is_empty()))),
    }
}

fn lines(shell: Shell, names: &[OsString], here: &Surroundings) -> Result<Vec<u8>, AliasError> {
    let mut text = Vec::new();
    let vmmload = here.own_word(shell);
    for name in names {
        let word = alias_name(shell, name)?;
        here.check(name)?;
        let command = [&vmmload, b" run ".as_slice(), word.as_bytes()].concat();
        let between = if shell == Shell::Fish { b' ' } else { b'=' };
        text.extend(b"alias ");
        text.extend(word.as_bytes());
        text.push(between);
        text.extend(quoted(shell, &command));
        text.push(b'\n');
    }
    Ok(text)
}

/// The name, if an alias can have it in that shell, and is used where it is typed.
fn alias_name(shell: Shell, name: &OsStr) -> Result<&str, AliasError> {
    let refused = |reason: String| AliasError::Name {
        name: name.to_owned(),
        reason,
    };
    let text = name
        .to_str()
        .ok_or_else(|| refused("it is not text".into()))?;
    let odd = text.chars().find(|&letter| !is_for_names(letter));
    match (odd, text.chars().next()) {
        (_, None) => return Err(refused("it is empty".into())),
        (Some('/'), _) => return Err(refused("an alias is a word, not a path".into())),
        (Some(odd), _) => {
            return Err(refused(format!(
                "{odd:?} would mean something to the shell"
            )));
        }
        (None, Some(first @ ('-' | '+'))) => {
            return Err(refused(format!(
                "with {first:?} in front it would be an option"
            )));
        }
        _ => {}
    }
    match reserved(shell).any(|word| word == text) {
        true => Err(refused("it is a reserved word of the shell".into())),
        false => Ok(text),
    }
}

/// Whether a letter means nothing to any shell, wherever it stands in a word, quoted or not.
fn is_for_names(letter: char) -> bool {
    letter.is_alphanumeric() || "_.-+,@:".contains(letter)
}

/// Words of the shell's own grammar: fish refuses them, and with the others, their alias would break it.
fn reserved(shell: Shell) -> impl Iterator<Item = &'static str> {
    // Not lists of strings, each of which would be relocated at every start.
    let words = match shell {
        Shell::Bash => {
            "case coproc do done elif else esac fi for function if in select then time until while"
        }
        Shell::Zsh => {
            "case coproc do done elif else end esac fi for foreach function if in nocorrect repeat select then \
             time until while"
        }
        Shell::Fish => {
            "_ and argparse begin break builtin case command continue else end eval exec for function if not or \
             read return set status string switch test time while"
        }
    };
    words.split(' ')
}

impl Surroundings {
    fn look() -> io::Result<Self> {
        let own_path = std::env::current_exe()?;
        Ok(Self {
            path: std::env::var_os("PATH").unwrap_or_else(|| command::DEFAULT_PATH.into()),
            own_file: own_path.metadata()?,
            own_path,
        })
    }

    /// All programs of that name, in the order of PATH.
    fn programs(&self, name: &OsStr) -> impl Iterator<Item = PathBuf> {
        let directories = self.path.as_bytes().split(|&byte| byte == b':');
        let paths = directories.map(move |directory| command::in_directory(directory, name));
        paths.filter(|path| command::check_executable(path).is_ok())
    }

    /// Whether that is this program, by whatever name.
    fn is_own(&self, path: &Path) -> bool {
        let identity = |file: &Metadata| (file.dev(), file.ino());
        let file = path.metadata();
        file.is_ok_and(|file| identity(&file) == identity(&self.own_file))
    }

    /// That there is something to wrap. Links to vmmload are passed over: they do what the alias would.
    fn check(&self, name: &OsStr) -> Result<(), AliasError> {
        let mut programs = self.programs(name).peekable();
        if name == "vmmload" {
            return Err(AliasError::Itself(name.to_owned()));
        }
        if programs.peek().is_none() {
            return Err(AliasError::NotFound(name.to_owned()));
        }
        let is_set_id = |path: PathBuf| path.metadata().is_ok_and(|file| command::is_set_id(&file));
        match programs.find(|path| !self.is_own(path)).map(is_set_id) {
            None => Err(AliasError::Itself(name.to_owned())),
            Some(true) => Err(AliasError::SetId(name.to_owned())),
            Some(false) => Ok(()),
        }
    }

    /// How vmmload is called in an alias: shortly, if that finds this one.
    fn own_word(&self, shell: Shell) -> Vec<u8> {
        let name = OsStr::new("vmmload");
        let found = self.programs(name).next();
        if found.is_some_and(|path| self.is_own(&path)) {
            return name.as_bytes().to_vec();
        }
        let path = self.own_path.clone().into_os_string().into_vec();
        let is_plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b"/_.-+".contains(&byte);
        match path.iter().all(is_plain) {
            true => path,
            false => quoted(shell, &path),
        }
    }
}

/// As one word that the shell takes as it is.
fn quoted(shell: Shell, text: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in text {
        match (shell, byte) {
            (Shell::Fish, b'\'' | b'\\') => quoted.extend([b'\\', byte]),
            (_, b'\'') => quoted.extend(b"'\\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(path: &str) -> Surroundings {
        let own_path = PathBuf::from("/bin/sh");
        Surroundings {
            path: path.into(),
            own_file: own_path.metadata().unwrap(),
            own_path,
        }
    }

    fn printed(shell: Shell, names: &[&str]) -> Result<String, String> {
        let names: Vec<OsString> = names.iter().map(OsString::from).collect();
        let lines = lines(shell, &names, &here("/usr/bin:/bin"));
        lines
            .map(|text| String::from_utf8(text).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_command_gets_a_line_in_the_words_of_its_shell() {
        let expected = "alias cat='/bin/sh run cat'\nalias ls='/bin/sh run ls'\n";
        for shell in [Shell::Bash, Shell::Zsh] {
            assert_eq!(printed(shell, &["cat", "ls"]).unwrap(), expected);
        }
        let expected = "alias cat '/bin/sh run cat'\n";
        assert_eq!(printed(Shell::Fish, &["cat"]).unwrap(), expected);
    }

    #[test]
    fn what_no_alias_can_be_called_is_refused() {
        for name in [
            "", "/bin/ls", "a=b", "it's", "a\"b", "a b", "-x", "+x", "a\tb", "a\nb", "$HOME",
            "`w`", "a;b", "a&b", "a|b", "(a)", "a<b", "a>b", "*", "a?", "[", "{a", "~", "#a", "!a",
            "a\\b", "a^b",
        ] {
            for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                let refusal = printed(shell, &["ls", name]).unwrap_err();
                assert!(refusal.contains("no alias can have this name"), "{refusal}");
            }
        }
        let name = OsString::from_vec(vec![b'a', 0xff]);
        assert!(alias_name(Shell::Bash, &name).is_err());
    }

    #[test]
    fn names_of_compilers_and_the_like_are_fine() {
        for name in [
            "g++",
            "x86_64-linux-gnu-gcc-12",
            "python3.11",
            "größe",
            "a@b",
        ] {
            assert_eq!(alias_name(Shell::Bash, name.as_ref()).unwrap(), name);
        }
    }

    #[test]
    fn words_of_the_grammar_are_refused() {
        let shells = [Shell::Bash, Shell::Zsh, Shell::Fish];
        assert!(
            shells
                .iter()
                .all(|&s| alias_name(s, "time".as_ref()).is_err())
        );
        assert!(alias_name(Shell::Fish, "test".as_ref()).is_err());
        assert!(alias_name(Shell::Bash, "test".as_ref()).is_ok());
    }

    #[test]
    fn only_programs_can_be_wrapped_and_not_vmmload() {
        let refusal = printed(Shell::Bash, &["ls", "no-such-program"]).unwrap_err();
        assert!(refusal.contains("no program in PATH"), "{refusal}");
        for name in ["vmmload", "sh"] {
            let refusal = printed(Shell::Bash, &[name]).unwrap_err();
            assert!(refusal.contains("is vmmload itself"), "{refusal}");
        }
    }

    #[test]
    fn the_shell_is_known_by_its_name() {
        let known = |text: &str| shell_of(Some(text.into())).ok();
        assert_eq!(known("/usr/bin/zsh"), Some(Shell::Zsh));
        assert_eq!(known("fish"), Some(Shell::Fish));
        for posix in ["/bin/bash", "/bin/sh", "/bin/dash", "/bin/ksh", "/bin/ash"] {
            assert_eq!(known(posix), Some(Shell::Bash));
        }
        let refusal = shell_of(Some("/bin/csh".into())).unwrap_err().to_string();
        assert!(
            refusal.contains("csh") && refusal.contains("--shell"),
            "{refusal}"
        );
        for nothing in [None, Some(OsString::new())] {
            let refusal = shell_of(nothing).unwrap_err().to_string();
            assert!(refusal.starts_with("SHELL is not set"), "{refusal}");
        }
    }

    #[test]
    fn quotes_survive_quoting() {
        assert_eq!(quoted(Shell::Zsh, b"a'b\\"), b"'a'\\''b\\'");
        assert_eq!(quoted(Shell::Fish, b"a'b\\"), b"'a\\'b\\\\'");
    }
}
