//! The library by which a program talks to vmmload from inside: programs that use it, in each of its languages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary::build_with;
use crate::c_library::{Compiler, output_of};
use crate::scratch::{Scratch, workspace};
use crate::{Program, packages};

/// The library's own directory.
#[must_use]
pub fn package() -> PathBuf {
    workspace().join("shim/guest")
}

/// A compiler, for which every warning is an error, that finds the header.
///
/// # Panics
/// When it cannot be installed.
#[must_use]
pub fn compiler(compiler: &Compiler, standard: &str) -> Command {
    let mut command = compiler.command(standard);
    command
        .args(["-Wconversion", "-Wshadow", "-I"])
        .arg(package().join("include"));
    command
}

/// The program of these files, `guests/guest_api/NAME.c`, compiled so.
///
/// # Panics
/// When the compiler has anything to say.
#[must_use]
pub fn compiled(
    scratch: &Scratch,
    mut command: Command,
    names: &[&str],
    options: &[&str],
) -> PathBuf {
    let sources = workspace().join("tests/guests");
    let program = scratch
        .path()
        .join(format!("{}{}", names[0], options.join("")));
    command
        .args(["-O2", "-g", "-pthread", "-I"])
        .arg(&sources)
        .args(
            names
                .iter()
                .map(|name| sources.join(format!("guest_api/{name}.c"))),
        )
        .args(options)
        .arg("-o")
        .arg(&program);
    assert_eq!(output_of(&mut command), "");
    program
}

/// An example of the Rust crate, built in release mode.
///
/// # Panics
/// When the build fails.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let product = Path::new("examples").join(name);
    build_with(&["-p", "vmmload-guest", "--example", name], &product)
}

/// A program in Python that finds the module: one of `guests/guest_api/NAME.py`.
///
/// # Panics
/// When there is no Python.
#[must_use]
pub fn in_python(python: impl AsRef<Path>, name: &str) -> Program {
    let script = workspace().join(format!("tests/guests/guest_api/{name}.py"));
    Program::new(python.as_ref())
        .arg(script)
        .env("PYTHONPATH", package().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
}

/// How often a program, which must succeed, asks or tells vmmload anything natively; with its children.
///
/// # Panics
/// When it fails, or strace cannot be had.
#[must_use]
#[track_caller]
pub fn calls_natively(program: Program) -> usize {
    let scratch = Scratch::new();
    let strace = packages::program("/usr/bin/strace", "strace");
    let list = scratch.path().join("calls");
    let options = [
        strace,
        "-f",
        "-qq",
        "-e",
        "trace=prctl",
        "-e",
        "signal=none",
        "-o",
    ];
    let words = options.map(PathBuf::from).into_iter().chain([list.clone()]);
    let outcome = program.within(words).native();
    outcome.assert_success("the program in strace");
    let list = std::fs::read_to_string(list).expect("strace has written it");
    list.matches("prctl(0x564d4d4c").count()
}
