//! What cannot be done, said by name on standard error.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Outcome, errno};
use crate::host::messages;
use crate::host::relay::Call;
use crate::process::thread::GuestThread;

/// Calls that were already named: each is said once.
static NAMED: AtomicU64 = AtomicU64::new(0);

fn say_once(bit: u32, text: &str) {
    if NAMED.fetch_or(1 << bit, Ordering::Relaxed) & (1 << bit) == 0 {
        messages::say(text);
    }
}

/// A new process by fork(2), vfork(2), clone(2) or clone3(2); `flags` as clone's.
pub(super) fn new_process(call: &Call, flags: u64) -> Outcome {
    let vfork = flags & libc::CLONE_VFORK as u64 != 0;
    let name = match call.nr as libc::c_long {
        libc::SYS_fork => "fork",
        libc::SYS_vfork => "vfork",
        libc::SYS_clone3 if vfork => "vfork (clone3)",
        libc::SYS_clone3 => "fork (clone3)",
        _ if vfork => "vfork (clone)",
        _ => "fork (clone)",
    };
    say_once(
        vfork as u32,
        &format!(
            "{name}: a wrapped program cannot create child processes with this version; the call \
             fails with ENOSYS. Wrap the child itself, or run this program without vmmload"
        ),
    );
    Outcome::Return(errno(libc::ENOSYS))
}

/// fork(2).
pub(super) fn fork(_: &mut GuestThread, call: &Call) -> Outcome {
    new_process(call, 0)
}

/// vfork(2).
pub(super) fn vfork(_: &mut GuestThread, call: &Call) -> Outcome {
    new_process(call, libc::CLONE_VFORK as u64)
}

/// A file under /proc/self that would describe the launcher's mappings.
pub(super) fn own_view(name: &'static str) -> Outcome {
    say_once(
        4,
        &format!(
            "/proc/self/{name}: it would describe vmmload's own mappings too, so opening it fails \
             with EACCES. Use /proc/self/maps, or `vmmload dump` for the pages"
        ),
    );
    Outcome::Return(errno(libc::EACCES))
}
