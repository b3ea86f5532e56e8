//! One program as the writing thread has it: what is known of it, and its piles of rows.

use crate::failure::Failure;
use crate::recording::schema::Table;
use crate::recording::writer::columns::{self, Frame, Recorded};
use crate::recording::writer::facts::{Counts, Origin};
use crate::recording::writer::pile::Pile;
use crate::recording::writer::resolution::{Aggregate, Row};
use crate::recording::writer::{EpochRow, Key, Look, MappingRow};
use crate::recording::writer::{bytes_of_mapping, bytes_of_mark, part};
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use std::path::{Path, PathBuf};
use vmmload_consumer::{Event, Mark, Status};

/// Rows turned into columns at a time.
const BATCH_ROWS: usize = 1 << 16;

/// What to do about a recording that cannot be written.
const REMEDY: &str =
    "Make room there, or record less: --resolution 1s, say. What was written before is complete";

/// Where files go.
#[derive(Debug)]
pub(crate) struct Place {
    /// The recording's directory.
    pub(crate) root: PathBuf,
    /// Its identity.
    pub(crate) recording: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Process {
    key: Key,
    origin: Origin,
    counts: Counts,
    status: Status,
    events: Pile<Row>,
    epochs: Pile<EpochRow>,
    mappings: Pile<MappingRow>,
    marks: Pile<Mark>,
    aggregate: Option<Aggregate>,
    /// Rows of the table of events, and the counts in them.
    rows: u64,
    event_count: u64,
    /// Those of them that files have.
    filed: (u64, u64),
    epoch_count: u64,
    /// Something has changed since its row was written.
    is_stale: bool,
    /// Bytes of its row's file.
    row_size: u64,
    /// Tables without rows get files, too: a table without any file cannot be asked.
    even_empty: bool,
}

impl Process {
    /// One of which there is nothing yet.
    pub(crate) fn new(
        key: Key,
        origin: Origin,
        counts: Counts,
        aggregate: Option<Aggregate>,
        even_empty: bool,
    ) -> Self {
        Self {
            key,
            origin,
            counts,
            status: Status::Running,
            events: Pile::default(),
            epochs: Pile::default(),
            mappings: Pile::default(),
            marks: Pile::default(),
            aggregate,
            rows: 0,
            event_count: 0,
            filed: (0, 0),
            epoch_count: 0,
            is_stale: true,
            row_size: 0,
            even_empty,
        }
    }

    /// Takes records. Gives how many rows they became, and how many events are in those.
    pub(crate) fn add_events(&mut self, events: Vec<Event>) -> (u64, u64) {
        let mut rows: Vec<Row> = match &mut self.aggregate {
            None => events.into_iter().map(Row::from).collect(),
            Some(aggregate) => {
                let mut done = Vec::new();
                for event in events {
                    aggregate.add(event, &mut done);
                }
                done
            }
        };
        self.add_rows(&mut rows)
    }

    fn add_rows(&mut self, rows: &mut Vec<Row>) -> (u64, u64) {
        let added = (
            rows.len() as u64,
            rows.iter().map(|row| row.count).sum::<u64>(),
        );
        self.rows += added.0;
        self.event_count += added.1;
        self.events.append(rows);
        self.is_stale = true;
        added
    }

    /// Takes what was found besides.
    pub(crate) fn add_look(&mut self, mut look: Look) {
        self.epoch_count += look.epochs.len() as u64;
        self.epochs.append(&mut look.epochs);
        for row in look.mappings {
            let bytes = bytes_of_mapping(&row);
            self.mappings.push(row, bytes);
        }
        for mark in look.marks {
            let bytes = bytes_of_mark(&mark);
            self.marks.push(mark, bytes);
        }
        self.counts = look.counts;
        self.is_stale = true;
    }

    /// Nothing more comes. Gives what [`Self::add_events`] does for rows that are complete by that.
    pub(crate) fn end(&mut self, status: Status) -> (u64, u64) {
        self.status = status;
        self.is_stale = true;
        self.complete_rows()
    }

    /// Makes the rows that still grow complete. Gives what [`Self::add_events`] does.
    pub(crate) fn complete_rows(&mut self) -> (u64, u64) {
        let mut rows = Vec::new();
        if let Some(aggregate) = &mut self.aggregate {
            aggregate.finish(&mut rows);
        }
        self.add_rows(&mut rows)
    }

    /// Memory of the rows.
    pub(crate) fn bytes(&self) -> usize {
        let growing = self.aggregate.as_ref().map_or(0, Aggregate::bytes);
        growing
            + self.events.bytes()
            + self.epochs.bytes()
            + self.mappings.bytes()
            + self.marks.bytes()
    }

    /// Rows of the table of events that are in memory and complete.
    pub(crate) fn piled_events(&self) -> usize {
        self.events.rows().len()
    }

    /// Rows of the table of events that no file has, and the counts in them.
    pub(crate) fn unwritten(&self) -> (u64, u64) {
        let (rows, events) = self.filed;
        (self.rows - rows, self.event_count - events)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.counts.lost
    }

    /// Has files say all that is in memory. Gives by how many bytes they have grown.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn save(&mut self, place: &Place) -> Result<i64, Failure> {
        let Place { root, recording } = place;
        let frame = Frame {
            recording,
            key: self.key,
            origin: &self.origin,
        };
        let mut to = Target {
            root,
            frame,
            even_empty: self.even_empty,
            grown: 0,
        };
        if self.aggregate.is_none() && self.events.is_dirty() {
            // A tenth of the size that it has in the order of publication, which means nothing within an epoch.
            self.events
                .sort_by_key(|row| (row.epoch, row.kind, row.addr));
        }
        to.save(Table::Events, &mut self.events, columns::events)?;
        self.filed = (self.rows, self.event_count);
        to.save(Table::Epochs, &mut self.epochs, columns::epochs)?;
        to.save(Table::Mappings, &mut self.mappings, columns::mappings)?;
        to.save(Table::Marks, &mut self.marks, columns::marks)?;
        // Behind the rows: it says how many there are.
        if self.is_stale {
            let growing = self.aggregate.as_ref().and_then(Aggregate::complete_until);
            let recorded = Recorded {
                status: self.status,
                epochs: self.epoch_count,
                rows: self.rows,
                events: self.event_count,
                last_ns: growing.map_or(self.counts.last_ns, |ns| ns.min(self.counts.last_ns)),
            };
            let row = columns::process(frame, &self.counts, recorded);
            let size = to.put(Table::Processes, 0, std::iter::once(row))?;
            to.grown += size.cast_signed() - self.row_size.cast_signed();
            self.row_size = size;
            self.is_stale = false;
        }
        self.even_empty = false;
        Ok(to.grown)
    }

    /// Saves, and keeps nothing in memory. Gives what [`Self::save`] does.
    ///
    /// # Errors
    /// As for [`Self::save`].
    pub(crate) fn release(&mut self, place: &Place) -> Result<i64, Failure> {
        let grown = self.save(place)?;
        self.events.release();
        self.epochs.release();
        self.mappings.release();
        self.marks.release();
        Ok(grown)
    }
}

/// Where the piles of one program go.
struct Target<'a> {
    root: &'a Path,
    frame: Frame<'a>,
    even_empty: bool,
    /// Bytes by which files have grown.
    grown: i64,
}

impl<'a> Target<'a> {
    fn save<R>(
        &mut self,
        table: Table,
        pile: &mut Pile<R>,
        columns: fn(Frame<'a>, &[R]) -> Result<RecordBatch, ArrowError>,
    ) -> Result<(), Failure> {
        if pile.is_dirty() || self.even_empty && pile.is_untouched() {
            let frame = self.frame;
            let batches = pile.rows().chunks(BATCH_ROWS);
            let batches = batches.map(|rows| columns(frame, rows));
            let size = self.put(table, pile.part(), batches)?;
            self.grown += pile.set_filed(size);
        }
        Ok(())
    }

    fn put(
        &self,
        table: Table,
        number: u32,
        batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    ) -> Result<u64, Failure> {
        let content = part::encode(table, batches).map_err(|cause| {
            Failure::Other(format!(
                "rows of the table of {} cannot be encoded: {cause}. Please report this line",
                table.name()
            ))
        })?;
        let directory = part::directory_of(self.root, table, self.frame.key);
        part::put(&directory, number, &content)
            .map_err(|cause| Failure::of_file("write to", &directory, cause, REMEDY))?;
        Ok(content.len() as u64)
    }
}
