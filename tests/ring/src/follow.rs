//! Readers that check every record, and account for every one.

use crate::{Outcome, pattern};
use std::path::Path;
use std::time::Duration;
use vmmload_consumer::{Consumer, Event, Item, Woken};

/// What became of the positions that a reader has passed.
struct Tally {
    start: u64,
    read: u64,
    lost: u64,
}

impl Tally {
    fn new(consumer: &Consumer) -> Self {
        println!("attached");
        Self {
            start: consumer.position(),
            read: 0,
            lost: 0,
        }
    }

    /// One line: the reader has ended.
    fn print(&self, consumer: &Consumer) {
        let Self { start, read, lost } = self;
        let published = consumer.info().published;
        println!("start {start} read {read} lost {lost} published {published}");
    }
}

/// Reads in batches, and sleeps when there is nothing, till the end of an epoch.
pub(crate) fn fast(file: &str) -> Outcome {
    follow(file, |consumer| consumer.wait(None) == Woken::Over)
}

/// Reads in batches, and looks again when there is nothing.
pub(crate) fn polling(file: &str) -> Outcome {
    let mut looks = 0u32;
    follow(file, |consumer| {
        looks += 1;
        // Whether the writer lives is a question to the system, and takes far longer than a look.
        looks.is_multiple_of(1 << 16) && consumer.wait(Some(Duration::ZERO)) == Woken::Over
    })
}

/// `rest` is called when there is nothing to read, and tells whether there will never be.
fn follow(file: &str, mut rest: impl FnMut(&Consumer) -> bool) -> Outcome {
    let mut consumer = Consumer::open(Path::new(file))?;
    let mut tally = Tally::new(&consumer);
    let mut events = vec![Event::default(); 4096];
    loop {
        let before = consumer.position();
        let batch = consumer.read(&mut events);
        check(&events[..batch.read], before, consumer.position())?;
        tally.read += batch.read as u64;
        tally.lost += batch.lost;
        if batch.read == 0 && rest(&consumer) {
            tally.print(&consumer);
            return Ok(());
        }
    }
}

/// A record tells its position: each is in order, from this batch, and right in every word.
fn check(events: &[Event], before: u64, after: u64) -> Outcome {
    let mut next = before;
    for event in events {
        let position = u64::from(event.mapping);
        if !(next..after).contains(&position) || !pattern::is_right(event, position) {
            return Err(format!("between {next} and {after}: {event:?}").into());
        }
        next = position + 1;
    }
    Ok(())
}

/// Reads a few records at a time, one by one, and rests.
pub(crate) fn slow(file: &str) -> Outcome {
    let mut consumer = Consumer::open(Path::new(file))?;
    let mut tally = Tally::new(&consumer);
    loop {
        for _ in 0..500 {
            let before = consumer.position();
            match consumer.next() {
                None if consumer.wait(None) == Woken::Over => {
                    tally.print(&consumer);
                    return Ok(());
                }
                None => break,
                Some(Item::Lost(lost)) => tally.lost += lost,
                Some(Item::Event(event)) => {
                    check(&[event], before, before + 1)?;
                    tally.read += 1;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sleeps from epoch to epoch, and reads nothing.
pub(crate) fn idle(file: &str) -> Outcome {
    let consumer = Consumer::open(Path::new(file))?;
    println!("attached");
    while consumer.wait(None) != Woken::Over {}
    Ok(())
}
