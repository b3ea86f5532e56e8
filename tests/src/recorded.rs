//! Recordings to look at.

use std::path::Path;
use std::process::Command;

use crate::watched::several_epochs;
use crate::{Guest, Session, observe, vmmload};

/// Records the guest that writes so many pages, each once, and again some epochs later, so many times in all.
///
/// # Panics
/// When the recorder or the guest fails.
#[track_caller]
pub fn record_touches(to: &Path, pages: u64, times: u64, track: &str) {
    let mut recorder = Command::new(observe());
    recorder
        .args(["record", "--quiet", "--interval", "20ms", "--track", track])
        .arg("-o")
        .arg(to)
        .arg("--")
        .arg(Guest::new("tracking/touch").path())
        .args([&pages.to_string(), "1"])
        .env("VMMLOAD_LAUNCHER", vmmload());
    let mut guest = Session::start(recorder);
    // Where its buffers are.
    guest.line();
    for _ in 0..times {
        guest.send("w");
        assert_eq!(guest.line(), "done w");
        std::thread::sleep(several_epochs());
    }
    guest.send("q");
    let status = guest.finish();
    assert!(status.success(), "{status}");
}
