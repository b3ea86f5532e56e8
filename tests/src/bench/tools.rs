//! Finds the foreign programs that are measured, and installs them where that is allowed.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program's path, installed first where it is missing and we are root.
///
/// # Errors
///
/// The line to type where it is missing still.
pub(crate) fn ensure(program: &str, packages: &str) -> Result<PathBuf, String> {
    if let Some(path) = find(program) {
        return Ok(path);
    }
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        install(packages);
    }
    find(program).ok_or(format!("no {program} here: apt-get install -y {packages}"))
}

/// 7-Zip's own binary: Debian's `7z` is a shell script around it, and a shell that executes
/// another program would be measured as well.
pub(crate) fn seven_zip() -> Result<PathBuf, String> {
    let wrapper = ensure("7z", "p7zip-full")?;
    let binary = Path::new("/usr/lib/p7zip/7z");
    Ok(if binary.is_file() {
        binary.to_path_buf()
    } else {
        wrapper
    })
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

fn install(packages: &str) {
    eprintln!("bench: installing {packages}");
    // Whether it worked is seen by looking for the program again.
    let _ = Command::new("apt-get")
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages.split(' '))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
}
