//! Finds the vmmload binary, or builds it; builds the preload library and the C library.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::scratch::{target, workspace};

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
    std::fs::canonicalize(path)
        .unwrap_or_else(|cause| panic!("VMMLOAD_BIN={}: {cause}", path.display()))
}

/// Cargo's own lock on the target directory makes test processes that build at once wait for each other.
fn build(package: &str, product: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--quiet",
            "-p",
            package,
            "--target-dir",
        ])
        .arg(target())
        .current_dir(workspace())
        .output()
        .expect("cargo can be started");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "`cargo build --release -p {package}` failed:\n{messages}"
    );
    target().join("release").join(product)
}
