//! What the kernel writes into the program's memory in a call.
//!
//! No virtualisation hardware sees those writes: the host kernel makes them, through its own page tables.
//! So they are told from what was called and what was returned. Emulated calls write what the
//! kernel would, and are told in the same way.
//!
//! Not seen, since no call of the program's own shows them: what the kernel writes on its own account later
//! (completions of io_uring and asynchronous reads, rings of perf_event_open, locks of a robust list at a
//! thread's end), what other processes write into this one (process_vm_writev, /proc/PID/mem), and what
//! the program writes into itself through /proc/self/mem.

mod before;
mod control;
mod effect;
mod ioctl;
mod ipc;
mod lower_table;
mod memory;
#[cfg(test)]
mod oracle;
mod processes;
mod sizes;
mod sockets;
mod table;
mod unknown;
mod upper_table;
mod waiting;

use super::check;
use crate::host::relay::Call;
use crate::process::state::Process;
use crate::process::thread::GuestThread;
pub(super) use before::Before;
use effect::{Effect, Writes};
pub(crate) use unknown::UnknownCalls;

/// Tells what `call`, which returned `value`, wrote. `before`: what was seen before it was made.
pub(super) fn report(thread: &GuestThread, call: &Call, before: &Before, value: u64) {
    let is_known = tell(call, before, value, &mut |addr, bytes| {
        thread.kernel_wrote(addr, bytes);
    });
    if !is_known {
        thread.process.unknown_calls.count(call.nr as u32);
    }
}

/// Calls `told` with each address and the bytes written there; whether that is all.
fn tell(call: &Call, before: &Before, value: u64, told: &mut dyn FnMut(u64, u64)) -> bool {
    let result = check(value as i64);
    // The kernel looks at the lower 32 bits only (do_syscall_64).
    let effect = table::lookup(call.nr as u32).map_or(Effect::Unknown, |row| row.2);
    Writes::new(call, result, before, told).tell_all(effect)
}

/// Calls whose writes are not known: name, and how often they succeeded.
pub(crate) fn unknown_calls(process: &Process) -> Vec<(String, u64)> {
    process.unknown_calls.list()
}
