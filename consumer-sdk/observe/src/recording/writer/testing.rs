//! What tests of recordings need: processes with segments, directories, and what is in files.

use crate::recording::schema::Table;
use crate::recording::writer::facts::{Counts, Origin};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use vmmload_consumer::{Consumer, SegmentConfig, SegmentWriter};

/// A sleeping child and the segment that a test writes for it.
pub(crate) struct Process {
    child: Child,
    pub(crate) writer: SegmentWriter,
}

impl Process {
    /// With a ring of so many records.
    pub(crate) fn start(ring_records: u32) -> Self {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let config = SegmentConfig {
            command: b"prog\0--option\0".to_vec(),
            ring_records,
            heat_pages: 16,
            ..SegmentConfig::new(child.id())
        };
        let writer = SegmentWriter::create(&config).unwrap();
        Self { child, writer }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What is known of it.
    pub(crate) fn facts(&self) -> (Origin, Counts) {
        let consumer = Consumer::attach(self.pid()).unwrap();
        let origin = Origin::of(&consumer);
        let counts = Counts {
            info: consumer.info(),
            lost: 0,
            marks_lost: 0,
            last_ns: origin.attached_ns,
            mapped_pages: 0,
            most_mapped_pages: 0,
        };
        (origin, counts)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A directory that goes away with the value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("vmmload-recording-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All files below a directory, hidden ones included.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let found = entries.flat_map(|entry| match entry.path() {
        path if path.is_dir() => files(&path),
        path => vec![path],
    });
    let mut found: Vec<PathBuf> = found.collect();
    found.sort();
    found
}

/// The rows of one table of a recording.
pub(crate) fn rows(root: &Path, table: Table) -> Vec<RecordBatch> {
    let files = files(&root.join(table.name()));
    let read = |path: &PathBuf| {
        let file = File::open(path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        reader.build().unwrap().map(Result::unwrap)
    };
    files.iter().flat_map(read).collect()
}

/// One column of whole numbers.
pub(crate) fn numbers(rows: &[RecordBatch], column: &str) -> Vec<i64> {
    let values = |batch: &RecordBatch| {
        let column = batch.column_by_name(column).unwrap();
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    rows.iter().flat_map(values).collect()
}
