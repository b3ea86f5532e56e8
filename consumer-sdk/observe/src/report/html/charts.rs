//! The charts beside the heat map, as plotly has them.

use super::super::look::{self, Rgb};
use super::plots::{axis, color, counts, layout, marks, names, plot, time_axis, unit};
use crate::analysis::model::{Process, TemperaturePoint, WorkingSetPoint};
use crate::numbers::grouped;
use plotly::color::NamedColor;
use plotly::common::{
    Fill, HoverInfo, Line, LineShape, Marker, MarkerSymbol, Mode, Orientation, TextPosition,
};
use plotly::layout::{BarMode, HoverMode};
use plotly::{Bar, Plot, Scatter, Trace};

const HEIGHT: usize = 380;

/// How many pages were touched how often.
pub(super) fn temperature(process: &Process) -> Plot {
    let bins = &process.temperature.bins;
    let labels = bins.iter().map(|bin| bin.label.clone()).collect();
    let pages = bins.iter().map(|bin| bin.pages).collect();
    let texts = bins.iter().map(|bin| {
        let (pages, events) = (grouped(bin.pages), grouped(bin.events));
        format!("{}: {pages} pages, which have {events} events", bin.label)
    });
    let bar = bars(labels, pages, look::PLAIN)
        .text_array(bins.iter().map(|bin| grouped(bin.pages)).collect())
        .hover_text_array(texts.collect());
    let layout = layout(HEIGHT)
        .hover_mode(HoverMode::Closest)
        .x_axis(names("share of the epochs in which a page was touched"))
        .y_axis(counts("pages"));
    plot(vec![bar], layout)
}

/// Which share of the events the hottest pages have.
pub(super) fn concentration(process: &Process) -> Plot {
    let percent = |share: f64| (share * 1e4).round() / 100.0;
    let curve = &process.temperature.curve;
    let x: Vec<f64> = curve.iter().map(|point| percent(point.0)).collect();
    let y: Vec<f64> = curve.iter().map(|point| percent(point.1)).collect();
    let line = Scatter::new(x, y)
        .name("this program")
        .mode(Mode::Lines)
        .fill(Fill::ToZeroY)
        .fill_color("rgba(0,114,178,0.13)")
        .hover_template(
            "the hottest %{x:.1f} % of the pages have %{y:.1f} % of the events<extra></extra>",
        )
        .line(Line::new().color(color(look::PLAIN)).width(2.5));
    let even = Scatter::new(vec![0.0, 100.0], vec![0.0, 100.0])
        .name("if all pages had equally many")
        .mode(Mode::Lines)
        .hover_info(HoverInfo::Skip)
        .line(
            Line::new()
                .color(NamedColor::Gray)
                .width(1.5)
                .dash(plotly::common::DashType::Dash),
        );
    let layout = layout(HEIGHT)
        .hover_mode(HoverMode::Closest)
        .x_axis(axis("% of the pages, hottest first").range(vec![0.0, 100.0]))
        .y_axis(axis("% of all events").range(vec![0.0, 102.0]));
    plot(vec![line, even], layout)
}

/// How many pages are hot, warm, cool and cold as time goes on.
pub(super) fn temperature_over_time(process: &Process) -> Plot {
    let unit = unit(process);
    let points = &process.temperature.over_time;
    let mut x: Vec<f64> = points
        .iter()
        .map(|point| unit.convert(point.time))
        .collect();
    // A stretch lasts until the next begins, the last one until the map ends.
    x.extend(
        points
            .last()
            .map(|last| unit.convert(end_of(process, last))),
    );
    let layers = [
        ("hot: in at least half of the epochs", 0),
        ("warm: in at least a tenth", 1),
        ("cool: in fewer", 2),
        ("cold: touched before, not now", 3),
    ];
    let area = |&(name, layer): &(&str, usize)| {
        let value =
            |point: &TemperaturePoint| [point.hot, point.warm, point.cool, point.cold][layer];
        let mut y: Vec<u64> = points.iter().map(value).collect();
        y.extend(y.last().copied());
        let rgb = look::TEMPERATURES[layer];
        let trace: Box<dyn Trace> = Scatter::new(x.clone(), y)
            .name(name)
            .mode(Mode::Lines)
            .stack_group("pages")
            .fill_color(look::hex(rgb))
            .hover_template("%{y:,}")
            .line(
                Line::new()
                    .shape(LineShape::Hv)
                    .width(0.5)
                    .color(color(rgb)),
            );
        trace
    };
    let layout = layout(HEIGHT + 40)
        .x_axis(time_axis(process, unit))
        .y_axis(counts("pages"))
        .shapes(marks(&process.marks, unit));
    plot(layers.iter().map(area).collect(), layout)
}

/// Where the last stretch of time ends, in seconds.
pub(crate) fn end_of(process: &Process, last: &TemperaturePoint) -> f64 {
    let heat = &process.heat;
    last.time
        .max(heat.start + heat.width * heat.columns() as f64)
}

/// The parts of the distribution: name, pages, colour.
pub(crate) fn distribution_parts(process: &Process) -> Vec<(&'static str, u64, Rgb)> {
    let parts = process.distribution;
    match parts.loads_watched {
        true => vec![
            ("written only", parts.written, look::WRITTEN),
            ("read only", parts.read, look::READ),
            ("written and read", parts.both, look::BOTH),
            ("never touched", parts.untouched, look::UNTOUCHED),
        ],
        // Pages that were only read are among those of which nothing is known.
        false => vec![
            ("written", parts.written + parts.both, look::WRITTEN),
            (
                "not written (reads were not watched)",
                parts.read + parts.untouched,
                look::UNTOUCHED,
            ),
        ],
    }
}

/// What was done with the pages.
pub(super) fn distribution(process: &Process) -> Plot {
    let parts = distribution_parts(process);
    let whole: u64 = parts.iter().map(|part| part.1).sum();
    let trace = |&(name, pages, rgb): &(&'static str, u64, Rgb)| {
        let share = crate::numbers::percent(pages as f64, whole as f64);
        let bytes = crate::numbers::bytes(pages * 4096);
        let text = format!("{name}: {} pages ({bytes}), {share}", grouped(pages));
        let trace: Box<dyn Trace> = Bar::new(vec![pages], vec!["pages"])
            .orientation(Orientation::Horizontal)
            .name(format!("{name}: {share}"))
            .hover_text(text)
            .hover_info(HoverInfo::Text)
            .marker(Marker::new().color(color(rgb)));
        trace
    };
    let layout = layout(210)
        .hover_mode(HoverMode::Closest)
        .bar_mode(BarMode::Stack)
        .x_axis(counts("pages"))
        .y_axis(names("").show_tick_labels(false));
    plot(parts.iter().map(trace).collect(), layout)
}

/// One line of the working set.
#[derive(Clone, Copy)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) rgb: Rgb,
    pub(crate) of: fn(&WorkingSetPoint) -> u64,
}

/// The lines of the working set. What no epoch has anything of is left out, but for the first two.
pub(crate) fn working_set_series(process: &Process) -> Vec<Series> {
    let series = |name, rgb, of| Series { name, rgb, of };
    let points = &process.working_set.points;
    let all = [
        series("touched (any of these)", look::TOUCHED, |point| {
            point.touched
        }),
        series("written", look::WRITTEN, |point| point.written),
        series("read", look::READ, |point| point.read),
        series("filled by the kernel", look::KERNEL, |point| point.kernel),
    ];
    let there = |series: &Series| points.iter().any(|point| (series.of)(point) > 0);
    let (always, others) = all.split_at(2);
    let others = others.iter().filter(|series| there(series));
    always.iter().chain(others).copied().collect()
}

/// Pages touched in each epoch, and where records were lost.
pub(super) fn working_set(process: &Process) -> Plot {
    let unit = unit(process);
    let points = &process.working_set.points;
    let x: Vec<f64> = points
        .iter()
        .map(|point| unit.convert(point.time))
        .collect();
    let mut traces: Vec<Box<dyn Trace>> = Vec::new();
    for series in working_set_series(process) {
        let line = Line::new()
            .shape(LineShape::Hv)
            .color(color(series.rgb))
            .width(1.8);
        let trace = Scatter::new(x.clone(), points.iter().map(series.of).collect())
            .name(series.name)
            .mode(Mode::Lines)
            .hover_template("%{y:,}")
            .line(line);
        traces.push(trace);
    }
    traces.extend(losses(process));
    let layout = layout(HEIGHT)
        .x_axis(time_axis(process, unit))
        .y_axis(counts("pages in an epoch"))
        .shapes(marks(&process.marks, unit));
    plot(traces, layout)
}

/// Crosses where records are missing.
fn losses(process: &Process) -> Option<Box<dyn Trace>> {
    let unit = unit(process);
    let lossy = process
        .working_set
        .points
        .iter()
        .filter(|point| point.lost > 0);
    let points: Vec<&WorkingSetPoint> = lossy.collect();
    if points.is_empty() {
        return None;
    }
    let text = |point: &&WorkingSetPoint| format!("{} records lost", grouped(point.lost));
    let trace = Scatter::new(
        points
            .iter()
            .map(|point| unit.convert(point.time))
            .collect(),
        points
            .iter()
            .map(|point| point.touched)
            .collect::<Vec<u64>>(),
    )
    .name("records were lost here")
    .mode(Mode::Markers)
    .hover_template("%{text}")
    .text_array(points.iter().map(text).collect())
    .marker(
        Marker::new()
            .symbol(MarkerSymbol::X)
            .size(9)
            .color(color(look::LOST)),
    );
    Some(trace)
}

/// How many regions of 2 MiB use how many of their pages.
pub(super) fn huge_pages(process: &Process) -> Plot {
    let regions = &process.huge_pages.regions;
    let labels: Vec<String> = (0..regions.len()).map(used_pages).collect();
    let texts = labels.iter().zip(regions).map(|(label, &count)| {
        format!("{} regions with {label} of 512 pages used", grouped(count))
    });
    let shown = |&count: &u64| match count {
        0 => String::new(),
        count => grouped(count),
    };
    let bar = bars(labels.clone(), regions.to_vec(), look::PLAIN)
        .text_array(regions.iter().map(shown).collect())
        .hover_text_array(texts.collect());
    let layout = layout(HEIGHT)
        .hover_mode(HoverMode::Closest)
        .x_axis(names("pages used, of the 512 of a region"))
        .y_axis(counts("regions of 2 MiB"));
    plot(vec![bar], layout)
}

/// `1-32`, `33-64` ...
pub(crate) fn used_pages(bin: usize) -> String {
    format!("{}–{}", bin * 32 + 1, bin * 32 + 32)
}

fn bars(labels: Vec<String>, values: Vec<u64>, rgb: Rgb) -> Box<Bar<String, u64>> {
    Bar::new(labels, values)
        .text_position(TextPosition::Outside)
        .hover_info(HoverInfo::Text)
        .clip_on_axis(false)
        .marker(Marker::new().color(color(rgb)))
}
