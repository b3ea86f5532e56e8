//! Recordings for tests: real ones, with rows as a test wants them.

use super::MANIFEST;
use super::manifest::{End, FORMAT, MachineFacts, Manifest};
use super::reader::Recording;
use super::schema::{Table, Type};
use arrow::array::{
    ArrayRef, Int32Array, Int64Array, StringArray, TimestampNanosecondArray, UInt32Array,
};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A value of a row.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Number(i64),
    Text(String),
    Nothing,
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The values of a row that are not zero or empty.
pub(crate) type Row = Vec<(&'static str, Value)>;

/// A recording in a directory of its own, which goes with it.
#[derive(Debug)]
pub(crate) struct Sample {
    directory: PathBuf,
    pub(crate) manifest: Manifest,
    rows: BTreeMap<(Table, u32, u32), Vec<Row>>,
    /// Rows in each file.
    pub(crate) rows_in_a_file: usize,
}

impl Sample {
    /// Of nothing yet.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vmmload-sample-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory for a sample");
        Self {
            directory,
            manifest: manifest(),
            rows: BTreeMap::new(),
            rows_in_a_file: 1000,
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// Adds a row to a table of a program of a process.
    pub(crate) fn row(&mut self, table: Table, pid: u32, program: u32, row: Row) {
        self.rows
            .entry((table, pid, program))
            .or_default()
            .push(row);
    }

    /// Adds an event of one page or block.
    pub(crate) fn event(&mut self, pid: u32, event: Event) {
        let Event {
            epoch,
            page,
            kind,
            count,
            pages,
            mapping,
        } = event;
        let row = vec![
            ("time_ns", start_of(epoch).into()),
            ("epoch", i64::from(epoch).into()),
            ("addr", ((page as i64) << 12).into()),
            ("kind", kind.into()),
            ("count", count.into()),
            ("pages", pages.into()),
            ("mapping", i64::from(mapping).into()),
        ];
        self.row(Table::Events, pid, 0, row);
    }

    /// Adds epochs 1 to `last` of 100 ms, the first of which begins with the process.
    pub(crate) fn epochs(&mut self, pid: u32, last: u32, touched: impl Fn(u32) -> i64) {
        for epoch in 1..=last {
            let row = vec![
                ("epoch", i64::from(epoch).into()),
                ("start_ns", start_of(epoch).into()),
                ("end_ns", start_of(epoch + 1).into()),
                ("cost_ns", 1_000_000.into()),
                ("ticks", 1.into()),
                ("touched", touched(epoch).into()),
                ("written", touched(epoch).into()),
            ];
            self.row(Table::Epochs, pid, 0, row);
        }
    }

    /// Adds a mapping of some pages.
    pub(crate) fn mapping(&mut self, pid: u32, id: u32, page: u64, pages: u64, name: &str) {
        let class = match name {
            "" => "anonymous",
            "[heap]" => "heap",
            "[stack]" => "stack",
            _ => "file",
        };
        let row = vec![
            ("mapping", i64::from(id).into()),
            ("start", ((page as i64) << 12).into()),
            ("end", (((page + pages) as i64) << 12).into()),
            ("name", name.into()),
            ("class", class.into()),
            ("permissions", "rw-p".into()),
        ];
        self.row(Table::Mappings, pid, 0, row);
    }

    /// Adds the row of a process that began at [`START`], with these values besides.
    pub(crate) fn process(&mut self, pid: u32, command: &str, more: Row) {
        let mut row = vec![
            ("command", command.into()),
            ("start_ns", START.into()),
            ("attached_ns", START.into()),
            ("last_ns", start_of(11).into()),
            ("interval_ns", INTERVAL.into()),
            ("max_overhead", 33.into()),
            ("track", "write".into()),
            ("end", "exited".into()),
            ("status", 0.into()),
            ("resident_pages", (-1).into()),
        ];
        row.extend(more);
        self.row(Table::Processes, pid, 0, row);
    }

    /// Writes the manifest alone.
    pub(crate) fn write_manifest(&self) {
        let text = serde_json::to_string(&self.manifest).expect("a manifest is JSON");
        fs::write(self.directory.join(MANIFEST), text).expect("the manifest can be written");
    }

    /// Writes everything, and opens it.
    pub(crate) fn written(&self) -> Recording {
        for ((table, pid, program), rows) in &self.rows {
            let directory = self
                .directory
                .join(table.name())
                .join(format!("process={pid}-{program}"));
            fs::create_dir_all(&directory).expect("a directory for a table");
            for (number, rows) in rows.chunks(self.rows_in_a_file).enumerate() {
                let path = directory.join(format!("part-{number:06}.parquet"));
                write(&path, *table, rows);
            }
        }
        self.write_manifest();
        Recording::open(&self.directory).expect("a sample is a recording")
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// When processes of samples start, CLOCK_MONOTONIC nanoseconds.
pub(crate) const START: i64 = 5_000_000_000;
/// Their epochs, nanoseconds.
pub(crate) const INTERVAL: i64 = 100_000_000;

/// When an epoch begins, as nearly as a real one does.
pub(crate) fn start_of(epoch: u32) -> i64 {
    START + (i64::from(epoch) - 1) * INTERVAL + i64::from(epoch * 7919 % 1000) * 1000
}

/// A row of events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) epoch: u32,
    pub(crate) page: u64,
    pub(crate) kind: &'static str,
    pub(crate) count: i64,
    pub(crate) pages: i64,
    pub(crate) mapping: u32,
}

/// A page that was written in an epoch.
pub(crate) fn written(epoch: u32, page: u64, mapping: u32) -> Event {
    Event {
        epoch,
        page,
        kind: "write",
        count: 1,
        pages: 1,
        mapping,
    }
}

fn manifest() -> Manifest {
    Manifest {
        format: FORMAT.into(),
        recording: "sample".into(),
        vmmload: "0.1.0".into(),
        what: "./solver input.dat".into(),
        began: "2025-01-01T12:00:00Z".into(),
        ended: Some("2025-01-01T12:00:01Z".into()),
        end: End::Complete,
        reason: None,
        status: Some(0),
        resolution: None,
        rows: 0,
        lost: 0,
        processes: 1,
        missed: 0,
        machine: MachineFacts {
            host: "host".into(),
            kernel: "6.1".into(),
            processor: "Processor".into(),
            processors: 2,
            memory: 8 << 30,
        },
        recorder: None,
    }
}

fn write(path: &Path, table: Table, rows: &[Row]) {
    let value = |row: &Row, name: &str| {
        let found = row.iter().rev().find(|(column, _)| *column == name);
        found.map_or(Value::Nothing, |(_, value)| value.clone())
    };
    let number = |value: Value| match value {
        Value::Number(number) => number,
        _ => 0,
    };
    let columns = table.columns().map(|column| -> ArrayRef {
        let values = rows.iter().map(|row| value(row, column.name));
        match column.kind {
            Type::U32 => Arc::new(UInt32Array::from_iter_values(
                values.map(|value| number(value) as u32),
            )),
            Type::I64 => Arc::new(Int64Array::from_iter_values(values.map(number))),
            Type::Time => Arc::new(
                TimestampNanosecondArray::from_iter_values(values.map(number)).with_timezone("UTC"),
            ),
            Type::Text => Arc::new(StringArray::from_iter_values(values.map(
                |value| match value {
                    Value::Text(text) => text,
                    _ => String::new(),
                },
            ))),
            Type::OptionalI32 => Arc::new(Int32Array::from_iter(values.map(|value| match value {
                Value::Number(number) => Some(number as i32),
                _ => None,
            }))),
        }
    });
    let batch = RecordBatch::try_new(table.schema(), columns.collect()).expect("rows of a table");
    let file = File::create(path).expect("a file for a table");
    let mut writer = ArrowWriter::try_new(file, table.schema(), None).expect("a Parquet writer");
    writer.write(&batch).expect("rows can be written");
    writer.close().expect("a file can be ended");
}
