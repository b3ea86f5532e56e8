//! Calls of the program that are meant for vmmload itself (`vmmload_guest::protocol`).

use std::borrow::Cow;
use std::fmt::Write;

use vmmload_guest::protocol;

use super::Outcome;
use crate::cli::Settings;
use crate::guest::layout::{PAGE, USER_END};
use crate::host::guest_memory;
use crate::host::relay::Call;
use crate::process::memory::{page_down, page_up};
use crate::process::thread::GuestThread;

/// Most bytes of settings: a summary's path is the only one that can be long.
const MOST_SETTINGS: u64 = 16 << 10;

/// prctl(2) with the option that no kernel has.
pub(super) fn answer(thread: &mut GuestThread, call: &Call) -> Outcome {
    let [_, function, a, b, c, _] = call.args;
    // With the guest's stores up to here in its log.
    thread.vcpu.stop();
    let answer = match function {
        protocol::ASK => Ok(protocol::VERSION),
        protocol::MARK => mark(thread, a),
        protocol::NAME => name_region(thread, a, b, c),
        protocol::EPOCH => Ok(thread.process.tracker.end_epoch(thread.process).into()),
        protocol::CONFIGURE => configure(thread, a, b),
        _ => Err(libc::EINVAL),
    };
    Outcome::from_result(answer)
}

/// Room for a name and its end.
type NameBuffer = [u8; protocol::LONGEST_NAME + 1];

/// Publishes what the program begins.
fn mark(thread: &GuestThread, name: u64) -> Result<u64, i32> {
    let mut buffer = [0; size_of::<NameBuffer>()];
    let name = name_at(name, &mut buffer)?;
    thread.process.tracker.mark(&name, thread.vcpu.id());
    Ok(0)
}

/// Names the pages that a range of bytes touches, as far as they are mapped.
fn name_region(thread: &GuestThread, addr: u64, len: u64, name: u64) -> Result<u64, i32> {
    let end = addr.checked_add(len).filter(|_| len > 0);
    let end = end.ok_or(libc::EINVAL)?;
    let mut buffer = [0; size_of::<NameBuffer>()];
    let name = name_at(name, &mut buffer)?;
    let end = page_up(end).unwrap_or(USER_END).min(USER_END);
    let range = page_down(addr)..end;
    match !range.is_empty() && thread.process.name_region(range, &name) {
        true => Ok(0),
        false => Err(libc::ENOMEM),
    }
}

/// The name at an address of the program's, as text.
fn name_at(addr: u64, buffer: &mut NameBuffer) -> Result<Cow<'_, str>, i32> {
    // It may end right before a page that is not there.
    let first = buffer.len().min((PAGE - addr % PAGE) as usize);
    let (here, there) = buffer.split_at_mut(first);
    guest_memory::read_bytes(addr, here).map_err(|_| libc::EFAULT)?;
    if !here.contains(&0) {
        let next = addr.checked_add(first as u64).ok_or(libc::EFAULT)?;
        guest_memory::read_bytes(next, there).map_err(|_| libc::EFAULT)?;
    }
    match buffer.iter().position(|&byte| byte == 0) {
        None => Err(libc::ENAMETOOLONG),
        Some(0) => Err(libc::EINVAL),
        Some(end) => Ok(text_of(&buffer[..end])),
    }
}

/// Names are UTF-8 where they are published: other bytes are written out, so that different names stay
/// different.
fn text_of(name: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(name) {
        return text.into();
    }
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.into()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> Result<String, i32> {
        let mut buffer = [0; size_of::<NameBuffer>()];
        name_at(bytes.as_ptr() as u64, &mut buffer).map(Cow::into_owned)
    }

    #[test]
    fn names_end_with_a_zero_and_are_neither_empty_nor_too_long() {
        let longest = [&[b'x'; protocol::LONGEST_NAME][..], &[0]].concat();
        assert_eq!(name(b"load\0rest"), Ok("load".to_owned()));
        assert_eq!(name(&longest).unwrap().len(), protocol::LONGEST_NAME);
        assert_eq!(name(&[b'x'; 1000]), Err(libc::ENAMETOOLONG));
        assert_eq!(name(b"\0"), Err(libc::EINVAL));
        let mut buffer = [0; size_of::<NameBuffer>()];
        for addr in [0, 8, u64::MAX, u64::MAX - 100] {
            assert_eq!(name_at(addr, &mut buffer), Err(libc::EFAULT), "{addr:#x}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_written_out() {
        assert_eq!(text_of("caf\u{e9}\n".as_bytes()), "caf\u{e9}\n");
        assert_eq!(text_of(b"a\xffb\xc3"), "a\\xffb\\xc3");
    }
}
