//! The rows of the table of events, as the passes over it see them.

use crate::failure::Failure;
use crate::recording::rows::{Batch, Rows};

/// Kinds, as they are numbered in the model.
pub(super) const KINDS: [&str; 3] = ["write", "read", "kernel"];
/// Number of the kernel's kind.
pub(super) const KERNEL: usize = 2;

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) time_ns: i64,
    pub(super) epoch: u32,
    pub(super) address: u64,
    /// Index into [`KINDS`].
    pub(super) kind: usize,
    pub(super) count: u64,
    /// Distinct pages.
    pub(super) pages: u64,
    pub(super) mapping: u32,
}

/// Hands each row to `take`, in the order in which they were recorded.
///
/// # Errors
/// A file that cannot be read or is damaged, or a kind that this program does not know.
pub(super) fn each(rows: &Rows, mut take: impl FnMut(&Row)) -> Result<(), Failure> {
    const COLUMNS: [&str; 7] = [
        "time_ns", "epoch", "addr", "kind", "count", "pages", "mapping",
    ];
    rows.visit(&COLUMNS, |batch| {
        let (times, epochs) = (batch.i64("time_ns")?, batch.u32("epoch")?);
        let (addresses, mappings) = (batch.i64("addr")?, batch.u32("mapping")?);
        let (counts, pages) = (batch.counts("count")?, batch.counts("pages")?);
        let (keys, kinds) = kinds(batch)?;
        for row in 0..batch.len() {
            take(&Row {
                time_ns: times[row],
                epoch: epochs[row],
                address: addresses[row] as u64,
                kind: kinds[keys[row] as usize],
                count: counts[row] as u64,
                pages: pages[row] as u64,
                mapping: mappings[row],
            });
        }
        Ok(())
    })
}

/// What the heat map needs of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) time_ns: i64,
    pub(super) address: u64,
    /// Index into [`KINDS`].
    pub(super) kind: usize,
    pub(super) count: u64,
}

/// Like [`each`], with fewer columns.
///
/// # Errors
/// Like [`each`].
pub(super) fn each_place(rows: &Rows, mut take: impl FnMut(&Place)) -> Result<(), Failure> {
    rows.visit(&["time_ns", "addr", "kind", "count"], |batch| {
        let (times, addresses) = (batch.i64("time_ns")?, batch.i64("addr")?);
        let counts = batch.counts("count")?;
        let (keys, kinds) = kinds(batch)?;
        for row in 0..batch.len() {
            take(&Place {
                time_ns: times[row],
                address: addresses[row] as u64,
                kind: kinds[keys[row] as usize],
                count: counts[row] as u64,
            });
        }
        Ok(())
    })
}

/// For each row which word it has, and for each word which kind that is.
fn kinds(batch: &Batch) -> Result<(&[i32], Vec<usize>), Failure> {
    let (keys, words) = batch.words("kind")?;
    let number = |word: Option<&str>| {
        let word = word.unwrap_or_default();
        let known = KINDS.iter().position(|&kind| kind == word);
        known.ok_or_else(|| batch.damaged(format_args!("it has events of a kind \"{word}\"")))
    };
    Ok((keys, words.iter().map(number).collect::<Result<_, _>>()?))
}
