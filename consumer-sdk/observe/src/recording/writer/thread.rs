//! The writing thread.

use crate::failure::Failure;
use crate::numbers::grouped;
use crate::recording::writer::Message;
use crate::recording::writer::directory::Directory;
use crate::recording::writer::process::Place;
use crate::recording::writer::queue::{Popped, Pushed, Queue};
use crate::recording::writer::store::{MOST_MEMORY, Store, Totals};
use crate::typed::Resolution;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Memory of the messages that wait to be written, bytes.
const MOST_WAITING: usize = 32 << 20;

/// What a recorder that is killed loses at most of what it has read.
const LONGEST_UNSAVED: Duration = Duration::from_secs(15);

/// The same at the beginning; it doubles.
const FIRST_UNSAVED: Duration = Duration::from_secs(1);

/// The writing thread, as the others see it.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue<Message>>,
    totals: Arc<Mutex<Totals>>,
    thread: JoinHandle<(Directory, Result<(), Failure>)>,
}

impl Writer {
    /// Starts it.
    ///
    /// # Errors
    /// There can be no more threads.
    pub(crate) fn start(
        directory: Directory,
        resolution: Option<Resolution>,
    ) -> Result<Self, Failure> {
        let unwritten = directory.clone();
        let queue = Arc::new(Queue::new(MOST_WAITING));
        let totals = Arc::new(Mutex::new(Totals::default()));
        let place = Place {
            root: directory.path().into(),
            recording: directory.manifest.recording.clone(),
        };
        let work = Work {
            queue: Arc::clone(&queue),
            totals: Arc::clone(&totals),
            store: Store::new(place, resolution, MOST_MEMORY),
            directory,
        };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || work.run())
            .map_err(|cause| {
                unwritten.remove();
                Failure::Other(format!(
                    "a thread cannot be started: {cause}. Raise the limit of processes (ulimit -u)"
                ))
            })?;
        Ok(Self {
            queue,
            totals,
            thread,
        })
    }

    /// Hands a message over, if there is room within `limit`.
    pub(crate) fn push(&self, message: Message, limit: Duration) -> Pushed<Message> {
        let bytes = message.bytes();
        self.queue.push(message, bytes, limit)
    }

    /// What has come to the writing thread so far.
    pub(crate) fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has everything written. Gives the directory back, whose manifest is yet to say how it ended, and what could not be
    /// written, if anything.
    pub(crate) fn finish(self) -> (Directory, Totals, Result<(), Failure>) {
        self.queue.finish();
        let totals = Arc::clone(&self.totals);
        let (directory, written) = match self.thread.join() {
            Ok(finished) => finished,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let totals = *totals.lock().unwrap_or_else(PoisonError::into_inner);
        (directory, totals, written)
    }
}

/// What the thread has.
struct Work {
    queue: Arc<Queue<Message>>,
    totals: Arc<Mutex<Totals>>,
    store: Store,
    directory: Directory,
}

impl Work {
    fn run(mut self) -> (Directory, Result<(), Failure>) {
        let written = self.write().map_err(|failure| {
            let unwritten = self.store.give_up();
            let events = grouped(unwritten);
            Failure::Other(format!(
                "{failure}; {events} events that had been read are not in it"
            ))
        });
        // Who pushes is not to wait for somebody who has given up.
        self.queue.close();
        self.show_totals();
        (self.directory, written)
    }

    fn write(&mut self) -> Result<(), Failure> {
        let mut unsaved = FIRST_UNSAVED;
        let mut due = Instant::now() + unsaved;
        loop {
            let left = due.saturating_duration_since(Instant::now());
            match self.queue.pop(left) {
                Popped::One(message) => self.store.take(message)?,
                Popped::Nothing => {}
                Popped::Finished => return self.store.finish(),
            }
            self.show_totals();
            if Instant::now() >= due {
                self.store.save()?;
                self.directory.save()?;
                unsaved = (unsaved * 2).min(LONGEST_UNSAVED);
                due = Instant::now() + unsaved;
            }
        }
    }

    fn show_totals(&mut self) {
        let totals = self.store.totals();
        let Totals {
            processes,
            rows,
            lost,
            ..
        } = totals;
        let manifest = &mut self.directory.manifest;
        (manifest.processes, manifest.rows, manifest.lost) = (processes, rows, lost);
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
    }
}
