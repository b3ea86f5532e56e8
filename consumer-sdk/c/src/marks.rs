//! What the program itself says it does.

use crate::error::{Failure, code_of};
use crate::pointers;
use core::ffi::{c_char, c_int};
use core::mem::MaybeUninit;
use sdk::Consumer;

/// Room for the name in vmmload_mark_record: at most 1,020 bytes of it, and NULs behind them.
pub const VMMLOAD_MARK_ROOM: usize = 1024;

/// Something that the program has said, with vmmload_mark of vmmload_guest.h or its like: what it begins to do, as a rule.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Mark {
    /// When, nanoseconds of CLOCK_MONOTONIC. Marks are in the order of their times.
    pub time_ns: u64,
    /// The epoch that was running. Stores before the mark that had not been looked at yet belong to the same one, unless
    /// the program has ended the epoch before.
    pub epoch: u32,
    /// The thread that said it.
    pub thread: u32,
    /// Bytes of the name; 0 where there was no room for it (names_dropped of vmmload_info).
    pub name_len: u32,
    /// 0.
    pub reserved: u32,
    /// The name, UTF-8, and NULs to the end.
    pub name: [c_char; VMMLOAD_MARK_ROOM],
}

const _: () = assert!(size_of::<Mark>() == 8 + 4 * 4 + VMMLOAD_MARK_ROOM);

impl From<sdk::Mark> for Mark {
    fn from(mark: sdk::Mark) -> Self {
        // A damaged segment may have any name.
        let end = mark.name.floor_char_boundary(VMMLOAD_MARK_ROOM - 1);
        let bytes = mark.name[..end].bytes().take_while(|&byte| byte != 0);
        let mut name = [0; VMMLOAD_MARK_ROOM];
        let slots = name.iter_mut().zip(bytes);
        let name_len = slots.map(|(to, from)| *to = from as c_char).count() as u32;
        Self {
            time_ns: mark.time_ns,
            epoch: mark.epoch,
            thread: mark.thread,
            name_len,
            reserved: 0,
            name,
        }
    }
}

/// Puts the next mark into *out: something that the program says it does.
///
/// Returns 1, or 0 when there is no other yet, or -VMMLOAD_E_ARGUMENT.
///
/// Threads: one at a time, and no other function may be using this consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_next_mark(
    consumer: Option<&mut Consumer>,
    out: Option<&mut MaybeUninit<Mark>>,
) -> c_int {
    code_of((|| {
        let consumer = consumer.ok_or_else(|| Failure::null("consumer"))?;
        let out = out.ok_or_else(|| Failure::null("out"))?;
        let mark = consumer.next_mark().map(|mark| out.write(mark.into()));
        Ok(c_int::from(mark.is_some()))
    })())
}

/// How many marks vmmload_next_mark has passed over so far, because they were overwritten before it came to them, or had no
/// memory to be written to. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_marks_lost(consumer: Option<&Consumer>) -> u64 {
    consumer.map_or(0, Consumer::marks_lost)
}

/// Copies the marks that are still in their ring, oldest first, into the array out of so many elements, whatever was read:
/// vmmload_next_mark goes on where it was.
///
/// Returns how many there are, which may be more than capacity: then the first ones are copied. 0 for NULL.
///
/// Threads: several at once, with functions that take a const consumer.
#[unsafe(no_mangle)]
pub extern "C" fn vmmload_marks(
    consumer: Option<&Consumer>,
    out: *mut Mark,
    capacity: usize,
) -> usize {
    // SAFETY: the header asks for NULL or room for `capacity` marks.
    let slots = unsafe { pointers::array(out, capacity) };
    let marks = consumer.map(Consumer::marks).unwrap_or_default();
    pointers::fill(slots, marks.into_iter().map(Mark::from))
}

#[cfg(test)]
mod tests {
    use super::{Mark, VMMLOAD_MARK_ROOM};

    fn named(name: &str) -> (u32, Vec<u8>) {
        let name = name.to_owned();
        let mark = Mark::from(sdk::Mark {
            name,
            ..sdk::Mark::default()
        });
        (mark.name_len, mark.name.map(|byte| byte as u8).to_vec())
    }

    #[test]
    fn a_name_is_ended_by_a_nul_whatever_is_in_it() {
        let (len, bytes) = named("lo\u{e4}d");
        assert_eq!((len, &bytes[..6]), (5, "lo\u{e4}d\0".as_bytes()));
        assert_eq!(named("a\0b").0, 1);
        let (len, bytes) = named(&"\u{e4}".repeat(1000));
        assert_eq!(len as usize, VMMLOAD_MARK_ROOM - 2);
        assert_eq!(bytes[VMMLOAD_MARK_ROOM - 2..], [0, 0]);
    }
}
