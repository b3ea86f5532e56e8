//! Input data, generated: the same bytes on every machine and in every run.

use std::fmt::Write;
use std::path::PathBuf;

use crate::{needs, scratch};

/// A small generator (xorshift64*): tests need variety, not randomness.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// Starts the sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// A file of about `megabytes` MB of text lines that compress to roughly a half.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn text_file(megabytes: usize) -> PathBuf {
    cached(&format!("text-{megabytes}"), || {
        let mut numbers = Numbers::new(7);
        let mut text = String::with_capacity(megabytes * 1_000_000 + 100);
        while text.len() < megabytes * 1_000_000 {
            let number = numbers.draw();
            writeln!(
                text,
                "{number:016x} the quick brown fox no {} jumps",
                number % 1000
            )
            .expect("a String takes all");
        }
        text.into_bytes()
    })
}

/// A file of `count` lines, each a number, in no order and with repetitions.
///
/// # Panics
/// When it cannot be written.
#[must_use]
pub fn number_lines(count: usize) -> PathBuf {
    cached(&format!("numbers-{count}"), || {
        let mut numbers = Numbers::new(11);
        let lines: String = (0..count)
            .map(|_| format!("{}\n", numbers.draw() % 10_000_000))
            .collect();
        lines.into_bytes()
    })
}

/// Written under a name of its own and renamed, so that tests in parallel never see half a file.
fn cached(name: &str, generate: impl FnOnce() -> Vec<u8>) -> PathBuf {
    let path = scratch::cache("data").join(name);
    if !path.exists() {
        let thread = format!("{:?}", std::thread::current().id());
        let unfinished = path.with_extension(format!("{}-{thread}", std::process::id()));
        std::fs::write(&unfinished, generate()).expect("the target directory takes test data");
        std::fs::rename(&unfinished, &path).expect("both names lie in one directory");
    }
    needs::note(&path);
    path
}
