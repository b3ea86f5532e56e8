//! What all charts of a page have in common: axes, margins, letters, and marks of the program.

use super::super::look::{self, Rgb, TimeUnit};
use super::super::shown_span;
use crate::analysis::model::{MarkPoint, Process};
use plotly::color::Color;
use plotly::common::{Anchor, DashType, Font, Label, Orientation, Title};
use plotly::configuration::{DisplayModeBar, ModeBarButtonName};
use plotly::layout::{
    Axis, HoverMode, Legend, Margin, Shape, ShapeLayer, ShapeLine, ShapeType, TraceOrder,
};
use plotly::{Configuration, Layout, Plot, Trace};

const INK: &str = "#1f2328";
const GRID: &str = "#e6e8eb";
const LINE: &str = "#9aa1a9";
/// Characters of a mark's name that are kept.
const LONGEST_MARK: usize = 60;

/// A colour as charts take it.
pub(super) fn color(rgb: Rgb) -> impl Color {
    look::hex(rgb)
}

/// A chart of these traces.
pub(super) fn plot(traces: Vec<Box<dyn Trace>>, layout: Layout) -> Plot {
    let mut plot = Plot::new();
    traces.into_iter().for_each(|trace| plot.add_trace(trace));
    plot.set_layout(layout);
    plot.set_configuration(
        Configuration::new()
            .responsive(true)
            .display_logo(false)
            .display_mode_bar(DisplayModeBar::Hover)
            .mode_bar_buttons_to_remove(vec![
                ModeBarButtonName::Select2d,
                ModeBarButtonName::Lasso2d,
                ModeBarButtonName::AutoScale2d,
            ])
            // Dollars in names are no formulas.
            .typeset_math(false)
            .show_link(false),
    );
    plot
}

/// A layout of this height in pixels. Charts are as wide as the page.
pub(super) fn layout(height: usize) -> Layout {
    let legend = Legend::new()
        .orientation(Orientation::Horizontal)
        .trace_order(TraceOrder::Normal)
        .x(0.0)
        .x_anchor(Anchor::Left)
        // Names of marks have their place between legend and chart.
        .y(1.09)
        .y_anchor(Anchor::Bottom);
    Layout::new()
        .height(height)
        .auto_size(true)
        .margin(Margin::new().left(72).right(24).top(44).bottom(56))
        .font(Font::new().family("sans-serif").size(13).color(INK))
        .paper_background_color("#ffffff")
        .plot_background_color("#ffffff")
        .hover_label(
            Label::new()
                .background_color("#ffffff")
                .font(Font::new().size(13).color(INK)),
        )
        .hover_mode(HoverMode::XUnified)
        .separators(".,")
        .legend(legend)
        .x_axis(axis(""))
        .y_axis(axis(""))
}

/// An axis with this title.
pub(super) fn axis(title: &str) -> Axis {
    let axis = Axis::new()
        .show_grid(true)
        .grid_color(GRID)
        .show_line(true)
        .line_color(LINE)
        .zero_line(false)
        .separate_thousands(true)
        .auto_margin(true);
    match title {
        "" => axis,
        title => axis.title(Title::with_text(title).font(Font::new().size(13).color(INK))),
    }
}

/// An axis of numbers from 0 on.
pub(super) fn counts(title: &str) -> Axis {
    axis(title).range_mode(plotly::layout::RangeMode::ToZero)
}

/// An axis of names, in the order in which they come.
pub(super) fn names(title: &str) -> Axis {
    axis(title)
        .type_(plotly::layout::AxisType::Category)
        .show_grid(false)
}

/// The axis of time, over what was recorded of a process.
pub(super) fn time_axis(process: &Process, unit: TimeUnit) -> Axis {
    let (from, to) = shown_span(process);
    axis(&unit.axis())
        .range(vec![unit.convert(from), unit.convert(to)])
        .show_grid(false)
}

/// The unit of a process's charts.
pub(super) fn unit(process: &Process) -> TimeUnit {
    TimeUnit::of(shown_span(process).1)
}

/// Vertical lines where the program made a mark. The page's script puts names to those that have room.
pub(super) fn marks(marks: &[MarkPoint], unit: TimeUnit) -> Vec<Shape> {
    let shape = |mark: &MarkPoint| {
        let time = unit.convert(mark.time);
        Shape::new()
            .shape_type(ShapeType::Line)
            .layer(ShapeLayer::Above)
            // page.js escapes it, where it becomes a label.
            .name(look::shortened(&mark.name, LONGEST_MARK))
            .x_ref("x")
            .x0(time)
            .x1(time)
            .y_ref("paper")
            .y0(0)
            .y1(1)
            .line(
                ShapeLine::new()
                    .color(color(look::MARK))
                    .width(1.)
                    .dash(DashType::Dot),
            )
    };
    marks.iter().map(shape).collect()
}
