//! The page in which a vCPU's guest asks for a system call without leaving the guest: one for each vCPU, at the same
//! address in all, since each has a window of its own (`roots`).
//!
//! ```text
//! word  0  six arguments          written by the guest
//!       6  rcx: the address behind the call
//!       7  nr (lower half), and post: the number of calls asked for (upper half), written last
//!       8  answered               written by the owner, last: equal to `post` when the answer is there
//!       9  value
//!      16  open: whether an owner waits for calls     written by the owner
//!      17  wait: 0 if the guest must leave at once
//!      18  limit: how often the guest looks for the answer before it leaves
//!      19  sysret: how the stub returns
//!      24  rax, r11, rsp, as the stub (`stub_page`) keeps them
//!      31  below: one word of stack for the stub's flags
//! ```
//!
//! What one call takes of it are two cache lines, each written by one side: that is what a call costs.
//!
//! The owner is the host thread that executes the guest thread's calls. Both sides keep to the order of the numbers: a
//! number is stored with release after what belongs to it, and loaded with acquire before that. On the guest's side
//! the processor does so by itself (Intel SDM volume 3A, section 9.2.2: stores are seen in their order).
//!
//! Ring 3 can write here where the stub runs in ring 3. What comes of that is a system call of the program's that it
//! could have made itself, so nothing is believed but that these are a number and six arguments.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::host::relay::Call;

/// Words in use.
pub(crate) const WORDS: usize = 32;

/// See the drawing above.
pub(super) const ARGS: usize = 0;
pub(super) const RCX: usize = 6;
pub(super) const NR: usize = 7;
/// The upper half of that word.
pub(super) const POST_SHIFT: u32 = 32;
pub(super) const ANSWERED: usize = 8;
pub(super) const VALUE: usize = 9;
pub(super) const OPEN: usize = 16;
pub(super) const WAIT: usize = 17;
pub(super) const LIMIT: usize = 18;
pub(super) const SYSRET: usize = 19;
pub(super) const RAX: usize = 24;
pub(super) const R11: usize = 25;
pub(super) const RSP: usize = 26;
/// Where the stub's stack begins, downwards.
pub(super) const STACK: usize = 32;

/// A word of the page; in the model of both sides another kind than the real one.
pub(crate) trait Word {
    /// As of AtomicU64.
    fn load(&self, order: Ordering) -> u64;
    /// As of AtomicU64.
    fn store(&self, value: u64, order: Ordering);
}

impl Word for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
}

/// One vCPU's page, as the owner sees it.
pub(crate) struct RequestPage<'a, W = AtomicU64> {
    words: [&'a W; WORDS],
}

impl<W> Clone for RequestPage<'_, W> {
    fn clone(&self) -> Self {
        Self { words: self.words }
    }
}

/// What the stub keeps of the registers that the `syscall` instruction overwrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The call's number: rax.
    pub nr: u64,
    /// The address behind the call: rcx.
    pub rip: u64,
    /// The flags: r11.
    pub rflags: u64,
}

impl<'a, W: Word> RequestPage<'a, W> {
    /// The page whose words these are, all zero in the beginning.
    pub(crate) fn new(words: [&'a W; WORDS]) -> Self {
        Self { words }
    }

    /// Says whether the stub returns by `sysretq`. For a vCPU that is not running.
    pub(crate) fn set_sysret(&self, sysret: bool) {
        self.words[SYSRET].store(sysret.into(), Ordering::Relaxed);
    }

    /// Lets the guest ask for calls, and look `limit` times for each answer. For a vCPU that is not running.
    pub(crate) fn open(&self, limit: u64) {
        self.words[LIMIT].store(limit.max(1), Ordering::Relaxed);
        self.words[WAIT].store(1, Ordering::Relaxed);
        self.words[OPEN].store(1, Ordering::Relaxed);
    }

    /// Has the guest leave for each call, and at once if it is waiting. It may have asked just before.
    pub(crate) fn close(&self) {
        self.words[OPEN].store(0, Ordering::Relaxed);
        self.words[WAIT].store(0, Ordering::Relaxed);
    }

    /// Whether a call was asked for and not answered.
    pub(crate) fn is_waiting(&self) -> bool {
        // Pairs with the guest's store of `post`: who sees the number sees the call.
        let post = self.words[NR].load(Ordering::Acquire) >> POST_SHIFT;
        post != self.words[ANSWERED].load(Ordering::Relaxed)
    }

    /// The call that was asked for last; only while [`RequestPage::is_waiting`].
    pub(crate) fn call(&self) -> Call {
        let word = |at: usize| self.words[at].load(Ordering::Relaxed);
        Call {
            nr: word(NR) & u64::from(u32::MAX),
            args: std::array::from_fn(|i| word(ARGS + i)),
        }
    }

    /// Answers it.
    pub(crate) fn answer(&self, value: u64) {
        self.words[VALUE].store(value, Ordering::Relaxed);
        self.settle();
    }

    /// Notes that it is answered, or was taken back.
    pub(crate) fn settle(&self) {
        let post = self.words[NR].load(Ordering::Relaxed) >> POST_SHIFT;
        // Pairs with the guest's load of `answered`: who sees the number sees the value.
        self.words[ANSWERED].store(post, Ordering::Release);
    }

    /// The address behind the call that was asked for last.
    pub(crate) fn rip(&self) -> u64 {
        self.words[RCX].load(Ordering::Relaxed)
    }

    /// The answer that was given last.
    pub(crate) fn value(&self) -> u64 {
        self.words[VALUE].load(Ordering::Relaxed)
    }

    /// What the stub has kept for the call asked for last.
    pub(crate) fn kept(&self) -> Kept {
        let word = |at: usize| self.words[at].load(Ordering::Relaxed);
        Kept {
            nr: word(RAX),
            rip: word(RCX),
            rflags: word(R11),
        }
    }

    /// The stack pointer that the stub has kept while it used its own.
    pub(crate) fn kept_rsp(&self) -> u64 {
        self.words[RSP].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
pub(crate) mod model {
    //! The guest's side as `stub_page` has it in assembly, and memory for both.

    #[cfg(loom)]
    use loom::sync::atomic::AtomicU64;

    use super::*;

    #[cfg(loom)]
    impl Word for AtomicU64 {
        fn load(&self, order: Ordering) -> u64 {
            self.load(order)
        }

        fn store(&self, value: u64, order: Ordering) {
            self.store(value, order);
        }
    }

    /// A page of its own.
    pub(crate) struct Memory([AtomicU64; WORDS]);

    impl Memory {
        pub(crate) fn new() -> Self {
            Self(std::array::from_fn(|_| AtomicU64::new(0)))
        }

        pub(crate) fn page(&self) -> RequestPage<'_, AtomicU64> {
            RequestPage::new(std::array::from_fn(|i| &self.0[i]))
        }
    }

    /// How a call ended for the guest.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Left {
        /// Answered in the page.
        Answered(u64),
        /// It left the guest without an answer.
        Waiting,
        /// It left without having asked.
        Closed,
    }

    impl<W: Word> RequestPage<'_, W> {
        /// The guest's side of a call.
        pub(crate) fn ask(&self, call: &Call, mut pause: impl FnMut()) -> Left {
            let word = |at: usize| self.words[at];
            if word(OPEN).load(Ordering::Relaxed) == 0 {
                return Left::Closed;
            }
            for (i, &arg) in call.args.iter().enumerate() {
                word(ARGS + i).store(arg, Ordering::Relaxed);
            }
            let post = (word(NR).load(Ordering::Relaxed) >> POST_SHIFT) + 1;
            word(NR).store(post << POST_SHIFT | call.nr, Ordering::Release);
            for _ in 0..word(LIMIT).load(Ordering::Relaxed) {
                if word(ANSWERED).load(Ordering::Acquire) == post {
                    return Left::Answered(word(VALUE).load(Ordering::Relaxed));
                }
                if word(WAIT).load(Ordering::Relaxed) == 0 {
                    break;
                }
                pause();
            }
            Left::Waiting
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::model::{Left, Memory};
    use super::*;

    const CALL: Call = Call {
        nr: 7,
        args: [1, 2, 3, 4, 5, 6],
    };

    #[test]
    fn a_closed_page_takes_no_calls() {
        let memory = Memory::new();
        assert_eq!(memory.page().ask(&CALL, || ()), Left::Closed);
        assert!(!memory.page().is_waiting());
    }

    #[test]
    fn an_answer_ends_the_guests_wait() {
        let memory = Memory::new();
        let page = memory.page();
        page.open(10);
        let left = page.ask(&CALL, || {
            assert_eq!(page.call(), CALL);
            page.answer(40 + page.call().nr);
        });
        assert_eq!(left, Left::Answered(47));
        assert!(!page.is_waiting());
    }

    #[test]
    fn a_guest_that_waited_long_enough_leaves_its_call_behind() {
        let memory = Memory::new();
        let page = memory.page();
        page.open(3);
        assert_eq!(page.ask(&CALL, || ()), Left::Waiting);
        assert!(page.is_waiting());
        assert_eq!(page.call(), CALL);
        page.settle();
        assert!(!page.is_waiting());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::Arc;

    use super::model::{Left, Memory};
    use super::*;

    fn call(nr: u64) -> Call {
        Call {
            nr,
            args: [nr + 1, nr + 2, nr + 3, nr + 4, nr + 5, nr + 6],
        }
    }

    /// The owner: answers calls until it has answered `calls`, then takes the vCPU back.
    fn own(page: &RequestPage<'_, impl Word>, calls: u64) {
        for nr in 0..calls {
            while !page.is_waiting() {
                loom::thread::yield_now();
            }
            assert_eq!(page.call(), call(nr));
            page.answer(100 + nr);
        }
    }

    #[test]
    fn loom_each_call_is_seen_whole_and_gets_its_own_answer() {
        loom::model(|| {
            let memory = Arc::new(Memory::new());
            memory.page().open(u64::MAX);
            let guest = memory.clone();
            let guest = loom::thread::spawn(move || {
                for nr in 0..2 {
                    let left = guest.page().ask(&call(nr), loom::thread::yield_now);
                    assert_eq!(left, Left::Answered(100 + nr));
                }
            });
            own(&memory.page(), 2);
            guest.join().unwrap();
        });
    }

    #[test]
    fn loom_whenever_the_page_closes_the_call_is_done_once() {
        loom::model(|| {
            let memory = Arc::new(Memory::new());
            memory.page().open(2);
            let guest = memory.clone();
            let guest =
                loom::thread::spawn(move || guest.page().ask(&call(0), loom::thread::yield_now));
            let page = memory.page();
            let mut done = 0;
            if page.is_waiting() {
                page.answer(100);
                done += 1;
            }
            page.close();
            let left = guest.join().unwrap();
            // The vCPU has stopped: what is left is taken from its registers.
            match left {
                Left::Answered(value) => assert_eq!((value, done), (100, 1)),
                // It left as the answer came: the answer is in the page.
                Left::Waiting if !page.is_waiting() => assert_eq!((page.value(), done), (100, 1)),
                Left::Waiting => assert_eq!((page.call(), done), (call(0), 0)),
                Left::Closed => assert_eq!(done, 0),
            }
        });
    }
}
