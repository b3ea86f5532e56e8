//! The heat map: what page.js needs for drawing it, which is the counts of events, and what surrounds it.

use super::super::ladder::{Ladder, What};
use super::super::{look, page};
use super::plots;
use crate::analysis::model::{HeatMap, Process};
use plotly::common::{AxisSide, ColorScale, ColorScaleElement, HoverInfo, Mode, TickMode};
use plotly::layout::{DragMode, HoverMode};
use plotly::{Layout, Plot, Scatter};
use serde_json::json;

/// Characters of a mapping's name that are kept: the middle of what is longer is left out.
const LONGEST_NAME: usize = 160;
const HEIGHT: usize = 620;
/// Most lines between mappings.
const MOST_LINES: f64 = 80.0;

/// The chart with its controls, as HTML.
pub(super) fn figure(id: &str, process: &Process) -> String {
    let alt = format!(
        "heat map of {} ranges of addresses against {} stretches of time; the darker, the more of a range's pages were \
         touched",
        process.heat.rows.len(),
        process.heat.columns()
    );
    let mut html = controls(id, process);
    html.push_str(&page::chart(id, &plot(process).to_json(), &alt));
    html.push_str(&page::data(id, "cells", &cells(process)));
    html
}

/// Buttons for the kinds of events, and what the colours mean.
fn controls(id: &str, process: &Process) -> String {
    let id = page::escape(id);
    let loads = process.distribution.loads_watched;
    let button = |kinds: &str, name: &str, there: bool| {
        let pressed = name == "all";
        let disabled = if there { "" } else { " disabled" };
        format!(
            "<button type=\"button\" data-kinds=\"{kinds}\" aria-pressed=\"{pressed}\"{disabled}>{name}</button>"
        )
    };
    let [write, read, kernel] = process.events.map(|events| events > 0);
    let buttons = [
        button("0 1 2", "all", true),
        button("0", "write", write),
        button("1", if loads { "read" } else { "read (not watched)" }, read),
        button("2", "kernel", kernel),
    ];
    let swatch = |share: f64, name: &str| {
        let color = look::hex(look::heat(look::level(share)));
        format!("<span><i style=\"background:{color}\"></i>{name}</span>")
    };
    let swatches: String = [(0.0, "none")]
        .iter()
        .chain(&look::SHARES)
        .map(|&(share, name)| swatch(share, name))
        .collect();
    format!(
        "<div class=\"controls\"><span class=\"kinds\" role=\"group\" aria-label=\"Kind of events\" data-of=\"{id}\">\
         Show {}</span>\n<span class=\"scale\">Pages touched in an average epoch: {swatches}</span></div>\n",
        buttons.concat()
    )
}

/// Axes, colours and marks, without the cells: page.js makes the colours of the cells from the counts of events.
fn plot(process: &Process) -> Plot {
    let (heat, unit) = (&process.heat, plots::unit(process));
    let ladder = Ladder::of(heat);
    let columns = 0..=heat.columns();
    let x: Vec<f64> = columns
        .map(|column| unit.convert(heat.start + heat.width * column as f64))
        .collect();
    let colors = (0..=20u8).map(|step| {
        let level = (step * 5).max(1);
        ColorScaleElement(f64::from(step) / 20.0, look::hex(look::heat(level)))
    });
    let trace = plotly::HeatMap::new(x, edges(&ladder), Vec::<Vec<u8>>::new())
        .color_scale(ColorScale::Vector(colors.collect()))
        .zmin(0.0)
        .zmax(100.0)
        .show_scale(false)
        .hover_info(HoverInfo::None);
    // An axis is drawn where a trace has it; this one has the addresses.
    let addresses = Scatter::new(vec![0.0; 0], vec![0.0; 0])
        .y_axis("y2")
        .mode(Mode::Lines)
        .show_legend(false);
    plots::plot(vec![trace, addresses], layout(process, &ladder))
}

fn layout(process: &Process, ladder: &Ladder) -> Layout {
    let unit = plots::unit(process);
    let axis = || {
        plots::axis("")
            .range(vec![0.0, ladder.height])
            .show_grid(false)
            .tick_mode(TickMode::Array)
    };
    let mut shapes = between_bands(&process.heat, ladder);
    shapes.extend(plots::marks(&process.marks, unit));
    plots::layout(HEIGHT)
        .hover_mode(HoverMode::Closest)
        .drag_mode(DragMode::Zoom)
        .show_legend(false)
        .plot_background_color(plots::color(look::EMPTY))
        .x_axis(plots::time_axis(process, unit))
        .y_axis(axis())
        .y_axis2(
            axis()
                .overlaying("y")
                .matches("y")
                .side(AxisSide::Right)
                .tick_font(plotly::common::Font::new().family("monospace").size(11)),
        )
        .shapes(shapes)
}

/// White where addresses are folded away, and thin lines where a mapping ends.
fn between_bands(heat: &HeatMap, ladder: &Ladder) -> Vec<plotly::layout::Shape> {
    use plotly::layout::{Shape, ShapeLayer, ShapeLine, ShapeType};
    let across = |kind, bottom: f64, top: f64| {
        Shape::new()
            .shape_type(kind)
            .layer(ShapeLayer::Above)
            .x_ref("paper")
            .x0(0)
            .x1(1)
            .y_ref("y")
            .y0(rounded(bottom))
            .y1(rounded(top))
    };
    let folds = ladder.steps.iter().filter_map(|step| match step.what {
        What::Row(_) => None,
        What::Fold(_) => Some(
            across(ShapeType::Rect, step.bottom, step.top)
                .fill_color("#ffffff")
                .line(ShapeLine::new().width(0.).color("#ffffff")),
        ),
    });
    // Where there are very many, they would be all that is seen.
    let apart = ladder.height / MOST_LINES;
    let mut last = 0.0;
    let ends = heat.bands.iter().skip(1).filter_map(|band| {
        let bottom = ladder.extent(band).0;
        if bottom - last < apart {
            return None;
        }
        last = bottom;
        let line = ShapeLine::new().width(1.).color("rgba(90,96,104,0.55)");
        Some(across(ShapeType::Line, bottom, bottom).line(line))
    });
    folds.chain(ends).collect()
}

fn rounded(height: f64) -> f64 {
    (height * 1e3).round() / 1e3
}

/// Where the steps begin, and where the last one ends.
fn edges(ladder: &Ladder) -> Vec<f64> {
    let bottoms = ladder.steps.iter().map(|step| rounded(step.bottom));
    bottoms.chain([rounded(ladder.height)]).collect()
}

/// The counts and what is told of them.
fn cells(process: &Process) -> String {
    let (heat, unit) = (&process.heat, plots::unit(process));
    let ladder = Ladder::of(heat);
    let steps: Vec<i64> = ladder
        .steps
        .iter()
        .map(|step| match step.what {
            What::Row(row) => row as i64,
            What::Fold(_) => -1,
        })
        .collect();
    let folds: serde_json::Map<String, serde_json::Value> = ladder
        .steps
        .iter()
        .enumerate()
        .filter_map(|(index, step)| match step.what {
            What::Row(_) => None,
            What::Fold(bytes) => Some((index.to_string(), bytes.into())),
        })
        .collect();
    let rows: Vec<(u64, u64, u64)> = heat
        .rows
        .iter()
        .map(|row| (row.start, row.end, row.pages))
        .collect();
    let bands: Vec<(usize, usize, String)> = heat
        .bands
        .iter()
        .map(|band| {
            (
                band.first_row,
                band.rows,
                look::shortened(&band.label, LONGEST_NAME),
            )
        })
        .collect();
    json!({
        "unit": unit.symbol,
        "start": heat.start * unit.per_second,
        "width": heat.width * unit.per_second,
        "loads": process.distribution.loads_watched,
        "epochs": heat.epochs,
        "told_by": heat.told_by,
        "steps": steps,
        "folds": folds,
        "rows": rows,
        "bands": bands,
        "cells": heat.cells.each_ref().map(|cells| compact(cells, heat.columns())),
    })
    .to_string()
}

/// Counts row by row. A negative number stands for so many zeros, and zeros at the end of a row are left out; a kind
/// that nothing has is empty.
fn compact(cells: &[u32], columns: usize) -> Vec<Vec<i64>> {
    if columns == 0 || cells.iter().all(|&events| events == 0) {
        return Vec::new();
    }
    cells.chunks(columns).map(compact_row).collect()
}

fn compact_row(cells: &[u32]) -> Vec<i64> {
    let mut row: Vec<i64> = Vec::new();
    let mut zeros = 0;
    for &events in cells {
        if events == 0 {
            zeros += 1;
            continue;
        }
        match zeros {
            0 => {}
            1 => row.push(0),
            zeros => row.push(-zeros),
        }
        zeros = 0;
        row.push(i64::from(events));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use serde_json::Value;

    #[test]
    fn zeros_take_no_room_and_nothing_else_changes() {
        assert_eq!(compact_row(&[0, 0, 3, 0, 1, 0, 0]), [-2, 3, 0, 1]);
        assert_eq!(compact_row(&[0, 0]), [] as [i64; 0]);
        assert!(compact(&[0, 0, 0, 0], 2).is_empty());
        assert_eq!(compact(&[1, 2, 0, 4], 2), [vec![1, 2], vec![0, 4]]);
    }

    #[test]
    fn the_stripes_of_the_sample_are_in_the_data() {
        let process = sample::stripes();
        let cells: Value = serde_json::from_str(&cells(&process)).expect("it is JSON");
        // Rows of the first mapping are written in the first half, those of the second in the second.
        let half = process.heat.columns() / 2;
        let (first, second) = (&cells["cells"][0][0], &cells["cells"][0][2]);
        assert_eq!(first.as_array().expect("a row").len(), half);
        assert!(
            first
                .as_array()
                .expect("a row")
                .iter()
                .all(|cell| *cell == 512)
        );
        assert_eq!(second[0], -(half as i64));
        assert_eq!(second.as_array().expect("a row").len(), 1 + half);
        assert_eq!(cells["steps"], serde_json::json!([0, 1, -1, 2, 3]));
        assert_eq!(cells["folds"]["2"], 1 << 30);
        assert_eq!(cells["bands"][1][2], "(anonymous memory) B");
        let plot: Value = serde_json::from_str(&plot(&process).to_json()).expect("it is JSON");
        assert_eq!(plot["data"][0]["y"].as_array().expect("edges").len(), 6);
        let shapes = plot["layout"]["shapes"].as_array().expect("shapes").clone();
        assert!(shapes.iter().any(|shape| shape["name"] == "half time"));
    }
}
