//! The exceptions' stubs, and what they leave. (For that of system calls, see `stub_page`.)

use std::sync::atomic::Ordering;

use vm_memory::{Address, GuestAddress};

use super::arena::Arena;
use super::layout::PORT_EXCEPTION;

/// Debug exception, the vector.
pub(crate) const DEBUG: u8 = 1;

/// Bytes from one exception stub to the next.
pub(crate) const EXCEPTION_STRIDE: u64 = 16;

/// Vectors that push an error code (Intel SDM volume 3A, table 6-1).
const fn pushes_error(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

/// The stub for one exception: leaves `vector, error, rip, cs, rflags, rsp, ss` on the stack and
/// exits. It is never resumed: the run loop sets the whole state.
pub(crate) fn exception(vector: u8) -> [u8; EXCEPTION_STRIDE as usize] {
    let mut code = [0x90; EXCEPTION_STRIDE as usize];
    let push_error: &[u8] = if pushes_error(vector) {
        &[]
    } else {
        &[0x6a, 0]
    };
    let rest = [0x6a, vector, 0xe6, PORT_EXCEPTION as u8, 0x0f, 0x0b];
    code[..push_error.len()].copy_from_slice(push_error);
    code[push_error.len()..][..rest.len()].copy_from_slice(&rest);
    code
}

/// Words that an exception leaves on the ring-0 stack, from the lowest address up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExceptionFrame {
    /// Exception number.
    pub vector: u64,
    /// Error code, 0 where the exception has none.
    pub error: u64,
    /// Where it happened (faults) or the next instruction (traps).
    pub rip: u64,
    /// Code segment: its lowest two bits are the ring.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

impl ExceptionFrame {
    /// The frame that lies at `place` in the arena.
    pub(crate) fn read(arena: &Arena, place: GuestAddress) -> Self {
        let word = |i: u64| {
            let word = arena.word(place.unchecked_add(8 * i));
            word.load(Ordering::Relaxed)
        };
        Self {
            vector: word(0),
            error: word(1),
            rip: word(2),
            cs: word(3),
            rflags: word(4),
            rsp: word(5),
            ss: word(6),
        }
    }
}

/// Number of words in an [`ExceptionFrame`].
pub(crate) const EXCEPTION_WORDS: u64 = 7;
