//! The table of mappings.

use super::groups::{Group, GroupId, Groups};
use super::model::MappingRow;
use super::touched::Touched;

/// Most mappings with a row of their own.
const MOST_ROWS: usize = 1000;

/// How time is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When the process started, CLOCK_MONOTONIC nanoseconds.
    pub(super) start_ns: i64,
}

impl Clock {
    /// Seconds since the process started.
    pub(super) fn seconds(self, time_ns: i64) -> f64 {
        time_ns.saturating_sub(self.start_ns) as f64 / 1e9
    }
}

/// A row for each group, those with the most events first, then those that were never touched, the largest first.
pub(super) fn rows(
    touched: &Touched,
    groups: &Groups,
    epochs: u64,
    clock: Clock,
) -> Vec<MappingRow> {
    let rows = groups
        .all()
        .map(|(id, group)| row(touched, id, group, epochs, clock));
    let mut rows: Vec<MappingRow> = rows.filter(|row| row.bytes > 0 || row.pages > 0).collect();
    rows.sort_by_key(|row| {
        let events: u64 = row.events.iter().sum();
        std::cmp::Reverse((events, row.bytes))
    });
    if rows.len() > MOST_ROWS {
        let others = rows.split_off(MOST_ROWS - 1);
        rows.push(together(&others));
    }
    rows
}

fn row(touched: &Touched, id: GroupId, group: &Group, epochs: u64, clock: Clock) -> MappingRow {
    let totals = touched.totals(id);
    let most = totals.pages as f64 * epochs as f64;
    let (first, last) = match totals.pages {
        0 => (0.0, 0.0),
        _ => (
            clock.seconds(totals.first_ns),
            clock.seconds(totals.last_ns),
        ),
    };
    MappingRow {
        name: group.name.clone(),
        class: group.class.clone(),
        bytes: group.most_bytes,
        pages: totals.pages,
        events: totals.events,
        frequency: match most > 0.0 {
            true => (totals.touched as f64 / most).min(1.0),
            false => 0.0,
        },
        first,
        last,
    }
}

/// One row for many.
fn together(rows: &[MappingRow]) -> MappingRow {
    let pages: u64 = rows.iter().map(|row| row.pages).sum();
    let touched: f64 = rows
        .iter()
        .map(|row| row.frequency * row.pages as f64)
        .sum();
    let with_events = || rows.iter().filter(|row| row.pages > 0);
    let firsts = with_events().map(|row| row.first);
    let lasts = with_events().map(|row| row.last);
    MappingRow {
        name: format!("({} other mappings)", rows.len()),
        class: String::new(),
        bytes: rows.iter().map(|row| row.bytes).sum(),
        pages,
        events: std::array::from_fn(|kind| rows.iter().map(|row| row.events[kind]).sum()),
        frequency: touched / pages.max(1) as f64,
        first: firsts.reduce(f64::min).unwrap_or(0.0),
        last: lasts.reduce(f64::max).unwrap_or(0.0),
    }
}
