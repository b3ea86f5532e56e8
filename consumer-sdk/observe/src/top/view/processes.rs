//! The table of processes, with the memory of the one that the cursor is on.

use super::pen::Pen;
use super::strip::Strip;
use super::table::{Column, Line, Table};
use crate::numbers;
use crate::top::app::App;
use crate::top::sample::{ProcessSample, Sample};
use crate::top::text;
use crate::typed::SortKey;
use ratatui::layout::Rect;
use ratatui::style::Style;
use std::time::Duration;
use vmmload_consumer::{PAGE_SIZE, Status};

const COLUMNS: [Column; 10] = [
    Column::new("PID", 7, Some(SortKey::Pid), 0),
    Column::new("EVENTS/S", 8, Some(SortKey::Events), 0),
    Column::new("PAGES", 6, Some(SortKey::Pages), 0),
    Column::new("BYTES", 8, None, 72),
    Column::new("TOUCHED", 7, None, 48),
    Column::new("W/R/K %", 8, Some(SortKey::Writes), 64),
    Column::new("LOST", 5, Some(SortKey::Lost), 54),
    Column::new("AGE", 5, None, 60),
    Column::new("EPOCH", 8, None, 100),
    Column::new("COST", 6, None, 110),
];

/// Draws it, and gives how many rows fit.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect, app: &App, sample: &Sample) -> usize {
    let rows = app.process_rows(sample);
    if rows.is_empty() {
        draw_nothing(pen, area, app, sample);
        return 1;
    }
    let table = Table {
        columns: &COLUMNS,
        name: "COMMAND",
        sort: app.sort(),
        rows: rows.len(),
        chosen: app.processes.find(&rows),
    };
    let (upper, lower) = table.above_picture(area);
    let look = pen.look;
    let page = table.draw(pen, upper, |at| {
        line(&rows[at], look.is_utf8, look.faint(), look.alarming())
    });
    let chosen = &rows[table.chosen];
    let command = text::without_directory(&chosen.command);
    let command = text::harmless(command, look.is_utf8);
    let strip = Strip {
        process: chosen,
        mapping: None,
        footprint: None,
    };
    strip.draw(pen, lower, &format!("{} {command}", chosen.key.pid));
    page
}

fn draw_nothing(pen: &mut Pen<'_>, area: Rect, app: &App, sample: &Sample) {
    let filter = text::harmless(app.filter(), pen.look.is_utf8);
    let lines = match (sample.processes.is_empty(), sample.is_over) {
        (false, _) => [
            format!("no command has {filter:?} in it"),
            "Esc shows all of them".into(),
        ],
        (true, true) => ["all processes have ended".into(), "q quits".into()],
        (true, false) => [
            "no live segments".into(),
            "start a command with `vmmload run COMMAND`: it appears here".into(),
        ],
    };
    for (y, line) in (area.y + 1..area.bottom()).zip(lines) {
        pen.put_cut(
            area.x + 2,
            y,
            area.width.saturating_sub(2),
            &line,
            Style::new(),
        );
    }
}

fn line(process: &ProcessSample, is_utf8: bool, faint: Style, alarming: Style) -> Line {
    let pages = process.pages();
    let command = text::harmless(text::without_directory(&process.command), is_utf8);
    let is_running = process.status == Status::Running;
    let name = match is_running {
        true => command,
        false => format!("({}) {command}", text::status(process.status)),
    };
    let style = match (is_running, process.lost) {
        (false, _) => faint,
        (true, 0) => Style::new(),
        (true, _) => alarming,
    };
    Line {
        cells: vec![
            process.key.pid.to_string(),
            text::rate(process.events()),
            text::at_least(pages.map(u64::from), process.leaves_alone()),
            pages.map_or_else(
                || "-".into(),
                |pages| numbers::bytes(u64::from(pages) * PAGE_SIZE as u64),
            ),
            text::at_least(Some(process.touched), process.has_more_pages),
            text::shares(process.rates, process.track),
            numbers::short(process.lost as f64),
            text::age(process.age),
            epoch_length(process).map_or_else(|| "-".into(), numbers::time),
            cost(process).map_or_else(|| "-".into(), |cost| format!("{cost:.1}%")),
        ],
        name,
        is_path: false,
        style,
    }
}

/// How long the last epoch was.
pub(super) fn epoch_length(process: &ProcessSample) -> Option<Duration> {
    let epoch = process.epoch?;
    Some(Duration::from_nanos(
        epoch.end_ns.saturating_sub(epoch.start_ns),
    ))
}

/// Per cent of that epoch's time that tracking took, by estimate.
pub(super) fn cost(process: &ProcessSample) -> Option<f64> {
    let length = epoch_length(process)?.as_nanos() as f64;
    let cost = process.epoch?.cost_ns as f64;
    (length > 0.0).then(|| cost / length * 100.0)
}
