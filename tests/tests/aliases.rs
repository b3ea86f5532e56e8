//! `vmmload alias` in real shells: what is typed as before is wrapped.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use vmmload_tests::c_library::output_of;
use vmmload_tests::scratch::Scratch;
use vmmload_tests::shells::{Shell, zsh_offers};
use vmmload_tests::{machine, packages, vmmload};

/// Said by what ran inside, with VMMLOAD_SUMMARY=-.
const WRAPPED: &str = "vmmload: summary of process";

/// Shells of POSIX, with what makes them expand aliases in a script.
fn posix_shells() -> [(&'static str, &'static str); 4] {
    [
        (packages::bash(), "shopt -s expand_aliases\n"),
        (packages::program("/bin/dash", "dash"), ""),
        (packages::program("/usr/bin/zsh", "zsh"), "setopt aliases\n"),
        (packages::program("/bin/ksh", "ksh"), ""),
    ]
}

/// Runs a script; aliases count from the line behind the one that makes them.
fn run(shell: &str, script: &str) -> Output {
    let home = Scratch::new();
    let file = home.file("script", script, 0o644);
    Command::new(shell)
        .arg(file)
        .env("HOME", home.path())
        .env("SHELL", shell)
        .env("VMMLOAD_SUMMARY", "-")
        .output()
        .unwrap_or_else(|cause| panic!("{shell}: {cause}"))
}

/// That the last line, whose output is given, ran inside, or that it did not.
#[track_caller]
fn assert_ran(shell: &str, output: &Output, stdout: &str, inside: bool) {
    let messages = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        stdout,
        "{shell}: {messages}"
    );
    assert!(output.status.success(), "{shell}: {messages}");
    assert_eq!(messages.contains(WRAPPED), inside, "{shell}: {messages}");
}

/// The launcher, in a directory that is hard to quote.
fn oddly_placed(scratch: &Scratch) -> PathBuf {
    let directory = scratch.path().join("it's a \"$HOME\" \\ directory");
    std::fs::create_dir(&directory).expect("a scratch directory can have directories");
    let path = directory.join("vmmload");
    std::fs::copy(vmmload(), &path).expect("the launcher can be copied");
    path
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[test]
fn what_is_typed_as_before_runs_inside() {
    if !machine::can_run_inside() {
        return;
    }
    let scratch = Scratch::new();
    let odd = oddly_placed(&scratch);
    for (shell, prepare) in posix_shells() {
        for path in [vmmload(), &odd] {
            let script = format!(
                "{prepare}eval \"$({} alias printf uname)\"\nprintf '<%s>' 'a b' '' \"it's\" -n\n",
                quoted(path)
            );
            let output = run(shell, &script);
            assert_ran(shell, &output, "<a b><><it's><-n>", true);
        }
        let script = format!(
            "{prepare}eval \"$({} alias uname)\"\n\\uname\n",
            quoted(&odd)
        );
        assert_ran(shell, &run(shell, &script), "Linux\n", false);
    }
}

#[test]
fn fish_runs_what_is_typed_as_before_inside_and_does_not_call_itself() {
    if !machine::can_run_inside() {
        return;
    }
    let fish = Shell::Fish.program();
    let scratch = Scratch::new();
    for path in [vmmload(), &oddly_placed(&scratch)] {
        let path = path.display().to_string();
        let path = path.replace('\\', "\\\\").replace('\'', "\\'");
        let script = format!("'{path}' alias uname printf | source\nprintf '<%s>' 'a b' '' -n\n");
        assert_ran(fish, &run(fish, &script), "<a b><><-n>", true);
        let script = format!("'{path}' alias uname printf | source\ncommand uname\n");
        assert_ran(fish, &run(fish, &script), "Linux\n", false);
    }
}

#[test]
fn vmmload_is_called_shortly_where_that_finds_this_one() {
    let scratch = Scratch::new();
    let path = oddly_placed(&scratch);
    let directory = path.parent().expect("a file lies in a directory");
    let search = |directories: &[&Path]| {
        let directories = directories.iter().map(|path| path.to_path_buf());
        std::env::join_paths(directories.chain(["/usr/bin".into()])).expect("no colons in it")
    };
    let printed = |path: &Path, directories: &[&Path]| {
        let mut command = Command::new(path);
        command.args(["alias", "--shell", "bash", "uname"]);
        output_of(command.env("PATH", search(directories)))
    };
    let short = "alias uname='vmmload run uname'\n";
    assert_eq!(printed(&path, &[directory]), short);
    // Another program of this name comes first.
    let other = Scratch::new();
    let _ = other.file("vmmload", "#!/bin/sh\n", 0o755);
    assert_ne!(printed(&path, &[other.path(), directory]), short);
    // What cannot be executed is passed over.
    let third = Scratch::new();
    let _ = third.file("vmmload", "", 0o644);
    assert_eq!(printed(&path, &[third.path(), directory]), short);
    // Through a link, from either side.
    let link = Scratch::new();
    let path_of_link = link.path().join("vmmload");
    std::os::unix::fs::symlink(&path, &path_of_link).expect("links can be made");
    assert_eq!(printed(&path_of_link, &[directory]), short);
    assert_eq!(printed(&path, &[link.path()]), short);
}

#[test]
fn what_can_have_no_alias_is_refused_and_nothing_printed() {
    let refusals = [
        (&["no-such-program"][..], "no program in PATH"),
        (&["uname", "alias"], "no program in PATH"),
        (&["uname", "vmmload"], "is vmmload itself"),
        (&["uname", "/usr/bin/uname"], "not a path"),
        (&["uname", "a=b"], "would mean something to the shell"),
        (&["--", "-x"], "would be an option"),
        (&["--shell", "csh", "uname"], "possible values"),
        (&[], "--help"),
    ];
    for (words, reason) in refusals {
        let mut command = Command::new(vmmload());
        command.arg("alias").args(words).env("SHELL", "/bin/bash");
        assert_refused(&mut command, reason);
    }
    let mut command = Command::new(vmmload());
    command.args(["alias", "uname"]).env("SHELL", "/bin/csh");
    assert_refused(
        &mut command,
        "SHELL=/bin/csh: no aliases are known for this shell. Say",
    );
}

#[track_caller]
fn assert_refused(command: &mut Command, reason: &str) {
    let output = command.output().expect("vmmload can be started");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{command:?}: {message}");
    assert_eq!(output.stdout, b"", "{command:?}");
    assert!(message.starts_with("vmmload: "), "{command:?}: {message}");
    assert!(message.contains(reason), "{command:?}: {message}");
}

#[test]
fn links_to_vmmload_are_no_programs_to_wrap() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(vmmload(), scratch.path().join("uname"))
        .expect("a link can be made");
    let mut command = Command::new(vmmload());
    command.args(["alias", "--shell", "zsh", "uname"]);
    assert_refused(command.env("PATH", scratch.path()), "is vmmload itself");
    let path = format!("{}:/usr/bin", scratch.path().display());
    let printed = output_of(command.env("PATH", path));
    assert!(printed.ends_with(" run uname'\n"), "{printed}");
}

#[test]
fn an_alias_behind_one_that_ends_with_a_blank_counts_too() {
    if !machine::can_run_inside() {
        return;
    }
    let path = vmmload().display();
    for (before, inside) in [("", false), ("alias env='env '\n", true)] {
        let script =
            format!("shopt -s expand_aliases\neval \"$({path} alias uname)\"\n{before}env uname\n");
        assert_ran("bash", &run(packages::bash(), &script), "Linux\n", inside);
    }
}

#[test]
fn aliases_are_completed_as_the_command_itself() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(vmmload(), scratch.path().join("vmmload"))
        .expect("links can be made");
    let path = format!("{}:/usr/bin:/bin", scratch.path().display());
    let printed = |words: &[&str]| {
        // Called by the name that has the completions.
        output_of(Command::new(vmmload()).args(words).env("PATH", &path))
    };
    let _ = scratch.file("_vmmload", printed(&["completions", "zsh"]), 0o644);
    let aliases = printed(&["alias", "--shell", "zsh", "make"]);
    let offered = zsh_offers(scratch.path(), "make --ver", &aliases);
    assert_eq!(offered, ["--version"], "{aliases}");
    let aliases = printed(&["alias", "--shell", "fish", "make"]);
    let setting = format!("set -x PATH {}\n", path.replace(':', " "));
    let text = setting + &printed(&["completions", "fish"]) + &aliases;
    let file = scratch.file("vmmload.fish", text, 0o644);
    for offered in Shell::Fish.offers_with(&file, &["make -", "vmmload run make -"]) {
        assert!(offered.contains(&"-f".to_owned()), "{aliases}: {offered:?}");
    }
}
