//! Calls of the program that are meant for vmmload itself (`vmmload_guest::protocol`).

use vmmload_guest::protocol;

use super::Outcome;
use crate::cli::Settings;
use crate::host::guest_memory;
use crate::host::relay::Call;
use crate::process::thread::GuestThread;

/// Most bytes of settings: a summary's path is the only one that can be long.
const MOST_SETTINGS: u64 = 16 << 10;

/// prctl(2) with the option that no kernel has.
pub(super) fn answer(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [_, function, a, b, ..] = call.args;
    let answer = match function {
        protocol::ASK => Ok(protocol::VERSION),
        protocol::CONFIGURE => configure(thread, a, b),
        _ => Err(libc::EINVAL),
    };
    Outcome::from_result(answer)
}

/// Takes the settings of a `vmmload run` inside this one.
fn configure(thread: &mut GuestThread, addr: u64, len: u64) -> Result<u64, i32> {
    if len > MOST_SETTINGS {
        return Err(libc::E2BIG);
    }
    let mut text = vec![0; len as usize];
    guest_memory::read_bytes(addr, &mut text).map_err(|_| libc::EFAULT)?;
    let settings = Settings::from_text(&text).map_err(|_| libc::EINVAL)?;
    thread.process.configure_next(settings).map(|()| 0)
}
