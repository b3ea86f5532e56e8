//! What only the time before a call shows: lengths and times that the call overwrites.

use zerocopy::FromBytes;

use super::effect::Writes;
use super::sizes::MMSGHDR;
use crate::host::guest_memory;
use crate::host::relay::Call;

/// Messages of one recvmmsg(2) whose names' room is noted. That of further ones is taken to suffice.
const MESSAGES: usize = 32;

/// Offset of `msg_namelen` in a struct msghdr.
pub(super) const NAME_LENGTH: u64 = 8;

/// The values that a call is about to overwrite; nothing for nearly all calls.
pub(crate) enum Before {
    /// Nothing is needed.
    Nothing,
    /// Room for an address.
    Room(u32),
    /// Room for the address of each message.
    Rooms([u32; MESSAGES]),
    /// Whether there is a time limit other than zero, which the call replaces by what is left of it.
    Limit(bool),
}

fn read<T: FromBytes>(addr: u64) -> Option<T> {
    (addr != 0).then(|| guest_memory::read(addr).ok()).flatten()
}

impl Before {
    /// Looks, if `call` is one of those few.
    pub(crate) fn of(call: &Call) -> Self {
        let [_, a1, a2, _, a4, a5] = call.args;
        match call.nr as u32 as libc::c_long {
            libc::SYS_accept
            | libc::SYS_accept4
            | libc::SYS_getsockname
            | libc::SYS_getpeername => Self::room(a1, a2),
            libc::SYS_recvfrom => Self::room(a4, a5),
            libc::SYS_recvmsg => Self::room(a1, a1.wrapping_add(NAME_LENGTH)),
            libc::SYS_recvmmsg => Self::rooms(a1, a2),
            libc::SYS_ppoll => Self::limit(a2),
            libc::SYS_select | libc::SYS_pselect6 => Self::limit(a4),
            _ => Self::Nothing,
        }
    }

    fn room(name: u64, length: u64) -> Self {
        match name {
            0 => Self::Nothing,
            _ => read(length).map_or(Self::Nothing, Self::Room),
        }
    }

    fn rooms(messages: u64, count: u64) -> Self {
        let mut rooms = [u32::MAX; MESSAGES];
        for (n, room) in (0..count).zip(&mut rooms) {
            let message = messages.wrapping_add(n * u64::from(MMSGHDR));
            *room = read(message.wrapping_add(NAME_LENGTH)).unwrap_or(0);
        }
        Self::Rooms(rooms)
    }

    fn limit(at: u64) -> Self {
        Self::Limit(read::<[u64; 2]>(at).is_some_and(|time| time != [0, 0]))
    }
}

impl Writes<'_> {
    /// Room that there was for the address of message `n`.
    pub(super) fn room(&self, n: usize) -> u64 {
        match self.before {
            Before::Room(room) => (*room).into(),
            Before::Rooms(rooms) => rooms
                .get(n)
                .map_or(u64::from(u32::MAX), |&room| room.into()),
            Before::Nothing | Before::Limit(_) => 0,
        }
    }

    /// Whether there was a time limit other than zero.
    pub(super) fn had_limit(&self) -> bool {
        matches!(self.before, Before::Limit(true))
    }
}
