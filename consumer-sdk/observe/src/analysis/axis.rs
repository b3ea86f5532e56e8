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
    /// How long an epoch lasts, as a rule; no column is narrower.
    pub(super) epoch_ns: i64,
    /// How long one row of the table may last: neither is any column narrower than that.
    pub(super) row_ns: i64,
}

impl Axis {
    pub(super) fn new(extent: Extent) -> Self {
        match extent.row_ns > extent.epoch_ns {
            true => Self::of_rows(extent),
            false => Self::of_epochs(extent),
        }
    }

    /// Columns of whole epochs.
    fn of_epochs(extent: Extent) -> Self {
        let epoch_ns = extent.epoch_ns.max(1).unsigned_abs();
        // Epochs begin a little after they are due, each one a little else: half an epoch of slack puts each
        // into the column it was due in, so that narrow columns have one each and not two beside none.
        Self::with(extent.first_ns, extent.last_ns, epoch_ns, epoch_ns / 2)
    }

    /// Columns of whole rows, whose times begin at multiples of their length: so each is within one column.
    fn of_rows(extent: Extent) -> Self {
        let row_ns = extent.row_ns.max(1);
        let start_ns = extent.first_ns - extent.first_ns.rem_euclid(row_ns);
        Self::with(start_ns, extent.last_ns, row_ns.unsigned_abs(), 0)
    }

    fn with(start_ns: i64, last_ns: i64, unit_ns: u64, slack_ns: u64) -> Self {
        let length = last_ns.saturating_sub(start_ns).max(0).unsigned_abs();
        let units = length.saturating_add(slack_ns) / unit_ns + 1;
        let in_column = units.div_ceil(MOST_COLUMNS);
        Self {
            start_ns,
            width_ns: in_column.saturating_mul(unit_ns),
            columns: units.div_ceil(in_column) as usize,
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

    /// Left edge of a column, CLOCK_MONOTONIC nanoseconds.
    pub(super) fn left_ns(&self, column: usize) -> i64 {
        let along = self.width_ns.saturating_mul(column as u64);
        self.start_ns.saturating_add_unsigned(along)
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
    fn a_row_of_many_epochs_lies_within_one_column() {
        let axis = Axis::new(Extent {
            first_ns: 1150,
            last_ns: 3990,
            epoch_ns: 100,
            row_ns: 1000,
        });
        assert_eq!(
            (axis.start_ns(), axis.width_ns(), axis.columns()),
            (1000, 1000, 3)
        );
        let columns = [1150, 1999, 2000, 2999, 3000].map(|time| axis.column(time));
        assert_eq!(columns, [0, 0, 1, 1, 2]);
    }

    #[test]
    fn a_single_epoch_is_one_column() {
        assert_eq!(axis(0).columns(), 1);
        assert_eq!(Axis::new(Extent::default()).columns(), 1);
    }
}
