//! Who this process is to those who look from where vmmload was started.
//!
//! Readers find a segment by its process's id. In a namespace of its own (pid_namespaces(7)) a process
//! has another id than outside, and so may have other processes at the same time. The `/proc` that was
//! there at the start tells the outer one, whatever is mounted later.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::{io, str};

use super::{descriptors, filesystem};

/// `/proc` as it was when vmmload started.
static PROC: OnceLock<OwnedFd> = OnceLock::new();

/// Where the start is in /proc/PID/stat, counted from the state behind the command's name.
const START_FIELD: usize = 22 - 3;

/// Opens `/proc`. Without it, the process goes by the id that it has for itself.
pub(crate) fn remember() {
    let open = || {
        File::options()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open("/proc")
    };
    if let Ok(fd) = descriptors::open_parked::<io::Error, _>(open) {
        remember_as(fd);
    }
}

/// Goes on with what an earlier image of this process has opened.
pub(crate) fn remember_as(proc: OwnedFd) {
    let _ = PROC.set(proc);
}

/// The open `/proc`, if there is one.
pub(crate) fn descriptor() -> Option<RawFd> {
    PROC.get().map(AsRawFd::as_raw_fd)
}

/// This process's id.
pub(crate) fn pid() -> u32 {
    let own = descriptor().and_then(|proc| filesystem::read_link_at(proc, c"self").ok());
    own.and_then(|link| str::from_utf8(&link).ok()?.parse().ok())
        .unwrap_or_else(std::process::id)
}

/// When this process started, in clock ticks since boot; 0 if that cannot be told.
pub(crate) fn start() -> u64 {
    let Some(proc) = descriptor() else {
        return 0;
    };
    let stat = filesystem::open_at(proc, c"self/stat").and_then(io::read_to_string);
    let start = |stat: String| {
        let (_, fields) = stat.rsplit_once(") ")?;
        let start = fields.split_ascii_whitespace().nth(START_FIELD)?;
        start.parse().ok()
    };
    stat.ok().and_then(start).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_namespaces_a_process_is_who_it_is() {
        remember();
        assert_eq!(pid(), std::process::id());
        assert!(start() > 0);
    }
}
