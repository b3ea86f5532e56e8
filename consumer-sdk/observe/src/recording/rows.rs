//! Rows of a table, as columns of plain numbers, a few thousand rows at a time.

use crate::failure::Failure;
use arrow::array::{Array, DictionaryArray, Int32Array, Int64Array, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

/// Rows that are looked at together: few enough to stay in the processor's cache.
const BATCH: usize = 16 << 10;
/// Batches that are decoded ahead.
const AHEAD: usize = 8;
/// With fewer rows, a second thread costs more than it saves.
const WORTH_A_THREAD: u64 = 200_000;

/// One file. It is open only while it is read: a long recording has more of them than may be open at once.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    rows: u64,
}

impl Part {
    /// Reads what a file says of itself.
    ///
    /// # Errors
    /// It cannot be read, or is no Parquet file.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Failure> {
        let (_, metadata) = open(&path)?;
        let rows = rows_of(metadata.metadata());
        Ok(Self { path, rows })
    }

    /// Hands the rows to `take`, which says whether it wants more.
    fn decode(
        &self,
        columns: &[&str],
        take: &mut dyn FnMut(Result<Batch, Failure>) -> bool,
    ) -> bool {
        let batches = match self.batches(columns) {
            Ok(batches) => batches,
            Err(failure) => return take(Err(failure)),
        };
        let path = || self.path.clone();
        let batch = |rows| Batch { path: path(), rows };
        batches
            .map(|rows| rows.map(batch).map_err(|cause| damaged(&self.path, cause)))
            .all(take)
    }

    fn batches(&self, columns: &[&str]) -> Result<ParquetRecordBatchReader, Failure> {
        let (file, metadata) = open(&self.path)?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let wanted = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let mut builder = builder.with_projection(wanted).with_batch_size(BATCH);
        // While it is recorded, a file may be replaced by one with more rows: all passes shall see the same.
        if rows_of(builder.metadata()) != self.rows {
            builder = builder.with_limit(usize::try_from(self.rows).unwrap_or(usize::MAX));
        }
        builder.build().map_err(|cause| damaged(&self.path, cause))
    }
}

/// How many rows a file says that it has.
fn rows_of(metadata: &ParquetMetaData) -> u64 {
    u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0)
}

/// Opens a file, with the types that its columns shall have in memory.
fn open(path: &Path) -> Result<(File, ArrowReaderMetadata), Failure> {
    let remedy = "Check its permissions";
    let file = File::open(path).map_err(|e| Failure::of_file("read", path, e, remedy))?;
    // The types of the file itself, whatever the library that wrote it had in memory.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&file, options.clone());
    let metadata = metadata.map_err(|cause| damaged(path, cause))?;
    let fields = metadata.schema().fields().iter();
    let fields: Vec<Field> = fields.map(|field| in_memory(field)).collect();
    let options = options.with_schema(Arc::new(Schema::new(fields)));
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options);
    Ok((file, metadata.map_err(|cause| damaged(path, cause))?))
}

/// How a column is held in memory: texts of which there are few different ones only once.
fn in_memory(field: &Field) -> Field {
    let repeats = matches!(field.name().as_str(), "kind" | "class" | "permissions");
    match field.data_type() {
        DataType::Utf8 if repeats => {
            let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            field.clone().with_data_type(kind)
        }
        _ => field.clone(),
    }
}

fn damaged(path: &Path, cause: impl std::fmt::Display) -> Failure {
    Failure::Other(format!(
        "{} is damaged: {cause}. Move it out of the recording to see what the other files have",
        path.display()
    ))
}

/// The rows of one table and one program.
#[derive(Debug)]
pub(crate) struct Rows {
    parts: Vec<Part>,
}

impl Rows {
    pub(super) fn of(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Hands all of them to `visit` in their order, some thousands at a time, with these columns only. Where there are
    /// many, a second thread decodes ahead.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged; and what `visit` fails with.
    pub(crate) fn visit(
        &self,
        columns: &[&str],
        visit: impl FnMut(&Batch) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.count() < WORTH_A_THREAD {
            true => self.visit_here(columns, visit),
            false => self.visit_ahead(columns, visit),
        }
    }

    fn visit_ahead(
        &self,
        columns: &[&str],
        mut visit: impl FnMut(&Batch) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (sender, batches) = mpsc::sync_channel(AHEAD);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Fails when the other end has seen enough.
                let mut send = |batch| sender.send(batch).is_ok();
                self.parts
                    .iter()
                    .all(|part| part.decode(columns, &mut send));
            });
            batches.into_iter().try_for_each(|batch| visit(&batch?))
        })
    }

    fn visit_here(
        &self,
        columns: &[&str],
        mut visit: impl FnMut(&Batch) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut outcome = Ok(());
        let mut take = |batch: Result<Batch, Failure>| {
            outcome = batch.and_then(|batch| visit(&batch));
            outcome.is_ok()
        };
        self.parts
            .iter()
            .all(|part| part.decode(columns, &mut take));
        outcome
    }
}

/// Some thousand rows.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The file that they are from, for complaints.
    path: PathBuf,
    rows: RecordBatch,
}

impl Batch {
    /// How many rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// A column of whole numbers of 64 bits.
    ///
    /// # Errors
    /// There is none of this name, or it is another type.
    pub(crate) fn i64(&self, name: &str) -> Result<&[i64], Failure> {
        let column: &Int64Array = self.column(name)?;
        Ok(column.values())
    }

    /// A column of whole numbers of 64 bits that count something, and so are not negative.
    ///
    /// # Errors
    /// See [`Self::i64`]; a negative number.
    pub(crate) fn counts(&self, name: &str) -> Result<&[i64], Failure> {
        let counts = self.i64(name)?;
        match counts.iter().find(|&&count| count < 0) {
            None => Ok(counts),
            Some(count) => Err(self.damaged(format_args!("its column {name} has {count}"))),
        }
    }

    /// A column of whole numbers of 32 bits without sign.
    ///
    /// # Errors
    /// See [`Self::i64`].
    pub(crate) fn u32(&self, name: &str) -> Result<&[u32], Failure> {
        let column: &UInt32Array = self.column(name)?;
        Ok(column.values())
    }

    /// A column of whole numbers of 32 bits that may be missing.
    ///
    /// # Errors
    /// See [`Self::i64`].
    pub(crate) fn optional_i32(&self, name: &str) -> Result<&Int32Array, Failure> {
        self.typed(name)
    }

    /// A column of texts.
    ///
    /// # Errors
    /// See [`Self::i64`].
    pub(crate) fn text(&self, name: &str) -> Result<&StringArray, Failure> {
        self.column(name)
    }

    /// A column of texts with few different ones: for each row which, and all of them.
    ///
    /// # Errors
    /// See [`Self::i64`].
    pub(crate) fn words(&self, name: &str) -> Result<(&[i32], &StringArray), Failure> {
        let column: &DictionaryArray<Int32Type> = self.column(name)?;
        let words = column.values().as_any().downcast_ref();
        let words = words.ok_or_else(|| self.damaged(format_args!("{name} is no text")))?;
        Ok((column.keys().values(), words))
    }

    /// The complaint that something in the file cannot be.
    pub(crate) fn damaged(&self, what: impl std::fmt::Display) -> Failure {
        damaged(&self.path, what)
    }

    /// A column in which no value is missing.
    fn column<A: Array + 'static>(&self, name: &str) -> Result<&A, Failure> {
        let column: &A = self.typed(name)?;
        match column.null_count() {
            0 => Ok(column),
            empty => Err(self.damaged(format_args!("its column {name} is empty in {empty} rows"))),
        }
    }

    fn typed<A: Array + 'static>(&self, name: &str) -> Result<&A, Failure> {
        let column = self.rows.column_by_name(name);
        let column = column.ok_or_else(|| self.damaged(format_args!("it has no column {name}")))?;
        column.as_any().downcast_ref().ok_or_else(|| {
            let kind = column.data_type();
            self.damaged(format_args!("its column {name} has the type {kind}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::reader::ProgramId;
    use crate::recording::sample::{Sample, written};
    use crate::recording::schema::Table;

    const ID: ProgramId = ProgramId { pid: 7, program: 0 };

    /// 100 rows in files of 7.
    fn rows(sample: &mut Sample) -> Rows {
        for epoch in 1..=100 {
            sample.event(7, written(epoch, 5, 0));
        }
        sample.rows_in_a_file = 7;
        sample.written().rows(Table::Events, ID).unwrap()
    }

    #[test]
    fn a_thread_that_decodes_ahead_keeps_the_order_and_stops_when_nobody_wants_more() {
        let mut sample = Sample::new();
        let rows = rows(&mut sample);
        assert_eq!(rows.count(), 100);
        let mut seen = Vec::new();
        rows.visit_ahead(&["epoch"], |batch| {
            seen.extend_from_slice(batch.u32("epoch")?);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (1..=100).collect::<Vec<u32>>());
        let mut batches = 0;
        let outcome = rows.visit_ahead(&["epoch"], |batch| {
            batches += 1;
            batch.u32("addr").map(drop)
        });
        assert!(outcome.unwrap_err().to_string().contains("no column addr"));
        assert_eq!(batches, 1);
    }

    #[test]
    fn rows_that_come_while_it_is_read_are_left_for_the_next_time() {
        let mut sample = Sample::new();
        let before = rows(&mut sample);
        sample.rows_in_a_file = 50;
        sample.written();
        let mut seen = 0;
        let mut count = |batch: &Batch| {
            seen += batch.len();
            Ok(())
        };
        before.visit(&["epoch"], &mut count).unwrap();
        assert_eq!(seen, 100);
    }

    #[test]
    fn a_column_of_another_type_is_named() {
        let mut sample = Sample::new();
        let rows = rows(&mut sample);
        let outcome = rows.visit(&["addr"], |batch| batch.u32("addr").map(drop));
        let complaint = outcome.unwrap_err().to_string();
        assert!(
            complaint.contains("its column addr has the type Int64"),
            "{complaint}"
        );
    }
}
