//! What the kernel wrote for one vCPU's program: a bounded queue of spans of bytes.
//!
//! The vCPU's thread pushes after each call, and before the guest goes on. Whoever holds the
//! harvester's lock takes spans out: the harvester once an epoch, or the vCPU's thread itself when the
//! queue is full. Neither waits for the other.

use std::sync::atomic::{AtomicU64, Ordering};

use zerocopy::FromZeros;

/// Spans that fit: as many as system calls in an epoch of the default length, where calls are cheap.
const SPANS: usize = 4096;

/// One span: address, then length.
type Slot = [AtomicU64; 2];

/// A queue with one producer and one consumer.
#[derive(Debug, Default)]
pub(crate) struct KernelLog {
    /// None where nothing is tracked. A power of two; memory untouched until it is used.
    slots: Box<[Slot]>,
    /// Spans pushed so far. The producer's.
    pushed: AtomicU64,
    /// Spans taken so far. The consumer's.
    taken: AtomicU64,
}

impl KernelLog {
    /// A queue for a vCPU whose program is tracked. The default one is for a program that is not.
    pub(crate) fn tracked() -> Self {
        Self::with_room(SPANS)
    }

    fn with_room(spans: usize) -> Self {
        debug_assert!(spans.is_power_of_two());
        // Without the memory for it the launcher ends, as it does for any other memory of its own.
        let slots = <[Slot]>::new_box_zeroed_with_elems(spans).expect("memory for a queue");
        Self {
            slots,
            ..Self::default()
        }
    }

    /// Whether anybody wants to know.
    pub(crate) fn is_on(&self) -> bool {
        !self.slots.is_empty()
    }

    /// Appends a span; whether there was room for it. The vCPU's thread alone may.
    pub(crate) fn push(&self, addr: u64, len: u64) -> bool {
        let at = self.pushed.load(Ordering::Relaxed);
        // Pairs with the store in `drain`: who sees the place free writes it after it was read.
        let taken = self.taken.load(Ordering::Acquire);
        if at - taken >= self.slots.len() as u64 {
            return false;
        }
        let [addr_at, len_at] = self.slot(at);
        addr_at.store(addr, Ordering::Relaxed);
        len_at.store(len, Ordering::Relaxed);
        // Pairs with the load in `drain`.
        self.pushed.store(at + 1, Ordering::Release);
        true
    }

    /// Takes out what is there and calls `f` with each span's address and length, oldest first. Only who
    /// holds the harvester's lock may.
    pub(crate) fn drain(&self, mut f: impl FnMut(u64, u64)) {
        let until = self.pushed.load(Ordering::Acquire);
        for at in self.taken.load(Ordering::Relaxed)..until {
            let [addr, len] = self.slot(at);
            let (addr, len) = (addr.load(Ordering::Relaxed), len.load(Ordering::Relaxed));
            self.taken.store(at + 1, Ordering::Release);
            f(addr, len);
        }
    }

    fn slot(&self, at: u64) -> &Slot {
        &self.slots[at as usize & (self.slots.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn drained(log: &KernelLog) -> Vec<(u64, u64)> {
        let mut spans = Vec::new();
        log.drain(|addr, len| spans.push((addr, len)));
        spans
    }

    #[test]
    fn a_log_of_an_untracked_program_takes_nothing() {
        let log = KernelLog::default();
        assert!(!log.is_on());
        assert!(!log.push(1, 1));
        assert_eq!(drained(&log), []);
        assert!(KernelLog::tracked().is_on());
    }

    #[test]
    fn a_full_log_says_so_and_keeps_what_it_has() {
        let log = KernelLog::tracked();
        let all: Vec<_> = (0..SPANS as u64).map(|n| (n, n + 1)).collect();
        for &(addr, len) in &all {
            assert!(log.push(addr, len));
        }
        assert!(!log.push(9, 9));
        assert_eq!(drained(&log), all);
        assert!(log.push(9, 9));
        assert_eq!(drained(&log), [(9, 9)]);
    }

    proptest! {
        #[test]
        fn it_is_a_bounded_queue(
            room in 0u32..5,
            steps in prop::collection::vec(prop::option::weighted(0.8, any::<(u64, u64)>()), 0..200),
        ) {
            let room = 1 << room;
            let log = KernelLog::with_room(room);
            let mut model = VecDeque::new();
            for step in steps {
                match step {
                    Some((addr, len)) => {
                        let fits = model.len() < room;
                        prop_assert_eq!(log.push(addr, len), fits);
                        if fits {
                            model.push_back((addr, len));
                        }
                    }
                    None => prop_assert_eq!(drained(&log), model.drain(..).collect::<Vec<_>>()),
                }
            }
        }
    }

    #[test]
    fn nothing_is_lost_or_torn_between_two_threads() {
        const PUSHES: u64 = 200_000;
        let log = KernelLog::with_room(16);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..PUSHES {
                    while !log.push(n, !n) {
                        std::thread::yield_now();
                    }
                }
            });
            let mut next = 0;
            while next < PUSHES {
                log.drain(|addr, len| {
                    assert_eq!((addr, len), (next, !next));
                    next += 1;
                });
                std::thread::yield_now();
            }
        });
    }
}
