//! A recording: a directory of Parquet files that any engine reads as tables, and how this program writes and
//! reads it.
//!
//! ```text
//! DIR/recording.json                               what it is of, and how it ended (manifest.rs)
//! DIR/README.txt                                   what its tables and columns say (guide.rs)
//! DIR/TABLE/process=PID-N/part-000000.parquet ...  rows of one table (schema.rs) and one program of one process
//! ```
//!
//! `N` counts the programs that the process has executed while it was recorded. A file has its name only when it is
//! complete: whatever happens to the recorder, all files of the directory can be read.

pub(crate) mod guide;
pub(crate) mod manifest;
pub(crate) mod reader;
pub(crate) mod rows;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod schema;
pub(crate) mod writer;

/// The file that says what a recording is of.
pub(crate) const MANIFEST: &str = "recording.json";
