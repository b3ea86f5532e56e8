//! What a recording says, in the numbers that tables and charts are made of.

use crate::recording::manifest::Manifest;

/// A recording, looked at.
#[derive(Clone, Debug)]
pub(crate) struct Analysis {
    /// What it is of.
    pub(crate) manifest: Manifest,
    /// What has to be known before the numbers are believed: how it ended early, what is missing. Sentences.
    pub(crate) notes: Vec<String>,
    /// All of its processes, the one with the most events first.
    pub(crate) processes: Vec<Facts>,
    /// Those that were looked at closely, in the same order.
    pub(crate) close: Vec<Process>,
}

/// One program of one process: its row in the table of processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) pid: u32,
    pub(crate) program: u32,
    pub(crate) parent_pid: u32,
    pub(crate) command: String,
    /// None, write or readwrite.
    pub(crate) track: String,
    /// As in the table: `exited`, `running` ...; `unknown` where the table has no row of it, as its recorder was gone
    /// or is still at work. Then nothing is known but what other tables have, and the command is empty.
    pub(crate) end: String,
    pub(crate) status: Option<i32>,
    /// Nanoseconds, all on CLOCK_MONOTONIC but the interval.
    pub(crate) start_ns: i64,
    pub(crate) attached_ns: i64,
    pub(crate) last_ns: i64,
    pub(crate) interval_ns: i64,
    pub(crate) max_overhead: u32,
    pub(crate) epochs: u64,
    pub(crate) rows: u64,
    /// Rows of events that its files have.
    pub(crate) rows_there: u64,
    pub(crate) events: u64,
    /// Records that are missing from the recording.
    pub(crate) lost: u64,
    /// Records that found no memory in the ring; events that found none in the heat table.
    pub(crate) ring_dropped: u64,
    pub(crate) heat_dropped: u64,
    /// Since the process started: write, read and kernel events.
    pub(crate) totals: [u64; 3],
    /// Distinct pages since the process started.
    pub(crate) total_pages: u64,
    pub(crate) most_mapped_pages: u64,
    /// Pages in memory at the end, if known.
    pub(crate) resident_pages: Option<u64>,
    /// Calls of the program: relayed and emulated; of both, without an exit.
    pub(crate) calls: u64,
    pub(crate) calls_without_exit: u64,
    pub(crate) vm_exits: u64,
    pub(crate) threads_started: u64,
    /// Calls of which it is not known what the kernel wrote.
    pub(crate) unknown_calls: u64,
}

/// One process, looked at closely. Times are seconds since it started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    pub(crate) facts: Facts,
    /// What was recorded of it: from and to.
    pub(crate) span: (f64, f64),
    pub(crate) tracking: Tracking,
    /// Distinct pages in the recording.
    pub(crate) pages: u64,
    /// Events in the recording: write, read and kernel.
    pub(crate) events: [u64; 3],
    pub(crate) heat: HeatMap,
    pub(crate) temperature: Temperature,
    pub(crate) distribution: Distribution,
    pub(crate) working_set: WorkingSet,
    pub(crate) huge_pages: HugePages,
    /// Those with the most events first; at the end those that were never touched.
    pub(crate) mappings: Vec<MappingRow>,
    pub(crate) marks: Vec<MarkPoint>,
    /// Marks that are left out, where there are very many.
    pub(crate) marks_left_out: u64,
    /// What can be said in plain words, true by construction.
    pub(crate) findings: Vec<String>,
}

/// How the epochs were, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tracking {
    /// Finished epochs that were recorded; shares of epochs are of these.
    pub(crate) epochs: u64,
    /// Their median and longest length, nanoseconds.
    pub(crate) median_ns: u64,
    pub(crate) longest_ns: u64,
    /// Those that went on beyond one interval.
    pub(crate) stretched: u64,
    /// How much of the program's time tracking took by estimate, of how much: nanoseconds.
    pub(crate) cost_ns: u64,
    pub(crate) spent_ns: u64,
    /// The most pages that were not watched for stores in an epoch, as they were written in every one: they have
    /// fewer events than epochs in which they were written.
    pub(crate) left_alone: u64,
}

/// Address against time. Addresses that nothing touched are folded away.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HeatMap {
    /// Left edge of the first column, seconds.
    pub(crate) start: f64,
    /// Width of each column, seconds.
    pub(crate) width: f64,
    /// Finished epochs that began in each column.
    pub(crate) epochs: Vec<u32>,
    /// Which column tells of each: itself, or, where none of its own epochs began, the earlier one with an epoch that lasted
    /// into it.
    pub(crate) told_by: Vec<u32>,
    /// By address, lowest first.
    pub(crate) rows: Vec<HeatRow>,
    /// Which rows lie in one mapping, in the order of the rows.
    pub(crate) bands: Vec<Band>,
    /// Events by kind (write, read, kernel), each row after row: `row * columns + column`. An event counts where its
    /// epoch began.
    pub(crate) cells: [Vec<u32>; 3],
}

/// One row of the heat map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeatRow {
    /// First address.
    pub(crate) start: u64,
    /// First address behind it.
    pub(crate) end: u64,
    /// Distinct pages touched in it.
    pub(crate) pages: u64,
    /// Bytes folded away between it and the row before, where nothing was touched; 0 for the first row.
    pub(crate) folded: u64,
}

/// Neighbouring rows of one mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Band {
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    /// What it is called: see [`MappingRow::name`].
    pub(crate) label: String,
}

impl HeatMap {
    /// Number of columns.
    pub(crate) fn columns(&self) -> usize {
        self.epochs.len()
    }

    /// How hot a cell is: the share of its touched pages that were touched in an average epoch, by events of the kinds
    /// given; at most 1. An epoch that lasts over several columns is the same in all of them.
    pub(crate) fn intensity(&self, row: usize, column: usize, kinds: &[usize]) -> f64 {
        let column = self.told_by[column] as usize;
        let index = row * self.columns() + column;
        let events: u64 = kinds
            .iter()
            .map(|&kind| u64::from(self.cells[kind][index]))
            .sum();
        let most = self.rows[row].pages as f64 * f64::from(self.epochs[column].max(1));
        match most > 0.0 {
            true => (events as f64 / most).min(1.0),
            false => 0.0,
        }
    }
}

/// How often pages are touched.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Temperature {
    /// How many pages were touched in which share of the epochs, coldest first.
    pub(crate) bins: Vec<TemperatureBin>,
    /// Share of the pages, hottest first, against the share of all events that they have: both 0 to 1, increasing.
    pub(crate) curve: Vec<(f64, f64)>,
    /// As time goes on. Each stretch is one or several whole columns of the heat map, as it takes about ten epochs to
    /// tell warm from cool.
    pub(crate) over_time: Vec<TemperaturePoint>,
}

/// Pages that were touched about as often.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TemperatureBin {
    /// In words: `one epoch`, `up to 1 %`, ... `every epoch`. Those that no page can be in are left out, as those below
    /// 5 % of ten epochs.
    pub(crate) label: String,
    pub(crate) pages: u64,
    /// Events of these pages.
    pub(crate) events: u64,
}

/// How many pages were how hot in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TemperaturePoint {
    /// Seconds: where the stretch begins.
    pub(crate) time: f64,
    /// Touched in at least half of the epochs of this stretch.
    pub(crate) hot: u64,
    /// In at least a tenth.
    pub(crate) warm: u64,
    /// In fewer, but touched.
    pub(crate) cool: u64,
    /// Touched before, and not in this stretch.
    pub(crate) cold: u64,
}

/// What was done with the pages, by distinct pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    /// Loads were watched: otherwise nothing is known of pages that were only read.
    pub(crate) loads_watched: bool,
    /// Written, by the program or by the kernel for it, and not seen read.
    pub(crate) written: u64,
    /// Read, and not seen written.
    pub(crate) read: u64,
    /// Both, in different epochs.
    pub(crate) both: u64,
    /// Mapped at most at once, and not touched while it was recorded.
    pub(crate) untouched: u64,
}

/// Pages touched in an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WorkingSet {
    /// Where there are very many epochs, each point is the largest of some.
    pub(crate) points: Vec<WorkingSetPoint>,
    /// Of all epochs that touched any: least, median, 90 % of them at most, most.
    pub(crate) least: u64,
    pub(crate) median: u64,
    pub(crate) ninety: u64,
    pub(crate) most: u64,
    /// Epochs that touched none.
    pub(crate) idle: u64,
}

/// One epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct WorkingSetPoint {
    /// Seconds: its beginning.
    pub(crate) time: f64,
    /// Distinct pages: any, written, read, filled by the kernel.
    pub(crate) touched: u64,
    pub(crate) written: u64,
    pub(crate) read: u64,
    pub(crate) kernel: u64,
    /// Records lost in it.
    pub(crate) lost: u64,
}

/// How regions of 2 MiB are used.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HugePages {
    /// Regions with 1 to 32 touched pages of their 512, 33 to 64, ... 481 to 512.
    pub(crate) regions: [u64; 16],
    pub(crate) total: u64,
    pub(crate) median: u32,
    pub(crate) mean: f64,
}

/// What lies in one mapping, or in several parts of one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MappingRow {
    /// For people: path, `[heap]`, what the program calls it, `(anonymous memory) 0x...`; `(unknown)` for events whose
    /// mapping is not known, `(812 other mappings)` where there are very many.
    pub(crate) name: String,
    /// See the table of mappings.
    pub(crate) class: String,
    /// Bytes mapped, at most at once as far as was seen.
    pub(crate) bytes: u64,
    /// Distinct pages touched.
    pub(crate) pages: u64,
    /// Write, read and kernel events.
    pub(crate) events: [u64; 3],
    /// Share of the epochs in which an average touched page was touched, 0 to 1.
    pub(crate) frequency: f64,
    /// Seconds: first and last touch.
    pub(crate) first: f64,
    pub(crate) last: f64,
}

/// Something that the program said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MarkPoint {
    /// Seconds.
    pub(crate) time: f64,
    pub(crate) name: String,
}
