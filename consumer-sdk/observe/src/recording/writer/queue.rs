//! Messages on their way from the reading to the writing thread, bounded by the memory that they take.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue for one that pushes and one that pops.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Something was pushed, or nothing more will be.
    filled: Condvar,
    /// Something was popped, or nothing more will be.
    emptied: Condvar,
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(usize, T)>,
    bytes: usize,
    /// Nothing more is pushed.
    finished: bool,
    /// Nothing more is popped.
    closed: bool,
}

/// What became of something that was to be pushed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed<T> {
    Done,
    /// There is no room; here it is back.
    Full(T),
    /// Nobody pops any more.
    Closed,
}

/// What was there to pop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Popped<T> {
    One(T),
    /// Nothing within the time.
    Nothing,
    /// Nothing, and there will be no more.
    Finished,
}

impl<T> Queue<T> {
    /// Empty, with room for `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                bytes: 0,
                finished: false,
                closed: false,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            most,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes what takes so many bytes, if there is room within `limit`. What alone is larger than all the room there is goes
    /// into an empty queue.
    pub(crate) fn push(&self, what: T, bytes: usize, limit: Duration) -> Pushed<T> {
        let is_full = |state: &mut State<T>| {
            !state.closed && state.bytes > 0 && state.bytes + bytes > self.most
        };
        let waited = self.emptied.wait_timeout_while(self.lock(), limit, is_full);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Pushed::Closed;
        }
        if timeout.timed_out() && is_full(&mut state) {
            return Pushed::Full(what);
        }
        state.waiting.push_back((bytes, what));
        state.bytes += bytes;
        self.filled.notify_one();
        Pushed::Done
    }

    /// Takes the oldest, waiting for one for `limit` at most.
    pub(crate) fn pop(&self, limit: Duration) -> Popped<T> {
        let is_empty = |state: &mut State<T>| state.waiting.is_empty() && !state.finished;
        let waited = self.filled.wait_timeout_while(self.lock(), limit, is_empty);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.waiting.pop_front() {
            Some((bytes, what)) => {
                state.bytes -= bytes;
                self.emptied.notify_one();
                Popped::One(what)
            }
            None if state.finished => Popped::Finished,
            None => Popped::Nothing,
        }
    }

    /// Says that nothing more is pushed.
    pub(crate) fn finish(&self) {
        self.lock().finished = true;
        self.filled.notify_all();
    }

    /// Says that nothing more is popped, and forgets what waits.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        state.bytes = 0;
        self.emptied.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn no_more_waits_than_there_is_room_for() {
        let queue = Queue::new(100);
        assert_eq!(queue.push('a', 60, AT_ONCE), Pushed::Done);
        assert_eq!(queue.push('b', 41, AT_ONCE), Pushed::Full('b'));
        assert_eq!(queue.push('c', 40, AT_ONCE), Pushed::Done);
        assert_eq!(queue.pop(AT_ONCE), Popped::One('a'));
        assert_eq!(queue.push('b', 41, AT_ONCE), Pushed::Done);
        assert_eq!(queue.pop(AT_ONCE), Popped::One('c'));
        assert_eq!(queue.pop(AT_ONCE), Popped::One('b'));
        assert_eq!(queue.pop(AT_ONCE), Popped::Nothing);
    }

    #[test]
    fn what_is_larger_than_the_queue_has_it_alone() {
        let queue = Queue::new(100);
        assert_eq!(queue.push('a', 1000, AT_ONCE), Pushed::Done);
        assert_eq!(queue.push('b', 1, AT_ONCE), Pushed::Full('b'));
        assert_eq!(queue.pop(AT_ONCE), Popped::One('a'));
        assert_eq!(queue.push('b', 1, AT_ONCE), Pushed::Done);
    }

    #[test]
    fn who_waits_for_room_has_it_as_soon_as_there_is_some() {
        let queue = Queue::new(1);
        assert_eq!(queue.push(1, 1, AT_ONCE), Pushed::Done);
        std::thread::scope(|scope| {
            let pushed = scope.spawn(|| queue.push(2, 1, LONG));
            assert_eq!(queue.pop(LONG), Popped::One(1));
            assert_eq!(queue.pop(LONG), Popped::One(2));
            assert_eq!(pushed.join().unwrap(), Pushed::Done);
        });
    }

    #[test]
    fn what_was_pushed_before_the_end_is_popped_and_then_it_is_over() {
        let queue = Queue::new(10);
        assert_eq!(queue.push(1, 1, AT_ONCE), Pushed::Done);
        queue.finish();
        assert_eq!(queue.pop(LONG), Popped::One(1));
        assert_eq!(queue.pop(LONG), Popped::Finished);
    }

    #[test]
    fn nothing_is_taken_where_nobody_pops_any_more() {
        let queue = Queue::new(1);
        assert_eq!(queue.push(1, 1, AT_ONCE), Pushed::Done);
        std::thread::scope(|scope| {
            let pushed = scope.spawn(|| queue.push(2, 1, LONG));
            queue.close();
            assert_eq!(pushed.join().unwrap(), Pushed::Closed);
        });
    }
}
