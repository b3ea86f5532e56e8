//! Marks on their way from the ring to between the epochs.

use super::lines::Lines;
use std::collections::VecDeque;
use std::io::{self, Write};
use vmmload_consumer::{Consumer, Mark};

/// Most that are read at a time: more than any ring has room for.
const MOST: u64 = 1 << 21;

/// Marks that were read and not printed yet, each with how many were lost before it.
#[derive(Default)]
pub(super) struct Marks {
    waiting: VecDeque<(u64, Mark)>,
    /// Lost behind the last one.
    lost: u64,
    /// All that were lost so far.
    known_lost: u64,
}

impl Marks {
    /// Reads those that are there now, and not what comes meanwhile.
    pub(super) fn take(&mut self, consumer: &mut Consumer) {
        for _ in 0..consumer.info().marks.min(MOST) {
            let mark = consumer.next_mark();
            let lost = consumer.marks_lost();
            self.lost += lost - self.known_lost;
            self.known_lost = lost;
            let Some(mark) = mark else {
                break;
            };
            self.waiting
                .push_back((std::mem::take(&mut self.lost), mark));
        }
    }

    /// Prints those of the epochs up to `last`.
    pub(super) fn print(&mut self, lines: &mut Lines<'_, impl Write>, last: u32) -> io::Result<()> {
        let is_due = |(_, mark): &(u64, Mark)| mark.epoch <= last;
        while self.waiting.front().is_some_and(is_due)
            && let Some((lost, mark)) = self.waiting.pop_front()
        {
            if lost > 0 {
                lines.lost_marks(lost)?;
            }
            lines.mark(&mark)?;
        }
        if self.waiting.is_empty() && self.lost > 0 {
            lines.lost_marks(std::mem::take(&mut self.lost))?;
        }
        Ok(())
    }
}
