//! Finds the vmmload binary, or builds it; builds the preload library, the C library and the SDK's examples.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::scratch::{target, workspace};
use crate::{machine, needs};

/// The vmmload binary under test: `VMMLOAD_BIN` if set, else built in release mode, once per process.
///
/// # Panics
/// When `VMMLOAD_BIN` names no file, or the build fails.
pub fn vmmload() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        std::env::var_os("VMMLOAD_BIN").map_or_else(
            || build("vmmload", "vmmload"),
            |path| given(Path::new(&path)),
        )
    })
}

/// The preload library, built in release mode once per process.
///
/// # Panics
/// When the build fails.
pub fn preload_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build("vmmload-shim", "libvmmload_shim.so"))
}

/// What `vmmload top`, `record`, `report`, `diff` and `export` execute: `VMMLOAD_OBSERVE_BIN` if set, else built in
/// release mode beside vmmload, once per process.
///
/// # Panics
/// Like [`vmmload`].
pub fn observe() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        std::env::var_os("VMMLOAD_OBSERVE_BIN").map_or_else(
            || build("vmmload-observe", "vmmload-observe"),
            |path| given(Path::new(&path)),
        )
    })
}

/// An example of the consumer SDK, built in release mode.
///
/// # Panics
/// When the build fails.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let product = Path::new("examples").join(name);
    let path = match machine::rig() {
        None => build_with(&["-p", "vmmload-consumer", "--example", name], &product),
        // Nothing is built there; what was built elsewhere is at the same place.
        Some(_) => target().join("release").join(product),
    };
    needs::note(&path);
    path
}

/// The C library for readers, shared; the static one lies beside it. Built in release mode once per process.
///
/// # Panics
/// When the build fails.
pub fn consumer_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build("vmmload-consumer-c", "libvmmload_consumer.so"))
}

fn given(path: &Path) -> PathBuf {
    // Absolute, because tests run programs in other directories.
    std::fs::canonicalize(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

pub(crate) fn build(package: &str, product: &str) -> PathBuf {
    build_with(&["-p", package], Path::new(product))
}

/// Cargo's own lock on the target directory makes test processes that build at once wait for each other.
pub(crate) fn build_with(what: &[&str], product: &Path) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--quiet"])
        .args(what)
        .arg("--target-dir")
        .arg(target())
        .current_dir(workspace())
        .output()
        .expect("cargo can be started");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "`cargo build --release {}` failed:\n{messages}",
        what.join(" ")
    );
    target().join("release").join(product)
}
