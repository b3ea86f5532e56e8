//! One process, looked at closely.

use super::axis::{Axis, Extent};
use super::cells::Cells;
use super::epochs::Epochs;
use super::groups::Groups;
use super::layout::Layout;
use super::mappings::{self, Clock};
use super::model::{Facts, HeatMap, Process, Temperature, TemperaturePoint, WorkingSet};
use super::touched::Touched;
use super::{events, findings, id_of, marks, temperature};
use crate::failure::Failure;
use crate::recording::manifest::RowOf;
use crate::recording::reader::Recording;
use crate::recording::schema::Table;

/// Reads everything of one program of a process.
///
/// # Errors
/// A file that cannot be read or is damaged.
pub(super) fn look(recording: &Recording, facts: Facts) -> Result<Process, Failure> {
    let id = id_of(&facts);
    let clock = Clock {
        start_ns: facts.start_ns,
    };
    let resolution = recording.manifest().resolution;
    let epoch_rows = recording.rows(Table::Epochs, id)?;
    let event_rows = recording.rows(Table::Events, id)?;
    let mut epochs = Epochs::read(&epoch_rows)?;
    let mut groups = Groups::read(&recording.rows(Table::Mappings, id)?)?;

    let unit_bytes = resolution.map_or(0, |row| row.bytes);
    let mut touched = Touched::new(unit_bytes, resolution.is_none(), groups.count());
    events::each(&event_rows, |row| {
        touched.add(row, groups.of_mapping(row.mapping));
    })?;
    touched.finish();
    // Events of an epoch that had not ended are there before the epoch is.
    let tracking = &mut epochs.tracking;
    tracking.epochs = tracking.epochs.max(match resolution {
        None => touched.epochs,
        Some(_) => u64::from(touched.epochs > 0),
    });

    let axis = Axis::new(extent(&epochs, &touched, &facts, resolution));
    let (epochs_in_columns, told_by) = Epochs::in_columns(&epoch_rows, &axis)?;
    let layout = Layout::of(&touched, &groups);
    let cells = Cells::read(
        &event_rows,
        &mut touched,
        &layout,
        &axis,
        &epochs_in_columns,
    )?;
    let loads_watched = facts.track == "readwrite" || touched.events()[1] > 0;
    let distribution = temperature::distribution(&touched, loads_watched, facts.most_mapped_pages);
    let (marks, marks_left_out) = marks::read(&recording.rows(Table::Marks, id)?, clock)?;
    let count = epochs.tracking.epochs;
    let mut process = Process {
        findings: Vec::new(),
        span: span(&facts, &epochs, clock),
        tracking: epochs.tracking,
        pages: distribution.written + distribution.read + distribution.both,
        events: touched.events(),
        heat: HeatMap {
            start: clock.seconds(axis.start_ns()),
            width: axis.width_ns() as f64 / 1e9,
            epochs: epochs_in_columns,
            told_by,
            rows: layout.rows,
            bands: layout.bands,
            cells: cells.cells,
        },
        temperature: Temperature {
            bins: temperature::bins(&touched, count),
            curve: temperature::curve(&touched),
            over_time: since_start(cells.over_time, clock),
        },
        distribution,
        working_set: working_set(epochs.working_set, clock),
        huge_pages: temperature::huge_pages(&touched),
        mappings: mappings::rows(&touched, &groups, count, clock),
        marks,
        marks_left_out,
        facts,
    };
    process.findings = findings::of(&process);
    Ok(process)
}

/// What the time axis has to hold.
fn extent(epochs: &Epochs, touched: &Touched, facts: &Facts, resolution: Option<RowOf>) -> Extent {
    let (first_ns, last_ns) = match (epochs.began, touched.time_ns) {
        (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
        (a, b) => a.or(b).unwrap_or((facts.attached_ns, facts.attached_ns)),
    };
    let count = epochs.tracking.epochs as i64;
    let mean = last_ns.saturating_sub(first_ns) / (count - 1).max(1);
    let ninety = epochs.ninety_ns as i64;
    let epoch_ns = match () {
        () if count < 2 => facts.interval_ns.max(1),
        // They are all about as long.
        () if ninety <= mean.saturating_add(mean / 4) => mean,
        // What lasts longer is told in several columns.
        () => epochs.tracking.median_ns as i64,
    };
    Extent {
        first_ns,
        last_ns,
        epoch_ns,
        row_ns: resolution.map_or(0, |row| row.time_ns as i64),
    }
}

/// From when to when it was recorded, seconds since it started.
fn span(facts: &Facts, epochs: &Epochs, clock: Clock) -> (f64, f64) {
    let last_ns = facts.last_ns.max(epochs.ended_ns);
    let from = clock.seconds(facts.attached_ns).max(0.0);
    (from, clock.seconds(last_ns).max(from))
}

fn since_start(mut points: Vec<TemperaturePoint>, clock: Clock) -> Vec<TemperaturePoint> {
    for point in &mut points {
        point.time -= clock.start_ns as f64 / 1e9;
    }
    points
}

fn working_set(mut set: WorkingSet, clock: Clock) -> WorkingSet {
    for point in &mut set.points {
        point.time -= clock.start_ns as f64 / 1e9;
    }
    set
}
