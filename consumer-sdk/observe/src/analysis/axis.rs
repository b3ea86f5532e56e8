//! Time in columns of equal width.

/// Most columns of a heat map.
const MOST_COLUMNS: u64 = 300;

/// Where columns begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// CLOCK_MONOTONIC nanoseconds: left edge of the first column.
    start_ns: i64,
    width_ns: u64,
    columns: usize,
    /// What begins so little in front of an edge belongs behind it.
    slack_ns: u64,
}

/// What an axis is made for. Nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    /// When the first and the last epoch began.
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
    /// How long an epoch lasts, but for the longest ones; no column is narrower.
    pub(super) epoch_ns: i64,
    /// How long one row of the table may last: neither is any column narrower than that.
    pub(super) row_ns: i64,
}

impl Axis {
    pub(super) fn new(extent: Extent) -> Self {
        let epoch_ns = extent.epoch_ns.max(1).unsigned_abs();
        // Epochs begin a little after they are due, each one a little else: half an epoch of slack puts each
        // into the column it was due in, so that narrow columns have one each and not two beside none.
        let slack_ns = epoch_ns / 2;
        let length = extent.last_ns.saturating_sub(extent.first_ns).max(0);
        let epochs = length.unsigned_abs().saturating_add(slack_ns) / epoch_ns + 1;
        let in_row = extent.row_ns.max(1).unsigned_abs().div_ceil(epoch_ns);
        let in_column = epochs.div_ceil(MOST_COLUMNS).next_multiple_of(in_row);
        Self {
            start_ns: extent.first_ns,
            width_ns: in_column.saturating_mul(epoch_ns),
            columns: epochs.div_ceil(in_column) as usize,
            slack_ns,
        }
    }

    /// The column of an epoch that began then.
    pub(super) fn column(&self, time_ns: i64) -> usize {
        let along = time_ns
            .saturating_sub(self.start_ns)
            .saturating_add_unsigned(self.slack_ns);
        let along = along.max(0).unsigned_abs();
        ((along / self.width_ns) as usize).min(self.columns - 1)
    }

    /// Number of columns, at least 1.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Width of a column, nanoseconds.
    pub(super) fn width_ns(&self) -> u64 {
        self.width_ns
    }

    /// Left edge of the first column, CLOCK_MONOTONIC nanoseconds.
    pub(super) fn start_ns(&self) -> i64 {
        self.start_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(last_ns: i64) -> Axis {
        Axis::new(Extent {
            first_ns: 1000,
            last_ns: 1000 + last_ns,
            epoch_ns: 100,
            row_ns: 0,
        })
    }

    #[test]
    fn few_epochs_have_a_column_each_although_they_begin_a_little_late() {
        let axis = axis(905);
        assert_eq!(axis.columns(), 10);
        let late = |epoch: i64| 1000 + epoch * 100 + (epoch * 37) % 11;
        let columns: Vec<usize> = (0..10).map(|epoch| axis.column(late(epoch))).collect();
        assert_eq!(columns, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn many_epochs_share_columns_of_equal_width() {
        let axis = axis(99_900);
        assert_eq!((axis.columns(), axis.width_ns()), (250, 400));
        assert_eq!(axis.column(i64::MIN), 0);
        assert_eq!(axis.column(i64::MAX), 249);
    }

    #[test]
    fn a_single_epoch_is_one_column() {
        assert_eq!(axis(0).columns(), 1);
        assert_eq!(Axis::new(Extent::default()).columns(), 1);
    }
}
