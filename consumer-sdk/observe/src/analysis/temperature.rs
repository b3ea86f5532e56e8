//! How often pages are touched, and what with; how they fill huge pages.

use super::model::{Distribution, HugePages, TemperatureBin};
use super::touched::{Touched, Unit};

/// Upper bounds of bins, in per cent of the epochs.
const BOUNDS: [u64; 7] = [1, 5, 10, 25, 50, 75, 100];
/// Most points of a curve.
const MOST_POINTS: usize = 200;
/// Pages of a region that make one bar.
const PAGES_IN_BAR: u32 = 32;

/// How many pages were touched in which share of so many epochs.
pub(super) fn bins(touched: &Touched, epochs: u64) -> Vec<TemperatureBin> {
    let mut bins: Vec<TemperatureBin> = labels().map(named).collect();
    for (_, _, unit) in touched.in_order() {
        let bin = &mut bins[bin_of(unit, epochs)];
        bin.pages += u64::from(unit.pages);
        bin.events += unit.all();
    }
    let possible = possible(epochs);
    let kept = bins.into_iter().zip(possible);
    kept.filter(|(bin, is_possible)| *is_possible || bin.pages > 0)
        .map(|(bin, _)| bin)
        .collect()
}

fn named(label: String) -> TemperatureBin {
    TemperatureBin {
        label,
        ..TemperatureBin::default()
    }
}

/// One epoch, the bins between, every epoch.
fn labels() -> impl Iterator<Item = String> {
    let lower = std::iter::once(0).chain(BOUNDS);
    let between = lower
        .zip(BOUNDS)
        .map(|(lower, upper)| match (lower, upper) {
            (0, _) => format!("up to {upper} %"),
            (_, 100) => format!("more than {lower} %"),
            _ => format!("{lower} to {upper} %"),
        });
    std::iter::once("one epoch".to_owned())
        .chain(between)
        .chain(["every epoch".to_owned()])
}

/// In how many epochs an average page of a unit was touched.
fn touched_in(unit: &Unit, epochs: u64) -> u64 {
    let pages = u64::from(unit.pages.max(1));
    let rounded = (u64::from(unit.touched) + pages / 2) / pages;
    rounded.clamp(1, epochs.max(1))
}

fn bin_of(unit: &Unit, epochs: u64) -> usize {
    bin_of_count(touched_in(unit, epochs), epochs)
}

fn bin_of_count(touched: u64, epochs: u64) -> usize {
    if touched >= epochs {
        return BOUNDS.len() + 1;
    }
    if touched == 1 {
        return 0;
    }
    let is_within = |&bound: &u64| touched * 100 <= epochs * bound;
    1 + BOUNDS
        .iter()
        .position(is_within)
        .unwrap_or(BOUNDS.len() - 1)
}

/// Which bins a page can be in at all.
fn possible(epochs: u64) -> Vec<bool> {
    let mut possible = vec![false; BOUNDS.len() + 2];
    // All counts that are the first in a bin, and their neighbours.
    let edges = BOUNDS.iter().flat_map(|bound| {
        let edge = epochs * bound / 100;
        [edge.saturating_sub(1), edge, edge + 1]
    });
    for count in edges.chain([1, 2, epochs]) {
        if (1..=epochs.max(1)).contains(&count) {
            possible[bin_of_count(count, epochs)] = true;
        }
    }
    possible
}

/// Share of the pages, hottest first, against the share of the events that they have.
pub(super) fn curve(touched: &Touched) -> Vec<(f64, f64)> {
    let units = touched
        .in_order()
        .map(|(_, _, unit)| (unit.all(), unit.pages));
    let mut units: Vec<(u64, u16)> = units.collect();
    // By events of each page: a/b > c/d without dividing.
    units.sort_unstable_by(|a, b| (b.0 * u64::from(a.1)).cmp(&(a.0 * u64::from(b.1))));
    let pages: u64 = units.iter().map(|unit| u64::from(unit.1)).sum();
    let events: u64 = units.iter().map(|unit| unit.0).sum();
    if pages == 0 || events == 0 {
        return Vec::new();
    }
    let mut points = vec![(0.0, 0.0)];
    let (mut pages_so_far, mut events_so_far) = (0, 0);
    for (number, unit) in units.iter().enumerate() {
        pages_so_far += u64::from(unit.1);
        events_so_far += unit.0;
        if is_a_point(number + 1, units.len()) {
            let x = pages_so_far as f64 / pages as f64;
            points.push((x, events_so_far as f64 / events as f64));
        }
    }
    points
}

/// Whether the curve has a point behind so many of all units: the last one, and where a multiple of a step is passed.
/// The hottest hundredth has as many points as all others, as the curve is steep there.
fn is_a_point(number: usize, all: usize) -> bool {
    let half = MOST_POINTS / 2;
    let hottest = all.div_ceil(100);
    let step = match number <= hottest {
        true => hottest.div_ceil(half),
        false => all.div_ceil(half),
    };
    number == all || number.is_multiple_of(step)
}

/// The least share of the pages, hottest first, that has this share of all events.
pub(super) fn pages_with(curve: &[(f64, f64)], share: f64) -> Option<f64> {
    let point = curve.iter().find(|(_, events)| *events >= share);
    point.map(|&(pages, _)| pages)
}

/// What was done with the pages.
pub(super) fn distribution(touched: &Touched, loads_watched: bool, mapped: u64) -> Distribution {
    let mut sums = Distribution {
        loads_watched,
        ..Distribution::default()
    };
    for (_, _, unit) in touched.in_order() {
        let [write, read, kernel] = unit.events.map(|events| events > 0);
        *match (write || kernel, read) {
            (true, true) => &mut sums.both,
            (false, true) => &mut sums.read,
            (_, false) => &mut sums.written,
        } += u64::from(unit.pages);
    }
    sums.untouched = mapped.saturating_sub(sums.both + sums.read + sums.written);
    sums
}

/// How regions of 2 MiB are used.
pub(super) fn huge_pages(touched: &Touched) -> HugePages {
    let mut regions = touched.regions();
    regions.sort_unstable();
    let mut sums = HugePages {
        total: regions.len() as u64,
        median: regions.get(regions.len() / 2).copied().unwrap_or(0),
        ..HugePages::default()
    };
    let last = sums.regions.len() - 1;
    for &pages in &regions {
        let bar = (pages.saturating_sub(1) / PAGES_IN_BAR) as usize;
        sums.regions[bar.min(last)] += 1;
    }
    if sums.total > 0 {
        let pages: u64 = regions.iter().map(|&pages| u64::from(pages)).sum();
        sums.mean = pages as f64 / sums.total as f64;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bin(touched: u64, epochs: u64) -> String {
        labels().nth(bin_of_count(touched, epochs)).unwrap()
    }

    #[test]
    fn bins_are_named_for_what_is_in_them() {
        for (touched, epochs, label) in [
            (1, 1000, "one epoch"),
            (2, 1000, "up to 1 %"),
            (10, 1000, "up to 1 %"),
            (11, 1000, "1 to 5 %"),
            (500, 1000, "25 to 50 %"),
            (501, 1000, "50 to 75 %"),
            (999, 1000, "more than 75 %"),
            (1000, 1000, "every epoch"),
            (1, 1, "every epoch"),
        ] {
            assert_eq!(bin(touched, epochs), label, "{touched} of {epochs}");
        }
    }

    #[test]
    fn bins_that_no_page_can_be_in_are_known() {
        for epochs in 1..1200 {
            let mut expected = vec![false; BOUNDS.len() + 2];
            for touched in 1..=epochs {
                expected[bin_of_count(touched, epochs)] = true;
            }
            assert_eq!(possible(epochs), expected, "{epochs}");
        }
    }
}
