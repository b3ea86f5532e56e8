//! Writers and readers of a ring as processes of their own: the programs of `tests/ring`, built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::binary::{build, consumer_library};
use crate::packages;
use crate::scratch::{Scratch, workspace};

/// The program `ring`, built in release mode once per process.
///
/// # Panics
/// When the build fails.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("vmmload-ring", "ring"))
}

/// A reader in C, compiled over the C library: `follow` or `laps`.
///
/// # Panics
/// When there is no compiler, or it refuses.
#[must_use]
pub fn c_reader(scratch: &Scratch, name: &str) -> PathBuf {
    let program = scratch.path().join(name);
    let source = format!("tests/ring/readers/{name}.c");
    let library = consumer_library();
    let directory = library.parent().unwrap_or(Path::new("/"));
    let output = Command::new(packages::c_compiler())
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-I"])
        .arg(workspace().join("consumer-sdk/c/include"))
        .arg(workspace().join(source))
        // Statically, so that nothing needs to be found at run time.
        .arg(directory.join("libvmmload_consumer.a"))
        .arg("-o")
        .arg(&program)
        .output()
        .expect("the compiler can be started");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    program
}

/// A reader in Python, `follow` or `laps`, by a Python that imports the package `vmmload`, as it would be installed,
/// and numpy.
///
/// # Panics
/// When they cannot be had.
#[must_use]
pub fn python_reader(scratch: &Scratch, name: &str) -> Command {
    let python = packages::python();
    let numpy = "/usr/lib/python3/dist-packages/numpy/__init__.py";
    packages::ensure(numpy, "python3-numpy").unwrap_or_else(|message| panic!("{message}"));
    let package = scratch.path().join("vmmload");
    if !package.exists() {
        let source = workspace().join("consumer-sdk/python/src/vmmload");
        std::fs::create_dir(&package).expect("the scratch directory is ours");
        for file in std::fs::read_dir(source).expect("the package is there") {
            let file = file.expect("it can be listed").path();
            if file.extension().is_some_and(|extension| extension == "py") {
                let name = file.file_name().expect("files have names");
                std::fs::copy(&file, package.join(name)).expect("it can be copied");
            }
        }
        let library = package.join("libvmmload_consumer.so");
        std::fs::copy(consumer_library(), library).expect("it can be copied");
    }
    let mut command = Command::new(python);
    command
        .arg(workspace().join(format!("tests/ring/readers/{name}.py")))
        .env("PYTHONPATH", scratch.path())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
