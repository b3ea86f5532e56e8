//! What cannot be done, said by name on standard error.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Outcome, errno};
use crate::host::messages;
use crate::host::relay::Call;

/// Calls that were already named: each is said once.
static NAMED: AtomicU64 = AtomicU64::new(0);

fn say_once(bit: u32, text: &str) {
    if NAMED.fetch_or(1 << bit, Ordering::Relaxed) & (1 << bit) == 0 {
        messages::say(text);
    }
}

/// A process that shares its parent's memory and runs beside it: clone(2) with CLONE_VM, but neither
/// CLONE_THREAD nor CLONE_VFORK.
pub(super) fn shared_memory(call: &Call) -> Outcome {
    say_once(
        0,
        &format!(
            "{}: a wrapped program cannot have a process that shares its memory and runs beside \
             it (CLONE_VM without CLONE_THREAD); the call fails with ENOSYS. Run it without vmmload",
            name_of_clone(call)
        ),
    );
    Outcome::Return(errno(libc::ENOSYS))
}

/// A process that shares its parent's descriptors, but not its memory: the descriptors of its VM would
/// be its parent's, too.
pub(super) fn shared_descriptors(call: &Call) -> Outcome {
    say_once(
        20,
        &format!(
            "{}: a wrapped program cannot have a process that shares its open files (CLONE_FILES without \
             CLONE_THREAD); the call fails with EINVAL. Run it without vmmload",
            name_of_clone(call)
        ),
    );
    Outcome::Return(errno(libc::EINVAL))
}

fn name_of_clone(call: &Call) -> &'static str {
    match call.nr as libc::c_long {
        libc::SYS_clone3 => "clone3",
        _ => "clone",
    }
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
