//! Calls whose writes are not known, counted by number.

use std::sync::atomic::{AtomicU64, Ordering};

use super::table;

/// How many such calls succeeded. The last place is for all numbers that no table has.
#[derive(Debug)]
pub(crate) struct UnknownCalls([AtomicU64; table::SIZE + 1]);

impl Default for UnknownCalls {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; table::SIZE + 1])
    }
}

impl UnknownCalls {
    pub(super) fn count(&self, nr: u32) {
        let at = (nr as usize).min(table::SIZE);
        self.0[at].fetch_add(1, Ordering::Relaxed);
    }

    /// All together.
    pub(crate) fn total(&self) -> u64 {
        self.0
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// Each with its name, or its number where it has none, and how often it was called; by number.
    pub(super) fn list(&self) -> Vec<(String, u64)> {
        let mut list = Vec::new();
        for (nr, count) in self.0.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                list.push((name(nr), count));
            }
        }
        list
    }
}

fn name(nr: usize) -> String {
    match table::lookup(nr as u32) {
        Some(row) => row.1.to_owned(),
        None if nr == table::SIZE => "others".to_owned(),
        None => format!("number {nr}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_name() {
        let unknown = UnknownCalls::default();
        for nr in [16, 321, 16, 400, 100_000, u32::MAX] {
            unknown.count(nr);
        }
        let expected = [("ioctl", 2), ("bpf", 1), ("number 400", 1), ("others", 2)];
        let expected: Vec<_> = expected.map(|(name, n)| (name.to_owned(), n)).into();
        assert_eq!(unknown.list(), expected);
    }
}
