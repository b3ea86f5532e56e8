//! Rows of one table and program that wait to be written, or are and will be written again with more.
//!
//! Files are few if each has many rows, and much is lost with a recorder that is killed if they are written late. So a file
//! is written early, and replaced by one that has more rows until it has enough.

/// See the module.
#[derive(Debug)]
pub(crate) struct Pile<R> {
    rows: Vec<R>,
    /// Memory of the rows, with what they point to.
    bytes: usize,
    /// Rows that are in the file already.
    filed: usize,
    /// Number of the file that they belong to.
    part: u32,
    /// Bytes of that file.
    size: u64,
}

impl<R> Default for Pile<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            bytes: 0,
            filed: 0,
            part: 0,
            size: 0,
        }
    }
}

impl<R> Pile<R> {
    /// Puts a row on top, which takes so many bytes.
    pub(crate) fn push(&mut self, row: R, bytes: usize) {
        self.rows.push(row);
        self.bytes += bytes;
    }

    /// Puts rows on top that point to nothing, and leaves `rows` empty.
    pub(crate) fn append(&mut self, rows: &mut Vec<R>) {
        self.bytes += size_of_val(&rows[..]);
        self.rows.append(rows);
    }

    pub(crate) fn rows(&self) -> &[R] {
        &self.rows
    }

    /// Memory of the rows.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there are rows that no file has.
    pub(crate) fn is_dirty(&self) -> bool {
        self.rows.len() > self.filed
    }

    /// Puts the rows into an order in which they take less room in the file.
    pub(crate) fn sort_by_key<K: Ord>(&mut self, key: impl FnMut(&R) -> K) {
        // Stable: most of them are in order, since they were before.
        self.rows.sort_by_key(key);
    }

    /// Whether there has never been a row.
    pub(crate) fn is_untouched(&self) -> bool {
        self.part == 0 && self.rows.is_empty()
    }

    /// Number of the file that the rows belong to.
    pub(crate) fn part(&self) -> u32 {
        self.part
    }

    /// The rows are in their file, which has so many bytes; gives how many more than before.
    pub(crate) fn set_filed(&mut self, size: u64) -> i64 {
        let more = size.cast_signed() - self.size.cast_signed();
        (self.filed, self.size) = (self.rows.len(), size);
        more
    }

    /// Forgets the rows, all of which are in their file; those to come belong to the next one.
    pub(crate) fn release(&mut self) {
        debug_assert!(!self.is_dirty(), "rows would be lost");
        if !self.rows.is_empty() {
            *self = Self {
                part: self.part + 1,
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_by_one_with_more_rows_until_it_is_released() {
        let mut pile = Pile::default();
        assert!(pile.is_untouched());
        pile.push(1, 10);
        assert!(pile.is_dirty());
        assert_eq!(pile.set_filed(100), 100);
        assert!(!pile.is_dirty());
        pile.append(&mut vec![2, 3]);
        assert!(pile.is_dirty());
        assert_eq!(
            (pile.part(), pile.rows(), pile.bytes()),
            (0, &[1, 2, 3][..], 18)
        );
        assert_eq!(pile.set_filed(150), 50);
        pile.release();
        assert_eq!((pile.part(), pile.rows(), pile.bytes()), (1, &[][..], 0));
        assert!(!pile.is_untouched() && !pile.is_dirty());
        pile.release();
        assert_eq!(pile.part(), 1);
    }
}
