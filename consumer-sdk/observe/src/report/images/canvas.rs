//! What all pictures have in common: size, letters, title, legend, axes, and marks of the program.

use super::super::look::{self, Rgb, TimeUnit};
use crate::analysis::model::{MarkPoint, Process};
use crate::failure::Failure;
use crate::numbers;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use std::ops::Range;
use std::sync::OnceLock;

/// Pixels.
pub(super) const SIZE: (u32, u32) = (1600, 900);
/// What is left to the axes: the title and the legend are above.
const TOP: i32 = 170;
const RIGHT: i32 = 40;
const BOTTOM: i32 = 30;
/// Heights of letters.
pub(super) const TEXT: i32 = 27;
pub(super) const SMALL: i32 = 21;
const TITLE: i32 = 42;
/// Characters of a command line.
const LONGEST_COMMAND: usize = 90;
/// Characters of a mark's name.
const LONGEST_MARK: usize = 24;

const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const SOFT: RGBColor = RGBColor(0x57, 0x60, 0x6a);
const GRID: RGBColor = RGBColor(0xe2, 0xe5, 0xe9);
const AXIS: RGBColor = RGBColor(0x9a, 0xa1, 0xa9);

pub(super) type Area<DB> = DrawingArea<DB, Shift>;
pub(super) type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;
pub(super) type Plane<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Planned<'a, DB> =
    Result<Plane<'a, DB>, DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// A colour as pictures take it.
pub(super) fn color((red, green, blue): Rgb) -> RGBColor {
    RGBColor(red, green, blue)
}

/// Letters come with the program: pictures look the same everywhere.
///
/// # Errors
/// When they cannot be used, which they can.
pub(super) fn provide_letters() -> Result<(), Failure> {
    static PROVIDED: OnceLock<bool> = OnceLock::new();
    let provide = || {
        let regular = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
        let bold = register_font("sans-serif", FontStyle::Bold, dejavu::sans::bold());
        regular.is_ok() && bold.is_ok()
    };
    match PROVIDED.get_or_init(provide) {
        true => Ok(()),
        false => Err(Failure::Other(
            "the built-in letters for pictures are damaged. Install vmmload anew".into(),
        )),
    }
}

/// A style of text at a place, seen from there.
pub(super) fn style(size: i32, color: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    let font = FontDesc::new(FontFamily::SansSerif, f64::from(size), FontStyle::Normal);
    font.color(&color).pos(Pos::new(h, v))
}

/// A text of the program's own, in the usual colour.
pub(super) fn write<DB: DrawingBackend>(
    area: &Area<DB>,
    text: &str,
    size: i32,
    at: (i32, i32),
    (h, v): (HPos, VPos),
) -> Drawn<DB> {
    area.draw_text(text, &style(size, INK, h, v), at)
}

/// How wide a text is, in pixels.
pub(super) fn width<DB: DrawingBackend>(area: &Area<DB>, text: &str, size: i32) -> i32 {
    let style = style(size, INK, HPos::Left, VPos::Top);
    let letters = text.chars().count() as i32;
    area.estimate_text_size(text, &style)
        .map_or(letters * size * 3 / 5, |extent| extent.0 as i32)
}

/// Background, what is seen as a title, and of which program.
pub(super) fn titled<DB: DrawingBackend>(
    area: &Area<DB>,
    title: &str,
    process: &Process,
) -> Drawn<DB> {
    area.fill(&WHITE)?;
    let bold = FontDesc::new(FontFamily::SansSerif, f64::from(TITLE), FontStyle::Bold);
    area.draw_text(title, &bold.color(&INK), (40, 24))?;
    let facts = &process.facts;
    let command = look::shortened(&facts.command, LONGEST_COMMAND);
    let text = format!("process {}: {command}", super::prefix(facts));
    area.draw_text(&text, &style(TEXT, SOFT, HPos::Left, VPos::Top), (40, 74))
}

/// What the colours mean, in one row below the title.
pub(super) fn legend<DB: DrawingBackend>(
    area: &Area<DB>,
    before: &str,
    items: &[(String, Rgb)],
) -> Drawn<DB> {
    let (mut x, y) = (40, 124);
    if !before.is_empty() {
        write(area, before, TEXT, (x, y), (HPos::Left, VPos::Center))?;
        x += width(area, before, TEXT) + 18;
    }
    for (name, rgb) in items {
        let place = [(x, y - 8), (x + 24, y + 8)];
        area.draw(&Rectangle::new(place, color(*rgb).filled()))?;
        area.draw(&Rectangle::new(place, AXIS))?;
        write(area, name, TEXT, (x + 32, y), (HPos::Left, VPos::Center))?;
        x += 32 + width(area, name, TEXT) + 30;
    }
    Ok(())
}

/// How a chart is laid out within its picture.
pub(super) struct Layout<'a> {
    pub(super) x: Range<f64>,
    pub(super) y: Range<f64>,
    pub(super) x_title: &'a str,
    pub(super) y_title: &'a str,
    /// Whether the axes have numbers; else the chart writes what there is to write.
    pub(super) x_numbers: bool,
    pub(super) y_numbers: bool,
    /// Pixels on the left and on the right.
    pub(super) left: i32,
    pub(super) right: i32,
}

impl Default for Layout<'_> {
    fn default() -> Self {
        Self {
            x: 0.0..1.0,
            y: 0.0..1.0,
            x_title: "",
            y_title: "",
            x_numbers: true,
            y_numbers: true,
            left: 120,
            right: RIGHT,
        }
    }
}

/// Axes, numbers and lines behind the chart.
pub(super) fn plane<'a, DB: DrawingBackend + 'a>(
    area: &'a Area<DB>,
    layout: &Layout<'_>,
) -> Planned<'a, DB> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(TOP)
        .margin_right(layout.right)
        .margin_bottom(BOTTOM)
        .margin_left(24)
        .x_label_area_size(84)
        .y_label_area_size(layout.left)
        .build_cartesian_2d(layout.x.clone(), layout.y.clone())?;
    let (x_span, y_span) = (span(&layout.x), span(&layout.y));
    let x_label = |value: &f64| ticked(*value, x_span);
    let y_label = |value: &f64| match y_span < 10.0 {
        true => ticked(*value, y_span),
        false => numbers::short(*value),
    };
    let label = |color| style(TEXT, color, HPos::Left, VPos::Top);
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(AXIS)
        .x_label_style(label(INK))
        .y_label_style(label(INK))
        .axis_desc_style(label(SOFT))
        .x_desc(layout.x_title)
        .y_desc(layout.y_title)
        .x_label_formatter(&x_label)
        .y_label_formatter(&y_label)
        .x_labels(if layout.x_numbers { 10 } else { 0 })
        .y_labels(if layout.y_numbers { 8 } else { 0 });
    if !layout.y_numbers {
        mesh.disable_y_mesh();
    }
    mesh.draw()?;
    Ok(chart)
}

fn span(range: &Range<f64>) -> f64 {
    range.end - range.start
}

/// A number on an axis of this length: with the digits that tell it from its neighbours.
fn ticked(value: f64, span: f64) -> String {
    let decimals = (1.0 - span.log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The unit and the range of an axis of time.
pub(super) fn time(process: &Process) -> (TimeUnit, Range<f64>) {
    let (from, to) = super::super::shown_span(process);
    let unit = TimeUnit::of(to);
    (unit, unit.convert(from)..unit.convert(to))
}

/// Dotted lines where the program made marks, with the names that have room above the chart.
pub(super) fn marks<DB: DrawingBackend>(
    area: &Area<DB>,
    chart: &Plane<'_, DB>,
    marks: &[MarkPoint],
    unit: TimeUnit,
) -> Drawn<DB> {
    let (columns, rows) = chart.plotting_area().get_pixel_range();
    let line = color(look::MARK).stroke_width(1);
    let mut labels = Vec::new();
    for (index, mark) in marks.iter().enumerate() {
        let x = chart.backend_coord(&(unit.convert(mark.time), 0.0)).0;
        if !columns.contains(&x) && x != columns.end {
            continue;
        }
        for y in rows.clone().step_by(8) {
            area.draw(&PathElement::new(
                [(x, y), (x, (y + 3).min(rows.end))],
                line,
            ))?;
        }
        let name = look::shortened(&mark.name, LONGEST_MARK);
        let wide = width(area, &name, SMALL) + 12;
        let left = x.min(SIZE.0 as i32 - wide);
        let centre = f64::from(left) + f64::from(wide) / 2.0;
        labels.push((name, left, (centre, f64::from(wide), -(index as f64))));
    }
    let places: Vec<(f64, f64, f64)> = labels.iter().map(|label| label.2).collect();
    for index in look::fitting(&places) {
        let (name, left, _) = &labels[index];
        let style = style(SMALL, color(look::MARK), HPos::Left, VPos::Bottom);
        area.draw_text(name, &style, (left + 3, rows.start - 3))?;
    }
    Ok(())
}
