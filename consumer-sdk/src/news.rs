//! The word that readers sleep on until something was published.
//!
//! ```text
//! writer                                   reader
//! (1) publishes                            (a) news            acquire
//! (2) news += 1           release          (b) looks for what was published
//! (3) futex wake                           (c) sleeps while news is what (a) saw
//! ```
//!
//! A reader that (b) found nothing saw at (a) the news from before (2), or (2) would have shown it (1). So either
//! (c) finds the word changed, or (3) finds the reader asleep: futex(2) compares and falls asleep in one.
//! Only the low half of the word is compared, because a futex has 32 bits.

use crate::sync::{AtomicU64, Ordering, load_acquire};

/// Announces what was published before, to those who sleep and to those who are about to.
pub(crate) fn tell(news: &AtomicU64, wake: impl FnOnce(&AtomicU64)) {
    let next = news.load(Ordering::Relaxed).wrapping_add(1);
    // (2), pairs with the load (a).
    news.store(next, Ordering::Release);
    wake(news);
}

/// What the word is now, to be looked at before looking for what it announces.
pub(crate) fn seen(news: &AtomicU64) -> u32 {
    // (a), pairs with the store (2).
    load_acquire(news) as u32
}

/// Sleeps until `look` finds something, given what [`seen`] was. `sleep` sleeps, for as long as it likes, while the word
/// is that; it answers false to give up.
pub(crate) fn until<T>(
    news: &AtomicU64,
    mut look: impl FnMut(u32) -> Option<T>,
    mut sleep: impl FnMut(u32) -> bool,
) -> Option<T> {
    loop {
        let seen = seen(news);
        let found = look(seen);
        if found.is_some() || !sleep(seen) {
            return found;
        }
    }
}
