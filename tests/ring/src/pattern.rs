//! Records whose every word follows from their position, so that a torn one shows, and one from elsewhere.
//!
//! `follow.c` and `follow.py` know the same.

use vmmload_consumer::{Event, Kind, Method, Sighting};

/// Events in an epoch.
pub(crate) const EPOCH: u64 = 1 << 20;
/// Pages with events: in two regions of 2 MiB.
const PAGES: u64 = 1024;
const BASE: u64 = 0x7f00_0000_0000;
const METHODS: [Method; 3] = [Method::DirtyRing, Method::AccessedBit, Method::Relay];

/// What the writer gives for a position.
#[inline]
pub(crate) fn sighting(position: u64) -> Sighting {
    let mixed = position.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Sighting {
        addr: BASE + (mixed >> 54) % PAGES * 4096,
        kind: Kind::ALL[(position % 3) as usize],
        method: METHODS[(position % 3) as usize],
        count: 1 + (position % 8) as u32,
        bytes: (mixed >> 32) as u32,
        mapping: position as u32,
    }
}

/// The epoch of a position, and when it began.
pub(crate) fn epoch(position: u64) -> (u32, u64) {
    let epoch = position / EPOCH + 1;
    (epoch as u32, epoch * 1_000_003)
}

/// Whether an event is exactly what was published at a position.
pub(crate) fn is_right(event: &Event, position: u64) -> bool {
    let seen = sighting(position);
    let (epoch, time_ns) = epoch(position);
    let expected = Event {
        addr: seen.addr,
        time_ns,
        epoch,
        count: seen.count,
        mapping: seen.mapping,
        bytes: seen.bytes,
        kind: seen.kind,
        method: seen.method,
    };
    *event == expected
}
