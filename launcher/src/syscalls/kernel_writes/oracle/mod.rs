//! The table against the kernel: calls are made, and what they changed is compared with what is told.
//!
//! All that a call may write lies in an arena. It is filled with one pattern, then with another, and the
//! call is made each time: what changed from any of the patterns was written. Bytes that the call finds
//! there (lengths, say) may be written over with what they were.

mod descriptors;
mod files;
mod ipc;
mod processes;
mod signals;
mod sockets;
mod waiting;

use std::any::Any;
use std::os::fd::{FromRawFd, OwnedFd};

use super::{Before, tell};
use crate::host::relay::{self, Call};

const PATTERNS: [u8; 3] = [0xa5, 0x5a, 0x3c];
const ARENA: usize = 64 << 10;

/// Memory that a call may write, and what must be there for it.
struct Arena {
    bytes: Vec<u8>,
    /// Where something was put: the call may replace it by the same.
    given: Vec<bool>,
    kept: Vec<Box<dyn Any>>,
}

impl Arena {
    fn new(pattern: u8) -> Self {
        Self {
            bytes: vec![pattern; ARENA],
            given: vec![false; ARENA],
            kept: Vec::new(),
        }
    }

    /// The address of the byte `offset` from the beginning.
    fn at(&self, offset: usize) -> u64 {
        &raw const self.bytes[offset] as u64
    }

    /// Puts bytes there for the call to find.
    fn put(&mut self, offset: usize, bytes: &[u8]) -> u64 {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.given[offset..offset + bytes.len()].fill(true);
        self.at(offset)
    }

    /// Puts words there.
    fn words(&mut self, offset: usize, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.put(offset, &bytes)
    }

    /// The word there.
    fn word(&self, offset: usize) -> u64 {
        let bytes = self.bytes[offset..offset + 8].try_into();
        u64::from_ne_bytes(bytes.expect("8 bytes"))
    }

    /// Keeps something until the call was made; a reference to it.
    fn keep<T: 'static>(&mut self, kept: T) -> &T {
        self.kept.push(Box::new(kept));
        self.kept
            .last()
            .and_then(|kept| kept.downcast_ref())
            .expect("it was put there just now")
    }
}

/// How a call must end.
#[derive(Clone, Copy)]
enum Ends {
    Well,
    With(i32),
    /// Perhaps this kernel does not have it, or not for us.
    Anyhow,
}

/// What may be told of bytes that did not change.
#[derive(Clone, Copy)]
enum Exact {
    /// Nothing.
    Bytes,
    /// Only the number of bytes counts: they are told page by page.
    Number,
    /// The kernel leaves gaps for alignment.
    WithGaps,
}

struct Case {
    name: &'static str,
    prepare: fn(&mut Arena) -> Call,
    ends: Ends,
    exact: Exact,
    known: bool,
}

/// A call that succeeds, and of which every byte is known.
const fn case(name: &'static str, prepare: fn(&mut Arena) -> Call) -> Case {
    Case {
        name,
        prepare,
        ends: Ends::Well,
        exact: Exact::Bytes,
        known: true,
    }
}

impl Case {
    const fn fails(self, errno: i32) -> Self {
        Self {
            ends: Ends::With(errno),
            ..self
        }
    }

    const fn anyhow(self) -> Self {
        Self {
            ends: Ends::Anyhow,
            ..self
        }
    }

    const fn exact(self, exact: Exact) -> Self {
        Self { exact, ..self }
    }

    const fn unknown(self) -> Self {
        Self {
            known: false,
            ..self
        }
    }
}

fn call<const N: usize>(nr: libc::c_long, given: [u64; N]) -> Call {
    let mut args = [0; 6];
    args[..N].copy_from_slice(&given);
    let nr = nr as u64;
    Call { nr, args }
}

/// Makes a call for what a case needs, which must succeed.
fn made<const N: usize>(nr: libc::c_long, args: [u64; N]) -> u64 {
    let call = call(nr, args);
    // SAFETY: as for the calls that are tested.
    let value = unsafe { relay::raw(nr, call.args) };
    super::check(value).expect("what the case needs can be had")
}

/// Who makes a descriptor with [`made`] owns it.
fn owned(descriptor: u64) -> OwnedFd {
    // SAFETY: it was made just now, for the caller alone.
    unsafe { OwnedFd::from_raw_fd(descriptor as i32) }
}

/// A new file in memory.
fn memory_file() -> OwnedFd {
    let name = c"oracle".as_ptr() as u64;
    owned(made(libc::SYS_memfd_create, [name, 0]))
}

/// One call in one arena.
struct Made {
    changed: Vec<bool>,
    told: Vec<bool>,
    given: Vec<bool>,
    /// Bytes told, those outside the arena not counted.
    number: usize,
}

impl Made {
    fn make(case: &Case, pattern: u8) -> Self {
        let mut arena = Arena::new(pattern);
        let call = (case.prepare)(&mut arena);
        let found = arena.bytes.clone();
        let before = Before::of(&call);
        // SAFETY: each call of these tests gets addresses in the arena or of what the arena keeps.
        let value = unsafe { relay::raw(call.nr as libc::c_long, call.args) };
        if value == 0 && is_child(&call) {
            // SAFETY: ends the child, which has done nothing.
            unsafe { libc::_exit(0) };
        }
        let name = case.name;
        let ended = match (case.ends, value) {
            (Ends::Well, -4095..0) => false,
            (Ends::With(errno), value) => value == -i64::from(errno),
            (Ends::Well | Ends::Anyhow, _) => true,
        };
        assert!(ended, "{name} returned {value}");
        let mut told = vec![false; ARENA];
        let mut number = 0;
        let start = arena.at(0);
        let is_known = tell(&call, &before, value as u64, &mut |addr, bytes| {
            for at in addr..addr + bytes {
                if let Some(told) = told.get_mut(at.wrapping_sub(start) as usize) {
                    *told = true;
                    number += 1;
                }
            }
        });
        assert!(is_known == case.known || value < 0, "{name}: {is_known}");
        let changed = found
            .iter()
            .zip(&arena.bytes)
            .map(|(a, b)| a != b)
            .collect();
        Self {
            changed,
            told,
            given: arena.given,
            number,
        }
    }
}

fn is_child(call: &Call) -> bool {
    [libc::SYS_clone, libc::SYS_clone3].contains(&(call.nr as libc::c_long))
}

fn check(cases: &[Case]) {
    for case in cases {
        let made = PATTERNS.map(|pattern| Made::make(case, pattern));
        assert_eq!(compare(&made, case.exact), Ok(()), "{}", case.name);
    }
}

/// Whether what is told is what was written.
fn compare(made: &[Made], exact: Exact) -> Result<(), String> {
    let is_written = |at: usize| made.iter().any(|made| made.changed[at]);
    let is_missed = |at: usize| made.iter().any(|made| made.changed[at] && !made.told[at]);
    let is_told = |at: usize| made.iter().all(|made| made.told[at] && !made.given[at]);
    let all = |is: &dyn Fn(usize) -> bool| (0..ARENA).filter(|&at| is(at)).collect::<Vec<_>>();
    let missed = all(&is_missed);
    let wrong = all(&|at| is_told(at) && !is_written(at));
    match exact {
        Exact::Number => {
            let (told, written) = (made[0].number, all(&is_written).len());
            let answer = format!("{told} bytes told, {written} written");
            (told == written).then_some(()).ok_or(answer)
        }
        _ if !missed.is_empty() => Err(format!("not told: {missed:?}")),
        Exact::Bytes if !wrong.is_empty() => Err(format!("not written: {wrong:?}")),
        Exact::Bytes | Exact::WithGaps => Ok(()),
    }
}

#[test]
fn what_is_told_in_error_is_found() {
    let made = |changed: &[usize], told: &[usize], given: &[usize]| {
        let of = |places: &[usize]| (0..ARENA).map(|at| places.contains(&at)).collect();
        Made {
            changed: of(changed),
            told: of(told),
            given: of(given),
            number: told.len(),
        }
    };
    let exact = |made| compare(&[made], Exact::Bytes);
    assert_eq!(exact(made(&[4, 5], &[4, 5, 6], &[6])), Ok(()));
    assert_eq!(exact(made(&[4, 5], &[5], &[])), Err("not told: [4]".into()));
    assert_eq!(
        exact(made(&[4], &[4, 5], &[6])),
        Err("not written: [5]".into())
    );
    let number = compare(&[made(&[4, 12], &[4], &[])], Exact::Number);
    assert_eq!(number, Err("1 bytes told, 2 written".into()));
}
