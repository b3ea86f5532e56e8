//! Installs the Debian packages that tests run programs from.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use crate::{machine, scratch};

/// Makes sure that the program at `path` exists, by installing Debian's `packages` where it does not.
/// Gives the path back, so that tests always name programs by their full path.
///
/// # Panics
/// When the packages cannot be installed; the message is the command to run by hand.
#[must_use]
pub fn program(path: &'static str, packages: &str) -> &'static str {
    if !Path::new(path).exists() {
        let _lock = lock();
        // Another test process may have installed it while this one waited for the lock.
        if !Path::new(path).exists() {
            install(packages);
        }
        assert!(
            Path::new(path).exists(),
            "{path} is not there after {}",
            by_hand(packages)
        );
    }
    path
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

/// A busybox that needs no shared library.
///
/// # Panics
/// Like [`program`].
#[must_use]
pub fn busybox() -> &'static str {
    program("/bin/busybox", "busybox-static")
}

fn install(packages: &str) {
    assert!(
        machine::is_root(),
        "not root, so install by hand: {}",
        by_hand(packages)
    );
    let fetched = apt(&["update", "-qq"]);
    let names = packages.split(' ');
    let arguments: Vec<&str> = ["install", "-y", "-qq", "--no-install-recommends"]
        .into_iter()
        .chain(names)
        .collect();
    if let Err(messages) = fetched.and_then(|()| apt(&arguments)) {
        panic!(
            "cannot install; try by hand: {}\n{messages}",
            by_hand(packages)
        );
    }
}

fn by_hand(packages: &str) -> String {
    format!("apt-get update && apt-get install -y --no-install-recommends {packages}")
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
