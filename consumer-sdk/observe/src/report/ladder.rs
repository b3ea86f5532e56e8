//! The vertical axis of the heat map: one step for each row, and a narrow one where addresses are folded away.

use crate::analysis::model::{Band, HeatMap};

/// All steps, lowest address first. Heights are in rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ladder {
    pub(crate) steps: Vec<Step>,
    /// Of all steps.
    pub(crate) height: f64,
}

/// One step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) bottom: f64,
    pub(crate) top: f64,
    pub(crate) what: What,
}

/// What is at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A row of the heat map.
    Row(usize),
    /// So many bytes of addresses that nothing touched.
    Fold(u64),
}

/// Height of one fold, and of all folds together at most, as shares of that of all rows.
const FOLD: f64 = 0.02;
const FOLDS: f64 = 0.2;

impl Ladder {
    pub(crate) fn of(map: &HeatMap) -> Self {
        // What lies below the first row is nothing that has been left out.
        let folded = |index: usize| match index {
            0 => 0,
            _ => map.rows[index].folded,
        };
        let rows = map.rows.len() as f64;
        let folds = (0..map.rows.len())
            .filter(|&index| folded(index) > 0)
            .count();
        let fold = (rows * FOLD).min(rows * FOLDS / folds.max(1) as f64);
        let (mut steps, mut bottom) = (Vec::new(), 0.0);
        let mut add = |height: f64, what| {
            steps.push(Step {
                bottom,
                top: bottom + height,
                what,
            });
            bottom += height;
        };
        for index in 0..map.rows.len() {
            if folded(index) > 0 {
                add(fold, What::Fold(folded(index)));
            }
            add(1.0, What::Row(index));
        }
        Self {
            steps,
            height: bottom,
        }
    }

    /// Where a band begins and ends.
    pub(crate) fn extent(&self, band: &Band) -> (f64, f64) {
        let of = |row: usize| {
            let at = self.steps.iter().find(|step| step.what == What::Row(row));
            at.map_or((0.0, 0.0), |step| (step.bottom, step.top))
        };
        let last = band.first_row + band.rows.max(1) - 1;
        (of(band.first_row).0, of(last).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::model::HeatRow;

    fn map(folded: &[u64]) -> HeatMap {
        let row = |&folded| HeatRow {
            folded,
            ..HeatRow::default()
        };
        HeatMap {
            rows: folded.iter().map(row).collect(),
            ..HeatMap::default()
        }
    }

    #[test]
    fn folds_are_narrow_however_many_there_are() {
        let ladder = Ladder::of(&map(&[7 << 20, 0, 4096, 0]));
        let whats: Vec<What> = ladder.steps.iter().map(|step| step.what).collect();
        let expected = [
            What::Row(0),
            What::Row(1),
            What::Fold(4096),
            What::Row(2),
            What::Row(3),
        ];
        assert_eq!(whats, expected);
        assert!((ladder.height - 4.08).abs() < 1e-9, "{}", ladder.height);
        let many = Ladder::of(&map(&[1; 250]));
        assert!((many.height - 300.0).abs() < 1e-6, "{}", many.height);
        assert_eq!(Ladder::of(&map(&[])).height, 0.0);
    }

    #[test]
    fn a_band_extends_over_its_rows() {
        let ladder = Ladder::of(&map(&[0, 0, 4096, 0]));
        let band = Band {
            first_row: 1,
            rows: 2,
            label: String::new(),
        };
        let (bottom, top) = ladder.extent(&band);
        assert!((bottom - 1.0).abs() < 1e-9 && (top - 3.08).abs() < 1e-9);
    }
}
