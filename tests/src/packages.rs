//! Installs the Debian packages that tests run programs from.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use crate::{machine, needs, scratch};

/// Makes sure that the program at `path` exists, by installing Debian's `packages` where it does not.
/// Gives the path back, so that tests always name programs by their full path.
///
/// # Panics
/// When the packages cannot be installed; the message is the command to run by hand.
#[must_use]
pub fn program(path: &'static str, packages: &str) -> &'static str {
    if !Path::new(path).exists() {
        machine::assert_can_install(&path);
    }
    if let Err(message) = ensure(path, packages) {
        panic!("{message}");
    }
    needs::note(Path::new(path));
    path
}

/// Makes sure that `path` exists, by installing Debian's `packages`, names separated by blanks, where it
/// does not.
///
/// # Errors
/// What is missing, why it could not be installed, and the command to run by hand.
pub fn ensure(path: &str, packages: &str) -> Result<(), String> {
    let there = || Path::new(path).exists();
    if there() {
        return Ok(());
    }
    let _lock = lock();
    // Another test process may have installed it while this one waited for the lock.
    if there() {
        return Ok(());
    }
    let installed = install(packages);
    let why = match installed {
        Ok(()) if there() => return Ok(()),
        Ok(()) => "the packages do not bring it".to_owned(),
        Err(why) => why,
    };
    Err(format!(
        "{path} is missing: {why}. Install it by hand: apt-get update && apt-get install -y \
         --no-install-recommends {packages}"
    ))
}

/// The C compiler.
///
/// # Panics
/// Like [`program`].
#[must_use]
pub fn c_compiler() -> &'static str {
    program("/usr/bin/cc", "gcc libc6-dev")
}

/// Debian's own Python, whatever `python3` the user's PATH finds first.
///
/// # Panics
/// Like [`program`].
#[must_use]
pub fn python() -> &'static str {
    program("/usr/bin/python3", "python3")
}

/// Debian's own Python, for a program that imports these modules, separated by commas.
///
/// # Panics
/// Like [`program`].
#[must_use]
pub fn python_importing(modules: &str) -> &'static str {
    let python = python();
    if needs::listing() {
        let script = format!(
            "import {modules}, sys\nfor m in list(sys.modules.values()):\n \
             for a in '__file__', '__cached__':\n  p = getattr(m, a, None)\n  if p: print(p)"
        );
        let output = Command::new(python).args(["-c", &script]).output();
        let output = output.unwrap_or_else(|cause| panic!("{python}: {cause}"));
        let files = String::from_utf8_lossy(&output.stdout);
        files.lines().for_each(|file| needs::note(Path::new(file)));
    }
    python
}

/// bash, for a test that is a script.
///
/// # Panics
/// Like [`program`].
#[must_use]
pub fn bash() -> &'static str {
    program("/bin/bash", "bash")
}

/// A busybox that needs no shared library.
///
/// # Panics
/// Like [`program`].
#[must_use]
pub fn busybox() -> &'static str {
    program("/bin/busybox", "busybox-static")
}

fn install(packages: &str) -> Result<(), String> {
    if !machine::is_root() {
        return Err("only root may install it".to_owned());
    }
    apt(&["update", "-qq"])?;
    let names = packages.split(' ');
    let arguments: Vec<&str> = ["install", "-y", "-qq", "--no-install-recommends"]
        .into_iter()
        .chain(names)
        .collect();
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let output = command
        .output()
        .map_err(|cause| format!("apt-get: {cause}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Holds off other test processes until the file is dropped: dpkg has one lock and does not wait for it.
fn lock() -> File {
    let path = scratch::cache("locks").join("packages");
    let file = File::create(&path)
        .unwrap_or_else(|cause| panic!("cannot create {}: {cause}", path.display()));
    // SAFETY: the descriptor belongs to `file`, which lives across the call; flock touches no memory.
    let status = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
    assert_eq!(
        status,
        0,
        "cannot lock {}: {}",
        path.display(),
        std::io::Error::last_os_error()
    );
    file
}
