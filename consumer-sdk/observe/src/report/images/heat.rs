//! The heat map as a picture.

use super::super::ladder::{Ladder, What};
use super::super::look;
use super::canvas::{self, Area, Drawn, Layout, Plane, SMALL};
use crate::analysis::model::Process;
use plotters::element::BitMapElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

/// Pixels for names on the left and for addresses on the right.
const LEFT: i32 = 366;
const RIGHT: i32 = 214;
/// Characters of names on the left.
const LONGEST_NAME: usize = 30;
/// A pixel where addresses are folded away.
const FOLDED: [u8; 3] = [0xff; 3];
const BORDER: RGBColor = RGBColor(0xa0, 0xa6, 0xad);

/// Pixels of all cells.
pub(super) struct Bitmap {
    /// Upper left corner.
    pub(super) place: (i32, i32),
    pub(super) size: (u32, u32),
    /// Three bytes each.
    pub(super) pixels: Vec<u8>,
}

/// What becomes of the cells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cells {
    /// They are drawn like the rest.
    Drawn,
    /// They are left to the caller, who has to put them behind all lines and letters.
    Given,
}

pub(super) fn draw<DB: DrawingBackend>(
    area: &Area<DB>,
    process: &Process,
    become_of_cells: Cells,
) -> Result<Bitmap, DrawingAreaErrorKind<DB::ErrorType>> {
    let ladder = Ladder::of(&process.heat);
    let (unit, x) = canvas::time(process);
    canvas::titled(area, "Which memory was touched when", process)?;
    let shares = [(0.0, "none")].into_iter().chain(look::SHARES);
    let items: Vec<(String, look::Rgb)> = shares
        .map(|(share, name)| (name.into(), look::heat(look::level(share))))
        .collect();
    canvas::legend(
        area,
        "share of the pages touched in an average epoch:",
        &items,
    )?;
    let layout = Layout {
        x,
        y: 0.0..ladder.height,
        x_title: &unit.axis(),
        y_numbers: false,
        left: LEFT,
        right: RIGHT,
        ..Layout::default()
    };
    let chart = canvas::plane(area, &layout)?;
    let bitmap = cells(&chart, process, &ladder);
    if become_of_cells == Cells::Drawn {
        let element = BitMapElement::<_>::with_ref(bitmap.place, bitmap.size, &bitmap.pixels);
        // There are as many pixels as the size says.
        element.map_or(Ok(()), |element| area.draw(&element))?;
    }
    bands(area, &chart, process, &ladder)?;
    canvas::marks(area, &chart, &process.marks, unit)?;
    Ok(bitmap)
}

/// Pixels between lines where mappings begin, at least: where there are very many, they would be all that is seen.
const BETWEEN_LINES: i32 = 8;

/// One bitmap of all cells: each pixel has the colour of the cell that its middle lies in.
fn cells<DB: DrawingBackend>(chart: &Plane<'_, DB>, process: &Process, ladder: &Ladder) -> Bitmap {
    let heat = &process.heat;
    let (unit, time) = canvas::time(process);
    let (columns, rows) = chart.plotting_area().get_pixel_range();
    let (wide, high) = (columns.len(), rows.len());
    let column_at = |pixel: usize| {
        let part = (pixel as f64 + 0.5) / wide as f64;
        let seconds = (time.start + (time.end - time.start) * part) / unit.per_second;
        let column = ((seconds - heat.start) / heat.width).floor();
        (column >= 0.0 && (column as usize) < heat.columns()).then_some(column as usize)
    };
    let columns_at: Vec<Option<usize>> = (0..wide).map(column_at).collect();
    let line_of = |what: What| -> Vec<u8> {
        let What::Row(row) = what else {
            return FOLDED.repeat(wide);
        };
        let color = |column| look::heat(look::level(heat.intensity(row, column, &[0, 1, 2])));
        let colors: Vec<look::Rgb> = (0..heat.columns()).map(color).collect();
        let at = columns_at.iter();
        at.map(|column| column.map_or(look::EMPTY, |column| colors[column]))
            .flat_map(|(red, green, blue)| [red, green, blue])
            .collect()
    };
    let step_at = |pixel: usize| {
        let height = (1.0 - (pixel as f64 + 0.5) / high as f64) * ladder.height;
        let at = ladder.steps.partition_point(|step| step.top <= height);
        ladder.steps[at.min(ladder.steps.len() - 1)].what
    };
    let mut pixels = Vec::with_capacity(wide * high * 3);
    let mut last: Option<(What, Vec<u8>)> = None;
    for pixel in 0..high {
        let what = step_at(pixel);
        let line = match last.take() {
            Some((before, line)) if before == what => line,
            _ => line_of(what),
        };
        pixels.extend(&line);
        last = Some((what, line));
    }
    Bitmap {
        place: (columns.start, rows.start),
        size: (wide as u32, high as u32),
        pixels,
    }
}

/// Where mappings begin: lines, names on the left, addresses on the right, as far as they have room.
fn bands<DB: DrawingBackend>(
    area: &Area<DB>,
    chart: &Plane<'_, DB>,
    process: &Process,
    ladder: &Ladder,
) -> Drawn<DB> {
    let (columns, rows) = chart.plotting_area().get_pixel_range();
    let y_of = |height: f64| {
        let part = height / ladder.height.max(f64::MIN_POSITIVE);
        rows.end - (part * f64::from(rows.end - rows.start)).round() as i32
    };
    let bands = &process.heat.bands;
    let extents: Vec<(i32, i32)> = bands
        .iter()
        .map(|band| ladder.extent(band))
        .map(|(bottom, top)| (y_of(bottom), y_of(top)))
        .collect();
    let mut last = rows.end;
    for &(bottom, _) in extents.iter().skip(1) {
        if last - bottom < BETWEEN_LINES {
            continue;
        }
        last = bottom;
        let line = [(columns.start, bottom), (columns.end, bottom)];
        area.draw(&PathElement::new(line, BORDER.stroke_width(1)))?;
    }
    let size = f64::from(SMALL) + 4.0;
    let label = |at: fn((i32, i32)) -> f64| {
        extents
            .iter()
            .map(|&(bottom, top)| (at((bottom, top)), size, f64::from(bottom - top)))
            .collect::<Vec<_>>()
    };
    let centres = label(|(bottom, top)| f64::from(bottom + top) / 2.0);
    for index in look::fitting(&centres) {
        let name = look::shortened(&bands[index].label, LONGEST_NAME);
        let at = (columns.start - 10, centres[index].0 as i32);
        canvas::write(area, &name, SMALL, at, (HPos::Right, VPos::Center))?;
    }
    let bottoms = label(|(bottom, _)| f64::from(bottom));
    for index in look::fitting(&bottoms) {
        let start = process.heat.rows[bands[index].first_row].start;
        let at = (columns.end + 8, bottoms[index].0 as i32);
        let address = format!("{start:#x}");
        canvas::write(area, &address, SMALL, at, (HPos::Left, VPos::Center))?;
    }
    Ok(())
}
