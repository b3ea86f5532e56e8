//! What else the processors do meanwhile.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Whether processors are free while something is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Nothing else runs, as far as the benchmark knows.
    Free,
    /// As many hogs as there are processors, natively.
    Busy,
}

impl Load {
    /// What it adds to the name of a row.
    pub(super) fn label(self) -> &'static str {
        match self {
            Load::Free => "",
            Load::Busy => "busy, ",
        }
    }
}

/// Threads of this process that do nothing but keep processors busy, until the value is dropped.
pub(super) struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    /// Those of a load.
    pub(super) fn of(load: Load) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = match load {
            Load::Free => 0,
            Load::Busy => thread::available_parallelism().map_or(1, usize::from),
        };
        let threads = (0..count).map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || hog(&stop))
        });
        Self {
            threads: threads.collect(),
            stop,
        }
    }
}

/// Arithmetic, not a pause: a hypervisor would take the processor from one that only pauses.
fn hog(stop: &AtomicBool) {
    let mut number = 1_u64;
    // Relaxed: nothing is published with the flag.
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..10_000 {
            number = black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A hog cannot panic.
            let _ = thread.join();
        }
    }
}
