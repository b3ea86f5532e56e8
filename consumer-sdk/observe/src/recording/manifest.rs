//! `recording.json`: what a recording is of, and how it ended.

use serde::{Deserialize, Serialize};

/// The version of the layout that this program writes. It reads those with the same number in front of the dot.
pub(crate) const FORMAT: &str = "vmmload-recording 1.0";

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// [`FORMAT`].
    pub(crate) format: String,
    /// Identity of the recording: when it began, and by which process.
    pub(crate) recording: String,
    /// Version of the program that wrote it.
    pub(crate) vmmload: String,
    /// What was recorded, for people: the command line, or `process 4711`.
    pub(crate) what: String,
    /// When it began, RFC 3339.
    pub(crate) began: String,
    /// When it ended; `None` while it is being written, or where the recorder could not say so any more.
    pub(crate) ended: Option<String>,
    /// How it ended.
    pub(crate) end: End,
    /// The reason in words, where it ended early, with what to do about it.
    pub(crate) reason: Option<String>,
    /// Exit status of the command, as a shell would show it; `None` where there was none, or it is not known.
    pub(crate) status: Option<i32>,
    /// What became one row.
    pub(crate) resolution: Option<RowOf>,
    /// Rows in the table of events.
    pub(crate) rows: u64,
    /// Records lost, of all processes.
    pub(crate) lost: u64,
    /// Processes, programs that they executed included, that were recorded.
    pub(crate) processes: u64,
    /// Processes that came and went too fast to be recorded.
    pub(crate) missed: u64,
    /// The machine.
    pub(crate) machine: MachineFacts,
    /// The process that writes it, while it does.
    pub(crate) recorder: Option<Recorder>,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    /// It is being written; or its recorder is gone without having said so, and the files are what there is.
    Unfinished,
    /// All processes had ended.
    Complete,
    /// It was asked to stop: by a signal, or `--for` was over.
    Stopped,
    /// It could not go on: no room on the disk, for example.
    Failed,
}

/// What is one row of the table of events, where it is not one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowOf {
    /// Nanoseconds.
    pub(crate) time_ns: u64,
    /// Bytes of addresses.
    pub(crate) bytes: u64,
}

/// The machine that a recording was made on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineFacts {
    /// Its name.
    pub(crate) host: String,
    /// Version of its kernel.
    pub(crate) kernel: String,
    /// Its processor, as the kernel calls it.
    pub(crate) processor: String,
    /// How many processors are online.
    pub(crate) processors: u32,
    /// Memory, bytes.
    pub(crate) memory: u64,
}

/// A process that writes a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorder {
    /// Its id.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start_ticks: u64,
}
