//! The benchmark's command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Compares programs natively and inside vmmload, pairs interleaved.
///
/// The binary under test is $VMMLOAD_BIN, else the workspace's own release build.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// Writes machine, samples, medians and targets as one JSON object; `-` is standard output,
    /// the table then goes to standard error.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Pairs per row, at most: a row stops early when its share of the time is used up.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) runs: usize,
    /// Small sizes and few pairs: about four minutes, to see that everything runs.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Instead of times: exits, page faults and write events, by KVM's own counters where it has any
    /// and debugfs is mounted.
    #[arg(long, conflicts_with_all = ["runs", "only"])]
    pub(crate) counts: bool,
    /// Pages that `--counts` rewrites; 100000, with `--quick` 4000.
    #[arg(long, value_name = "N", requires = "counts")]
    pub(crate) pages: Option<u64>,
    /// Only rows whose "group: name" contains this, in any case.
    #[arg(long, value_name = "SUBSTRING")]
    pub(crate) only: Option<String>,
}

impl Options {
    /// Whether `--only` leaves in this row.
    pub(crate) fn wants_row(&self, group: &str, name: &str) -> bool {
        let full = format!("{group}: {name}").to_lowercase();
        self.only
            .as_ref()
            .is_none_or(|part| full.contains(&part.to_lowercase()))
    }

    /// How many pairs a row with this factor gets at most (start-up affords more than 7z does).
    pub(crate) fn rounds(&self, factor: usize) -> usize {
        let runs = if self.quick {
            self.runs.min(2)
        } else {
            self.runs
        };
        (runs * factor).max(1)
    }

    /// A row's share of the time: no new round begins that would go beyond it.
    pub(crate) fn share(&self, full: Duration) -> Duration {
        if self.quick { full / 8 } else { full }
    }

    /// The full size, or the one of `--quick`.
    pub(crate) fn size(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }
}
