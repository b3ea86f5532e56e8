//! Where the watcher leaves how things stand, and the server finds it as text.

use super::myself::Myself;
use super::text::{classic, openmetrics};
use super::watch::Snapshot;
use hyper::body::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The latest state of things. Locks are held for as long as it takes to copy a pointer.
#[derive(Debug)]
pub(crate) struct Board {
    latest: Mutex<Arc<Snapshot>>,
    told: Mutex<Told>,
}

/// What was told last: it is written once for each look, however often it is asked for.
#[derive(Debug, Default)]
struct Told {
    scrapes: u64,
    of: Option<Arc<Snapshot>>,
    openmetrics: Bytes,
    classic: Bytes,
}

impl Board {
    /// With a first state.
    pub(crate) fn new(first: Snapshot) -> Self {
        Self {
            latest: Mutex::new(Arc::new(first)),
            told: Mutex::default(),
        }
    }

    /// Replaces the state.
    pub(crate) fn leave(&self, snapshot: Snapshot) {
        let before = std::mem::replace(&mut *locked(&self.latest), Arc::new(snapshot));
        drop(before);
    }

    /// The state as text, in the format of OpenMetrics or the older one. For the server, of which there is one thread.
    pub(crate) fn text(&self, is_openmetrics: bool) -> Bytes {
        let latest = Arc::clone(&locked(&self.latest));
        let mut told = locked(&self.told);
        told.scrapes += 1;
        if !told.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &latest)) {
            let text = openmetrics(&latest, Myself::now(told.scrapes));
            told.classic = classic(&text).into();
            told.openmetrics = text.into();
            told.of = Some(latest);
        }
        match is_openmetrics {
            true => told.openmetrics.clone(),
            false => told.classic.clone(),
        }
    }
}

/// What a panicking thread has left is whole: values are replaced, never changed in part.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
