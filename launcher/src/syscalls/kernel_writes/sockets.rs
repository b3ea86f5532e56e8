//! Sockets: addresses, messages, options.

use super::before::NAME_LENGTH;
use super::effect::Writes;
use super::sizes::MMSGHDR;
use crate::host::questions;

// Offsets in struct msghdr and struct mmsghdr.
const NAME: u64 = 0;
const VECTOR: u64 = 16;
const CONTROL: u64 = 32;
const CONTROL_LENGTH: u64 = 40;
const FLAGS: u64 = 48;
const MESSAGE_LENGTH: u64 = 56;

/// struct cmsghdr: length, level, type.
const CONTROL_HEADER: u64 = 16;

/// Options of iptables, arptables and ebtables that replace a table, and copy out the old one's counters:
/// (level, name).
const REPLACES_TABLE: [(u64, u64); 4] = [(0, 64), (41, 64), (0, 96), (0, 128)];

/// accept(2), getsockname(2) and their kin: an address and its length.
pub(super) fn address(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        name(w, 0, w.arg(1), w.arg(2));
    }
}

/// An address as far as there was room for it, and its true length (move_addr_to_user).
fn name(w: &mut Writes<'_>, message: usize, at: u64, length_at: u64) {
    if at == 0 {
        return;
    }
    let length: u32 = w.read(length_at).unwrap_or(0);
    w.span(at, u64::from(length).min(w.room(message)));
    w.span(length_at, 4);
}

/// recvfrom(2).
pub(super) fn recvfrom(w: &mut Writes<'_>) {
    let Some(returned) = w.returned() else { return };
    if !discards(w, w.arg(3)) {
        w.span(w.arg(1), returned.min(w.arg(2)));
    }
    name(w, 0, w.arg(4), w.arg(5));
}

/// Whether data is received only to be thrown away: TCP's meaning of MSG_TRUNC.
fn discards(w: &Writes<'_>, flags: u64) -> bool {
    flags & libc::MSG_TRUNC as u64 != 0 && questions::protocol(w.arg(0)) == Some(libc::IPPROTO_TCP)
}

/// recvmsg(2).
pub(super) fn recvmsg(w: &mut Writes<'_>) {
    let Some(returned) = w.returned() else { return };
    message(w, 0, w.arg(1), returned, w.arg(2));
}

/// recvmmsg(2).
pub(super) fn recvmmsg(w: &mut Writes<'_>) {
    let Some(count) = w.returned() else { return };
    for n in 0..count {
        let at = w.arg(1).wrapping_add(n * u64::from(MMSGHDR));
        let length_at = at.wrapping_add(MESSAGE_LENGTH);
        let length = w.read::<u32>(length_at).unwrap_or(0);
        message(w, n as usize, at, length.into(), w.arg(3));
        w.span(length_at, 4);
    }
    if count > 0 {
        w.span(w.arg(4), 16);
    }
}

/// One received message: `returned` bytes, the `n`-th of the call's, whose struct msghdr is at `at`.
fn message(w: &mut Writes<'_>, n: usize, at: u64, returned: u64, flags: u64) {
    let Some(header) = w.read::<[u64; 7]>(at) else {
        return;
    };
    let word = |offset: u64| header[offset as usize / 8];
    if !discards(w, flags) {
        w.vector(word(VECTOR), word(VECTOR + 8), returned);
    }
    name(w, n, word(NAME), at.wrapping_add(NAME_LENGTH));
    w.span(at.wrapping_add(FLAGS), 4);
    w.span(at.wrapping_add(CONTROL_LENGTH), 8);
    control(w, word(CONTROL), word(CONTROL_LENGTH));
}

/// Control messages, without what lies between them for alignment.
fn control(w: &mut Writes<'_>, at: u64, length: u64) {
    let mut offset = 0;
    while offset + CONTROL_HEADER <= length {
        let part = at.wrapping_add(offset);
        let Some(bytes) = w.read::<u64>(part) else {
            return;
        };
        let bytes = bytes.clamp(CONTROL_HEADER, length - offset);
        w.span(part, bytes);
        offset += bytes.next_multiple_of(8);
    }
}

/// sendmmsg(2): how much of each message was sent.
pub(super) fn sendmmsg(w: &mut Writes<'_>) {
    if let Some(count) = w.returned() {
        let first = w.arg(1).wrapping_add(MESSAGE_LENGTH);
        w.strided(first, MMSGHDR.into(), 4, count);
    }
}

/// setsockopt(2), which mostly only reads.
pub(super) fn setsockopt(w: &mut Writes<'_>) {
    if w.returned().is_some() && REPLACES_TABLE.contains(&(w.arg(1), w.arg(2))) {
        w.unknown();
    }
}

/// getsockopt(2): the value and its length.
pub(super) fn getsockopt(w: &mut Writes<'_>) {
    if w.returned().is_some() {
        let length: u32 = w.read(w.arg(4)).unwrap_or(0);
        w.span(w.arg(3), length.into());
        w.span(w.arg(4), 4);
    }
}
