//! Which pages changed since: for those who copy, replicate or collect garbage page by page.

use crate::consumer::Consumer;
use crate::heat;
use crate::sync::load_acquire;
use crate::wire::field;
use crate::words::{Counter, Track};

/// What [`Consumer::pages_written_since`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Addresses of the pages, in order.
    pub pages: Vec<u64>,
    /// What to ask with next time, so that nothing is missed in between: the last epoch that had ended.
    pub epoch: u32,
    /// System calls so far of which it is not known where the kernel wrote for them: where this grows, pages
    /// may be missing. The launcher names them in its summary.
    pub unknown_calls: u64,
}

/// Why the pages that were written cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrittenError {
    /// Nobody looks.
    #[error("stores are not tracked in this process; start it without `--track none`")]
    NotTracked,
    /// The heat table was too small, or there was no memory for it.
    #[error(
        "the heat table misses {missing} events; give it more room with `--heat-size`, or make room in /dev/shm"
    )]
    TableFull {
        /// Events that it misses.
        missing: u64,
    },
    /// Asked about an epoch that is yet to come.
    #[error(
        "epoch {epoch} has not ended yet, the last one that has is {ended}; ask with an epoch that an earlier \
         call returned, or with 0 for all pages"
    )]
    Future {
        /// Asked about.
        epoch: u32,
        /// The last one that has ended.
        ended: u32,
    },
}

impl Consumer {
    /// The pages that the program, or the kernel for it, wrote after epoch `epoch` had ended, by address; with 0
    /// all since the start.
    ///
    /// None is missing: a page that was stored to before the end of the returned epoch is here, or was in the
    /// answer to an earlier question. Not even a late reader, or one that lost records, misses any. Pages whose
    /// memory was given back (munmap(2), brk(2), MADV_DONTNEED) are here, too, if they ever had events, since
    /// they read as zeroes when they come again; so are pages that are left alone for a while because they
    /// are written all the time ([`Epoch::left_alone`](crate::Epoch::left_alone)). Pages of the running
    /// epoch may be here already, and then are in the next answer, too.
    ///
    /// Who copies pages must copy them after this call. Not seen are stores by others to memory that they
    /// share with the process, and memory that was moved by mremap(2) or was mapped since and not stored to:
    /// compare [`Self::mappings`] for that.
    ///
    /// # Errors
    /// See [`WrittenError`].
    pub fn pages_written_since(&self, epoch: u32) -> Result<Written, WrittenError> {
        // Pairs with the store in `SegmentWriter::end_epoch`: the cells below have all events until then.
        let ended = load_acquire(self.word(field!(epoch_done))) as u32;
        if self.track() == Some(Track::None) {
            return Err(WrittenError::NotTracked);
        }
        if epoch > ended {
            return Err(WrittenError::Future { epoch, ended });
        }
        let pages = heat::written_since(self.heat_memory(), epoch);
        match self.load(field!(heat_dropped)) {
            0 => Ok(Written {
                pages,
                epoch: ended,
                unknown_calls: self.load(field!(counters) + Counter::UnknownCalls as usize),
            }),
            missing => Err(WrittenError::TableFull { missing }),
        }
    }
}
