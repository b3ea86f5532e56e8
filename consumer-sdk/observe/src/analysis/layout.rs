//! The rows of the heat map: touched memory only, each mapping with rows of its own, the largest ones with the most.

use super::groups::{GroupId, Groups};
use super::model::{Band, HeatRow};
use super::touched::{Touched, Unit};
use std::collections::BTreeSet;

/// Rows of a heat map, about.
const ROWS: usize = 250;
/// Parts with rows of their own, where there are more parts than rows.
const LARGEST: usize = 100;
/// Untouched memory between two parts of a mapping, bytes: less of it is shown as part of a row.
const GAP: u64 = 2 << 20;

/// Where each unit is in the heat map.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) rows: Vec<HeatRow>,
    pub(super) bands: Vec<Band>,
    /// The row of each unit, by its index.
    pub(super) row_of: Vec<u16>,
}

/// Neighbouring units that share rows.
#[derive(Clone, Debug)]
struct Run {
    /// Whose they are: one, but for runs that were joined.
    groups: BTreeSet<GroupId>,
    units: usize,
    /// First address behind it.
    end: u64,
}

impl Layout {
    pub(super) fn of(touched: &Touched, groups: &Groups) -> Self {
        let runs = join_small(runs(touched));
        let counts: Vec<usize> = runs.iter().map(|run| run.units).collect();
        let rows = share_out(&counts, ROWS);
        let mut layout = Self {
            rows: Vec::with_capacity(rows.iter().sum()),
            bands: Vec::new(),
            row_of: vec![0; touched.indexes()],
        };
        let mut units = touched.in_order();
        for (run, &rows) in runs.iter().zip(&rows) {
            let first_row = layout.rows.len();
            for (number, (address, index, unit)) in units.by_ref().take(run.units).enumerate() {
                let row = first_row + number * rows / run.units;
                layout.row_of[index.0 as usize] = row as u16;
                layout.add(row, address, touched.unit_bytes(), unit);
            }
            layout.add_band(first_row, rows, label(run, groups));
        }
        layout
    }

    fn add(&mut self, row: usize, address: u64, bytes: u64, unit: &Unit) {
        if row == self.rows.len() {
            let before = self.rows.last().map_or(address, |last| last.end);
            self.rows.push(HeatRow {
                start: address,
                folded: address - before,
                ..HeatRow::default()
            });
        }
        let entry = &mut self.rows[row];
        entry.end = address.saturating_add(bytes);
        entry.pages += u64::from(unit.pages);
    }

    fn add_band(&mut self, first_row: usize, rows: usize, label: String) {
        match self.bands.last_mut() {
            Some(last) if last.label == label => last.rows += rows,
            _ => self.bands.push(Band {
                first_row,
                rows,
                label,
            }),
        }
    }
}

/// What a run is called.
fn label(run: &Run, groups: &Groups) -> String {
    let mut of = run.groups.iter();
    match (of.next(), of.len()) {
        (Some(&group), 0) => groups.name(group).to_owned(),
        (_, others) => format!("({} mappings)", others + 1),
    }
}

/// Splits the units where another mapping begins, and where much is untouched.
fn runs(touched: &Touched) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (address, _, unit) in touched.in_order() {
        let end = address.saturating_add(touched.unit_bytes());
        match runs.last_mut() {
            Some(run) if run.groups.contains(&unit.group) && address - run.end < GAP => {
                run.units += 1;
                run.end = end;
            }
            _ => runs.push(Run {
                groups: BTreeSet::from([unit.group]),
                units: 1,
                end,
            }),
        }
    }
    runs
}

/// Where there are more runs than rows: the largest ones stay, and the small ones between two of them become one.
fn join_small(runs: Vec<Run>) -> Vec<Run> {
    if runs.len() <= ROWS {
        return runs;
    }
    let mut sizes: Vec<(usize, usize)> = runs.iter().map(|run| run.units).zip(0..).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let largest: BTreeSet<usize> = sizes[..LARGEST].iter().map(|&(_, index)| index).collect();
    let mut joined: Vec<Run> = Vec::new();
    let mut last_is_large = true;
    for (index, run) in runs.into_iter().enumerate() {
        let is_large = largest.contains(&index);
        match joined.last_mut() {
            Some(last) if !is_large && !last_is_large => {
                last.groups.extend(run.groups);
                last.units += run.units;
                last.end = run.end;
            }
            _ => joined.push(run),
        }
        last_is_large = is_large;
    }
    joined
}

/// How many rows each run gets: one at least, at most one for each unit, and in between by the square root of its
/// size, so that a large one does not leave the others a line each.
fn share_out(units: &[usize], most: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = units.iter().map(|&units| units.min(1)).collect();
    let weight = |index: usize| (units[index] as f64).sqrt();
    loop {
        let left = most.saturating_sub(rows.iter().sum());
        let open: Vec<usize> = (0..units.len())
            .filter(|&index| rows[index] < units[index])
            .collect();
        if left == 0 || open.is_empty() {
            return rows;
        }
        let whole: f64 = open.iter().map(|&index| weight(index)).sum();
        let mut given = 0;
        for &index in &open {
            let share = (left as f64 * weight(index) / whole) as usize;
            let more = share.min(units[index] - rows[index]);
            rows[index] += more;
            given += more;
        }
        if given == 0 {
            // Less than one for each: the largest ones first.
            let mut open = open;
            open.sort_by_key(|&index| std::cmp::Reverse(units[index]));
            for index in open.into_iter().take(left) {
                rows[index] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_program_has_a_row_for_each_page() {
        assert_eq!(share_out(&[100, 1, 40], 250), [100, 1, 40]);
        assert!(share_out(&[], 250).is_empty());
    }

    #[test]
    fn a_large_mapping_leaves_the_others_their_rows() {
        let rows = share_out(&[1_000_000, 1, 100, 10_000], 250);
        assert_eq!(rows.iter().sum::<usize>(), 250);
        assert_eq!(rows[1], 1);
        assert!(rows[2] >= 2 && rows[3] > 5 * rows[2], "{rows:?}");
    }

    #[test]
    fn very_many_small_parts_between_large_ones_are_joined() {
        let run = |index: usize| Run {
            groups: BTreeSet::from([GroupId(index as u32)]),
            units: if index.is_multiple_of(10) { 1000 } else { 1 },
            end: 0,
        };
        let joined = join_small((0..1000).map(run).collect());
        assert_eq!(joined.len(), 200);
        assert_eq!(joined.iter().map(|run| run.units).sum::<usize>(), 100_900);
        assert_eq!((joined[0].units, joined[1].units), (1000, 9));
    }
}
