//! Subcommands that are a program of their own are found, are given what was typed, and are missed in words.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use vmmload_tests::scratch::Scratch;
use vmmload_tests::{observe, vmmload};

const NAMES: [&str; 5] = ["top", "record", "report", "diff", "export"];

fn run(command: &mut Command) -> Output {
    command.output().expect("vmmload can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// vmmload by itself in a directory.
fn alone(scratch: &Scratch) -> PathBuf {
    let path = scratch.path().join("vmmload");
    std::fs::copy(vmmload(), &path).expect("a program can be copied");
    path
}

/// Prints its arguments, one a line.
fn teller(directory: &Path) {
    let path = directory.join("vmmload-observe");
    std::fs::write(&path, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").expect("the directory is new");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("it is ours");
}

#[test]
fn help_of_each_is_its_own() {
    let help = |arguments: &[&str]| {
        let output = run(Command::new(vmmload()).args(arguments));
        assert!(output.status.success(), "{arguments:?}");
        text(&output.stdout)
    };
    observe();
    for name in NAMES {
        let own = help(&[name, "--help"]);
        assert!(own.contains(&format!("vmmload {name}")), "{own}");
        assert!(own.contains("Examples:"), "{own}");
        assert_eq!(help(&["help", name]), own);
        assert!(help(&["--help"]).contains(&format!("\n  {name} ")));
    }
}

#[test]
fn arguments_are_passed_on_byte_for_byte() {
    let scratch = Scratch::new();
    let path = alone(&scratch);
    teller(scratch.path());
    let typed = ["record", "-o", "a b", "--", "ls", "--help", "", "-x"];
    let output = run(Command::new(path).args(typed));
    assert_eq!(text(&output.stdout), typed.join("\n") + "\n");
}

#[test]
fn it_is_found_beside_the_file_of_vmmload_and_then_in_path() {
    let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
    let path = alone(&scratch);
    let link = elsewhere.path().join("vmmload");
    std::os::unix::fs::symlink(&path, &link).expect("the directory is new");
    let told = |command: &mut Command| {
        let output = run(command.arg("top").env("PATH", elsewhere.path()));
        (output.status.code(), text(&output.stdout))
    };
    let (status, _) = told(&mut Command::new(&link));
    assert_eq!(status, Some(125));
    teller(elsewhere.path());
    let found = (Some(0), "top\n".to_owned());
    // The script names its interpreter by its path.
    assert_eq!(told(&mut Command::new(&path)), found);
    std::fs::remove_file(elsewhere.path().join("vmmload-observe")).expect("it is there");
    teller(scratch.path());
    assert_eq!(told(&mut Command::new(&link)), found);
}

#[test]
fn where_it_is_missing_vmmload_says_how_to_build_it() {
    let scratch = Scratch::new();
    let path = alone(&scratch);
    for name in NAMES {
        let output = run(Command::new(&path).arg(name).env("PATH", "/nowhere"));
        assert_eq!(output.status.code(), Some(125));
        let said = text(&output.stderr);
        assert!(said.starts_with("vmmload: "), "{said}");
        for part in [
            name,
            "vmmload-observe",
            "cargo build --release -p",
            "make install",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(output.stdout.is_empty());
    }
    std::fs::write(scratch.path().join("vmmload-observe"), "").expect("the directory is ours");
    let output = run(Command::new(&path).arg("top"));
    assert_eq!(output.status.code(), Some(125));
    let said = text(&output.stderr);
    assert!(
        said.contains("Permission denied") && said.contains("Check the file"),
        "{said}"
    );
}

#[test]
fn wrong_options_are_refused_as_vmmload_refuses_its_own() {
    observe();
    for (arguments, part) in [
        (&["top", "--sort", "colour"][..], "possible values"),
        (&["record", "-o", "x"], "--help"),
        (
            &["record", "-o", "x", "-r", "1s,3K", "ls"],
            "power of two from 4K to 2M",
        ),
        (
            &["record", "-o", "x", "-r", "0s", "ls"],
            "more than nothing",
        ),
        (&["export", "--listen", "nowhere"], "nowhere"),
        (&["report"], "--help"),
    ] {
        let output = run(Command::new(vmmload()).args(arguments));
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.starts_with("vmmload: "), "{said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
    }
}
