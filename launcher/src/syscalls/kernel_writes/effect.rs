//! What is known of a call's writes, and how they are told.

use zerocopy::FromBytes;

use super::before::Before;
use crate::guest::layout::PAGE;
use crate::host::guest_memory;
use crate::host::relay::Call;

/// What a call writes into its caller's memory.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Nothing.
    Nothing,
    /// What cannot be seen from here, if it succeeds.
    Unknown,
    /// These, if it succeeds.
    Places(&'static [Place]),
    /// What the function tells. It is asked after errors, too.
    Found(fn(&mut Writes<'_>)),
}

/// Something that a successful call writes where one of its arguments points to, unless that is null.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// At argument so-and-so (from 0), so many bytes.
    Fixed(usize, u32),
    /// At argument so-and-so, as many units of so many bytes as the call returns.
    Returned(usize, u32),
}

/// A number, the call's name, and what it does.
pub(super) type Row = (u32, &'static str, Effect);

/// Rows, one a line: `NUMBER NAME: EFFECT;`.
macro_rules! calls {
    ($($nr:literal $name:ident: $effect:expr;)*) => {
        &[$(($nr, stringify!($name), $effect)),*]
    };
}
pub(super) use calls;

/// A call that was made, and who wants to know what it wrote.
pub(super) struct Writes<'a> {
    /// Number and arguments.
    pub call: &'a Call,
    /// What the kernel returned.
    pub result: Result<u64, i32>,
    /// What was seen before the call.
    pub before: &'a Before,
    tell: &'a mut dyn FnMut(u64, u64),
    is_known: bool,
}

impl<'a> Writes<'a> {
    pub(super) fn new(
        call: &'a Call,
        result: Result<u64, i32>,
        before: &'a Before,
        tell: &'a mut dyn FnMut(u64, u64),
    ) -> Self {
        Self {
            call,
            result,
            before,
            tell,
            is_known: true,
        }
    }

    /// Tells all that `effect` says; whether that is everything the call wrote.
    pub(super) fn tell_all(mut self, effect: Effect) -> bool {
        match (effect, self.result) {
            (Effect::Found(f), _) => f(&mut self),
            (Effect::Nothing, _) | (_, Err(_)) => {}
            (Effect::Unknown, Ok(_)) => self.is_known = false,
            (Effect::Places(places), Ok(returned)) => {
                for &place in places {
                    match place {
                        Place::Fixed(arg, bytes) => self.span(self.arg(arg), bytes.into()),
                        Place::Returned(arg, unit) => {
                            self.span(self.arg(arg), returned.saturating_mul(unit.into()));
                        }
                    }
                }
            }
        }
        self.is_known
    }

    /// Argument `n`, from 0.
    pub(super) fn arg(&self, n: usize) -> u64 {
        self.call.args[n]
    }

    /// What the call returned, if it succeeded.
    pub(super) fn returned(&self) -> Option<u64> {
        self.result.ok()
    }

    /// The call may have written something else.
    pub(super) fn unknown(&mut self) {
        self.is_known = false;
    }

    /// `bytes` were written at `addr`, unless that is null.
    pub(super) fn span(&mut self, addr: u64, bytes: u64) {
        if addr != 0 && bytes != 0 {
            (self.tell)(addr, bytes);
        }
    }

    /// `bytes` of each of `count` elements of an array were written, whose elements are `stride` bytes
    /// apart, the first at `addr`. Told as one span for each page, as long as what was written in it.
    pub(super) fn strided(&mut self, addr: u64, stride: u64, bytes: u64, count: u64) {
        let mut done = 0;
        while addr != 0 && done < count {
            let first = addr.wrapping_add(done * stride);
            let left = (PAGE - first % PAGE).div_ceil(stride);
            let here = left.min(count - done);
            self.span(first, here * bytes);
            done += here;
        }
    }

    /// `bytes` were written into the buffers of an array of `count` struct iovec, from the first on.
    pub(super) fn vector(&mut self, at: u64, count: u64, mut bytes: u64) {
        let mut next = 0;
        while bytes > 0 && next < count {
            let mut part = [[0u64; 2]; PART];
            let here = (count - next).min(PART as u64) as usize;
            let wanted = zerocopy::IntoBytes::as_mut_bytes(&mut part[..here]);
            if guest_memory::read_bytes(at.wrapping_add(16 * next), wanted).is_err() {
                return;
            }
            for &[base, len] in &part[..here] {
                self.span(base, len.min(bytes));
                bytes -= len.min(bytes);
            }
            next += here as u64;
        }
    }

    /// A value of the program's, as it is after the call; None where it cannot be read.
    pub(super) fn read<T: FromBytes>(&self, addr: u64) -> Option<T> {
        (addr != 0).then(|| guest_memory::read(addr).ok()).flatten()
    }
}

/// Entries of an array that are read at a time.
const PART: usize = 16;
