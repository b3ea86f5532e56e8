//! From a system-call number to what becomes of the call.
//!
//! Nearly every call is relayed: executed by this host thread with the same number and arguments.
//! The families below are emulated because they change the issuer itself.

pub(crate) mod beside;
mod descriptors;
mod exec;
mod exec_arguments;
mod guest_calls;
pub(crate) mod kernel_writes;
mod mapping;
mod memory;
mod namespaces;
mod own_state;
mod proc_links;
mod proc_listing;
mod proc_self;
mod processes;
pub(crate) mod seccomp;
mod signals;
mod table;
mod threads;
pub(crate) mod unsupported;

use crate::host::relay::{Call, check};
use crate::process::thread::GuestThread;
use kernel_writes::Before;
pub(crate) use signals::mask_while_waiting;
use table::{Handling, lookup};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This goes into rax.
    Return(u64),
    /// The registers are already as they should be.
    Resumed,
    /// A signal came first: the call is made again after it.
    NotBegun,
    /// A signal ended the call, which the kernel would restart if the handler allows it.
    Restart,
    /// The thread ends, with this status as wait(2) shows it.
    Exit(i32),
}

impl Outcome {
    /// A result as the kernel returns it.
    fn from_result(result: Result<u64, i32>) -> Self {
        Outcome::Return(result.unwrap_or_else(errno))
    }
}

/// An error number as the kernel returns it.
fn errno(errno: i32) -> u64 {
    -i64::from(errno) as u64
}

/// An emulated call: a function of number and arguments on its thread.
type Handler = fn(&mut GuestThread, &Call) -> Outcome;

/// Makes one call, and notes what it wrote into the program's memory if that is tracked.
pub(crate) fn handle(thread: &mut GuestThread, call: &Call) -> Outcome {
    if !thread.stats.kernel.is_on() {
        return make(thread, call);
    }
    let before = Before::of(call);
    let outcome = make(thread, call);
    if let Outcome::Return(value) = outcome {
        kernel_writes::report(thread, call, &before, value);
    }
    outcome
}

fn make(thread: &mut GuestThread, call: &Call) -> Outcome {
    match lookup(call.nr) {
        Handling::Relayed => {
            thread.stats.relayed.add(1);
            thread.relay(call)
        }
        Handling::Emulated(handler) => {
            thread.stats.emulated.add(1);
            handler(thread, call)
        }
        Handling::OnVcpu(handler) => {
            thread.stats.emulated.add(1);
            thread.vcpu.stop();
            handler(thread, call)
        }
    }
}
