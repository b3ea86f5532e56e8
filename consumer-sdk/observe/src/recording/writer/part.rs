//! Files of a recording: how rows are encoded, and how a file comes to its name.

use crate::recording::schema::Table;
use crate::recording::writer::Key;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Rows of a row group: what an engine reads at least, and what it can leave out by its statistics.
pub(crate) const GROUP_ROWS: usize = 1 << 20;

/// The columns that grow or jump from row to row: their differences are smaller than they are, and a dictionary of them
/// would only be in the way.
const DIFFERENCES: [&str; 6] = ["time", "time_ns", "addr", "start_ns", "end_ns", "cost_ns"];

/// How the tables with many rows are written.
static LONG: LazyLock<WriterProperties> = LazyLock::new(|| {
    let plain = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by(format!("vmmload {}", env!("CARGO_PKG_VERSION")));
    let columns = DIFFERENCES.map(|name| ColumnPath::from(name.to_owned()));
    let with_differences = columns.into_iter().fold(plain, |properties, column| {
        properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
    });
    with_differences.build()
});

/// How the table with one row for each file is written: what describes the columns is most of it.
static SHORT: LazyLock<WriterProperties> = LazyLock::new(|| {
    WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_created_by(format!("vmmload {}", env!("CARGO_PKG_VERSION")))
        .build()
});

/// The bytes of a file with these rows.
///
/// # Errors
/// None that depends on the rows: the columns are those of the table.
pub(crate) fn encode(
    table: Table,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<Vec<u8>, ParquetError> {
    let properties = match table {
        Table::Processes => &SHORT,
        _ => &LONG,
    };
    // What it says of Arrow's types says nothing that the types of Parquet do not.
    let options = ArrowWriterOptions::new()
        .with_properties(WriterProperties::clone(properties))
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), table.schema(), options)?;
    for batch in batches {
        writer.write(&batch?)?;
    }
    writer.into_inner()
}

/// Where the files of one table and program are.
pub(crate) fn directory_of(root: &Path, table: Table, key: Key) -> PathBuf {
    let Key { pid, program } = key;
    root.join(table.name())
        .join(format!("process={pid}-{program}"))
}

/// Writes a file, or replaces it. It has its name only when it is complete.
///
/// # Errors
/// As for std::fs::write and std::fs::rename.
pub(crate) fn put(directory: &Path, part: u32, content: &[u8]) -> io::Result<()> {
    let unfinished = directory.join(format!(".part-{part:06}.unfinished"));
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&unfinished, content))
        .and_then(|()| {
            std::fs::rename(
                &unfinished,
                directory.join(format!("part-{part:06}.parquet")),
            )
        });
    if written.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}
