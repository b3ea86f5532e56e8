//! The table of epochs: lengths, costs and working sets.

use super::axis::Axis;
use super::model::{Tracking, WorkingSet, WorkingSetPoint};
use crate::failure::Failure;
use crate::recording::rows::{Batch, Rows};

/// Most points of a working set over time.
const MOST_POINTS: u64 = 2000;

/// What the epochs of a process were like.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    /// When the first and the last one began, CLOCK_MONOTONIC nanoseconds.
    pub(super) began: Option<(i64, i64)>,
    /// When the last one ended, likewise.
    pub(super) ended_ns: i64,
    pub(super) tracking: Tracking,
    /// Nine tenths of them lasted at most so long, nanoseconds.
    pub(super) ninety_ns: u64,
    /// As far as it can be told without the start of the process: times are CLOCK_MONOTONIC seconds.
    pub(super) working_set: WorkingSet,
    /// Records lost between them.
    pub(super) lost: u64,
}

/// What is being added up.
struct Sums {
    epochs: Epochs,
    lengths: Vec<u64>,
    touched: Vec<u32>,
    /// How many epochs become a point of the working set.
    in_point: u64,
    in_this_point: u64,
}

impl Epochs {
    /// Reads them.
    ///
    /// # Errors
    /// A file that cannot be read or is damaged.
    pub(super) fn read(rows: &Rows) -> Result<Self, Failure> {
        const COLUMNS: [&str; 10] = [
            "start_ns",
            "end_ns",
            "cost_ns",
            "ticks",
            "written",
            "read",
            "kernel",
            "touched",
            "left_alone",
            "lost",
        ];
        let mut sums = Sums {
            epochs: Self::default(),
            lengths: Vec::new(),
            touched: Vec::new(),
            in_point: rows.count().div_ceil(MOST_POINTS).max(1),
            in_this_point: 0,
        };
        rows.visit(&COLUMNS, |batch| sums.add(batch))?;
        Ok(sums.finish())
    }

    /// How many epochs began in each column, and which column tells of each: see [`HeatMap`](super::model::HeatMap).
    ///
    /// # Errors
    /// See [`Self::read`].
    pub(super) fn in_columns(rows: &Rows, axis: &Axis) -> Result<(Vec<u32>, Vec<u32>), Failure> {
        let mut columns = vec![0; axis.columns()];
        let mut ends = vec![i64::MIN; axis.columns()];
        rows.visit(&["start_ns", "end_ns"], |batch| {
            for (&start, &end) in batch.i64("start_ns")?.iter().zip(batch.i64("end_ns")?) {
                let column = axis.column(start);
                columns[column] += 1;
                ends[column] = ends[column].max(end);
            }
            Ok(())
        })?;
        let mut told_by: Vec<u32> = (0..axis.columns() as u32).collect();
        for column in 1..axis.columns() {
            let before = told_by[column - 1];
            if columns[column] == 0 && ends[before as usize] > axis.left_ns(column) {
                told_by[column] = before;
            }
        }
        Ok((columns, told_by))
    }
}

impl Sums {
    fn add(&mut self, batch: &Batch) -> Result<(), Failure> {
        let (starts, ends) = (batch.i64("start_ns")?, batch.i64("end_ns")?);
        let (costs, ticks) = (batch.counts("cost_ns")?, batch.u32("ticks")?);
        let (written, read) = (batch.u32("written")?, batch.u32("read")?);
        let (kernel, touched) = (batch.u32("kernel")?, batch.u32("touched")?);
        let (left_alone, lost) = (batch.u32("left_alone")?, batch.counts("lost")?);
        for row in 0..batch.len() {
            let length = ends[row].saturating_sub(starts[row]).max(0) as u64;
            self.lengths.push(length);
            self.touched.push(touched[row]);
            self.add_time(starts[row], ends[row]);
            let tracking = &mut self.epochs.tracking;
            tracking.cost_ns = tracking.cost_ns.saturating_add(costs[row] as u64);
            tracking.spent_ns = tracking.spent_ns.saturating_add(length);
            tracking.stretched += u64::from(ticks[row] > 1);
            tracking.left_alone = tracking.left_alone.max(left_alone[row].into());
            self.epochs.lost = self.epochs.lost.saturating_add(lost[row] as u64);
            self.add_point(WorkingSetPoint {
                time: starts[row] as f64 / 1e9,
                touched: touched[row].into(),
                written: written[row].into(),
                read: read[row].into(),
                kernel: kernel[row].into(),
                lost: lost[row] as u64,
            });
        }
        Ok(())
    }

    fn add_time(&mut self, start: i64, end: i64) {
        let (first, last) = self.epochs.began.unwrap_or((start, start));
        self.epochs.began = Some((first.min(start), last.max(start)));
        self.epochs.ended_ns = self.epochs.ended_ns.max(end);
    }

    fn add_point(&mut self, point: WorkingSetPoint) {
        let points = &mut self.epochs.working_set.points;
        match points.last_mut() {
            Some(last) if self.in_this_point < self.in_point => {
                let lost = last.lost + point.lost;
                if point.touched > last.touched {
                    *last = point;
                }
                last.lost = lost;
                self.in_this_point += 1;
            }
            _ => {
                points.push(point);
                self.in_this_point = 1;
            }
        }
    }

    fn finish(mut self) -> Epochs {
        let all = self.lengths.len() as u64;
        self.lengths.sort_unstable();
        let idle = self.touched.iter().filter(|&&pages| pages == 0).count() as u64;
        self.touched.retain(|&pages| pages > 0);
        self.touched.sort_unstable();
        let length = |share| at(&self.lengths, share).copied().unwrap_or(0);
        let pages = |share| at(&self.touched, share).copied().unwrap_or(0).into();
        let tracking = &mut self.epochs.tracking;
        tracking.epochs = all;
        tracking.median_ns = length(0.5);
        tracking.longest_ns = length(1.0);
        self.epochs.ninety_ns = length(0.9);
        let set = &mut self.epochs.working_set;
        (set.least, set.median, set.ninety, set.most) =
            (pages(0.0), pages(0.5), pages(0.9), pages(1.0));
        set.idle = idle;
        self.epochs
    }
}

/// The value that this share of sorted ones is at most.
fn at<T>(sorted: &[T], share: f64) -> Option<&T> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1)
}
