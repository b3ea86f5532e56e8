//! Charts with an axis of time as pictures.

use super::super::html::charts::{end_of, working_set_series};
use super::super::look;
use super::canvas::{self, Area, Drawn, Layout};
use crate::analysis::model::{Process, TemperaturePoint, WorkingSetPoint};
use plotters::prelude::*;

/// Points of a line at most: more cannot be told apart, and make files large.
const MOST_POINTS: usize = 700;

/// Hot, warm, cool and cold pages, one upon the other.
pub(super) fn temperature<DB: DrawingBackend>(area: &Area<DB>, process: &Process) -> Drawn<DB> {
    const NAMES: [&str; 4] = [
        "hot: half of the epochs or more",
        "warm: a tenth or more",
        "cool: fewer",
        "cold: none now",
    ];
    canvas::titled(area, "How hot the memory is as time goes on", process)?;
    let items = NAMES.iter().zip(look::TEMPERATURES);
    let items: Vec<(String, look::Rgb)> = items.map(|(&name, rgb)| (name.into(), rgb)).collect();
    canvas::legend(area, "", &items)?;
    let points = &process.temperature.over_time;
    // Upper edges of the layers.
    let edges = |point: &TemperaturePoint| {
        let mut sum = 0;
        [point.hot, point.warm, point.cool, point.cold].map(|pages| {
            sum += pages;
            sum
        })
    };
    let most = points.iter().map(|point| edges(point)[3]).max();
    let (unit, x) = canvas::time(process);
    let layout = Layout {
        x,
        y: 0.0..most.unwrap_or_default().max(1) as f64 * 1.05,
        x_title: &unit.axis(),
        y_title: "pages",
        ..Layout::default()
    };
    let mut chart = canvas::plane(area, &layout)?;
    // From the uppermost on: each layer covers what lies behind it.
    for layer in (0..NAMES.len()).rev() {
        let times = points.iter().map(|point| unit.convert(point.time));
        let values = points.iter().map(|point| edges(point)[layer] as f64);
        let last = points.last().map_or(0.0, |last| end_of(process, last));
        let mut outline = steps(times.zip(values), unit.convert(last));
        let (first, last) = (outline.first().copied(), outline.last().copied());
        outline.extend(last.map(|(time, _)| (time, 0.0)));
        outline.extend(first.map(|(time, _)| (time, 0.0)));
        let filled = canvas::color(look::TEMPERATURES[layer]).filled();
        chart.draw_series([Polygon::new(outline, filled)])?;
    }
    canvas::marks(area, &chart, &process.marks, unit)
}

/// A line that keeps each value until the next one, and the last one until `end`.
fn steps(points: impl Iterator<Item = (f64, f64)>, end: f64) -> Vec<(f64, f64)> {
    let mut line: Vec<(f64, f64)> = Vec::new();
    for (time, value) in points {
        line.extend(line.last().map(|&(_, before)| (time, before)));
        line.push((time, value));
    }
    line.extend(line.last().map(|&(_, value)| (end, value)));
    line
}

/// Pages touched in each epoch, by kind, and where records were lost.
pub(super) fn working_set<DB: DrawingBackend>(area: &Area<DB>, process: &Process) -> Drawn<DB> {
    canvas::titled(area, "How much memory is in use at a time", process)?;
    let series = working_set_series(process);
    let points = &process.working_set.points;
    let mut items: Vec<(String, look::Rgb)> = series
        .iter()
        .map(|series| (series.name.into(), series.rgb))
        .collect();
    let lossy: Vec<&WorkingSetPoint> = points.iter().filter(|point| point.lost > 0).collect();
    if !lossy.is_empty() {
        items.push(("records were lost here".into(), look::LOST));
    }
    canvas::legend(area, "", &items)?;
    let (unit, x) = canvas::time(process);
    let end = x.end;
    let most = points.iter().map(|point| point.touched).max();
    let layout = Layout {
        x,
        y: 0.0..most.unwrap_or_default().max(1) as f64 * 1.05,
        x_title: &unit.axis(),
        y_title: "pages in an epoch",
        ..Layout::default()
    };
    let mut chart = canvas::plane(area, &layout)?;
    for point in &lossy {
        let x = unit.convert(point.time);
        let line = PathElement::new(
            [(x, layout.y.start), (x, layout.y.end)],
            canvas::color(look::LOST).stroke_width(4),
        );
        chart.draw_series([line])?;
    }
    let group = points.len().div_ceil(MOST_POINTS).max(1);
    for series in &series {
        let largest = |points: &[WorkingSetPoint]| {
            let value = points.iter().map(series.of).max().unwrap_or_default();
            (unit.convert(points[0].time), value as f64)
        };
        let line = steps(points.chunks(group).map(largest), end);
        let style = canvas::color(series.rgb).stroke_width(2);
        chart.draw_series([PathElement::new(line, style)])?;
    }
    canvas::marks(area, &chart, &process.marks, unit)
}
