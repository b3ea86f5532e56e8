//! Pages that the kernel wrote for the program, from the spans that the relay reports to one event a page
//! and epoch.

use std::ops::Range;

use vmmload_consumer::Kind;

use super::book::Book;
use crate::guest::layout::PAGE;
use crate::process::mappings::Mappings;

/// Pages noted before those that are the same are added up.
const COMPACT_AT: usize = 4096;

/// What was written in the present epoch.
pub(super) struct KernelWrites {
    /// Pages with the bytes written in them; several entries may be of one page.
    pages: Vec<(u64, u64)>,
    compact_at: usize,
    bytes: u64,
}

impl Default for KernelWrites {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            compact_at: COMPACT_AT,
            bytes: 0,
        }
    }
}

impl KernelWrites {
    /// Notes `len` bytes at `addr`.
    pub(super) fn add(&mut self, addr: u64, len: u64) {
        let end = addr.saturating_add(len);
        self.bytes += end - addr;
        let mut at = addr;
        while at < end {
            let page = at & !(PAGE - 1);
            let stop = end.min(page.saturating_add(PAGE));
            self.pages.push((page, stop - at));
            at = stop;
        }
        if self.pages.len() >= self.compact_at {
            self.compact();
            self.compact_at = COMPACT_AT.max(2 * self.pages.len());
        }
    }

    /// Whether nothing was written in the present epoch so far.
    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// All bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes events of everything noted.
    pub(super) fn settle(&mut self, book: &mut Book, table: &Mappings) {
        self.compact();
        for (page, bytes) in self.pages.drain(..) {
            count(book, table, page, bytes);
        }
        self.compact_at = COMPACT_AT;
    }

    /// Makes events of what was noted in `range`, whose mapping is about to go.
    pub(super) fn settle_range(&mut self, book: &mut Book, table: &Mappings, range: &Range<u64>) {
        if !self.pages.iter().any(|(page, _)| range.contains(page)) {
            return;
        }
        self.compact();
        let inside = |entry: &mut (u64, u64)| range.contains(&entry.0);
        for (page, bytes) in self.pages.extract_if(.., inside) {
            count(book, table, page, bytes);
        }
    }

    fn compact(&mut self) {
        self.pages.sort_unstable_by_key(|&(page, _)| page);
        self.pages.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }
}

fn count(book: &mut Book, table: &Mappings, page: u64, bytes: u64) {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    book.count(table, page, Kind::Kernel, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_added_up_by_page() {
        let mut writes = KernelWrites::default();
        writes.add(0x1ff0, 0x20);
        writes.add(0x2000, 4);
        writes.add(0x1000, 1);
        writes.add(0x5000, 0);
        writes.compact();
        assert_eq!(writes.pages, [(0x1000, 0x11), (0x2000, 0x14)]);
        assert_eq!(writes.bytes(), 0x25);
    }

    #[test]
    fn many_writes_to_few_pages_take_little_memory() {
        let mut writes = KernelWrites::default();
        for i in 0..100_000u64 {
            writes.add(0x1000 * (i % 10), 8);
        }
        assert!(writes.pages.len() <= COMPACT_AT, "{}", writes.pages.len());
        writes.compact();
        assert_eq!(writes.pages.len(), 10);
        assert!(writes.pages.iter().all(|&(_, bytes)| bytes == 80_000));
    }
}
