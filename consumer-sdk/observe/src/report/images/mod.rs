//! The charts as pictures, for documents and repositories.

mod bars;
mod canvas;
mod encode;
mod heat;
mod over_time;
#[cfg(test)]
mod tests;

use super::whole_file;
use crate::analysis::model::{Analysis, Facts, Process};
use crate::failure::Failure;
use base64::Engine;
use canvas::{Area, Drawn, SIZE};
use heat::{Bitmap, Cells};
use plotters::prelude::{
    BitMapBackend, DrawingAreaErrorKind, DrawingBackend, IntoDrawingArea, SVGBackend,
};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

/// What pictures are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Pixels.
    Png,
    /// Lines and letters.
    Svg,
}

/// The charts that there are pictures of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chart {
    Heat,
    Temperature,
    TemperatureOverTime,
    Distribution,
    WorkingSet,
    HugePages,
}

impl Chart {
    const ALL: [Self; 6] = [
        Self::Heat,
        Self::Temperature,
        Self::TemperatureOverTime,
        Self::Distribution,
        Self::WorkingSet,
        Self::HugePages,
    ];

    /// As the file is called, behind the process.
    fn name(self) -> &'static str {
        match self {
            Self::Heat => "heatmap",
            Self::Temperature => "temperature",
            Self::TemperatureOverTime => "temperature-over-time",
            Self::Distribution => "distribution",
            Self::WorkingSet => "working-set",
            Self::HugePages => "huge-pages",
        }
    }

    /// Whether there is anything to draw.
    fn is_there(self, process: &Process) -> bool {
        match self {
            Self::Heat => !process.heat.rows.is_empty() && process.heat.columns() > 0,
            Self::Temperature => !process.temperature.bins.is_empty(),
            Self::TemperatureOverTime => !process.temperature.over_time.is_empty(),
            Self::Distribution => process.distribution != Default::default(),
            Self::WorkingSet => !process.working_set.points.is_empty(),
            Self::HugePages => process.huge_pages.total > 0,
        }
    }

    /// Draws all of it, but for the cells of the heat map where these are left to the caller.
    fn draw<DB: DrawingBackend>(
        self,
        area: &Area<DB>,
        process: &Process,
        cells: Cells,
    ) -> Result<Option<Bitmap>, DrawingAreaErrorKind<DB::ErrorType>> {
        if self == Self::Heat {
            return heat::draw(area, process, cells).map(Some);
        }
        self.draw_lines(area, process).map(|()| None)
    }

    fn draw_lines<DB: DrawingBackend>(self, area: &Area<DB>, process: &Process) -> Drawn<DB> {
        match self {
            Self::Heat => Ok(()),
            Self::Temperature => bars::temperature(area, process),
            Self::TemperatureOverTime => over_time::temperature(area, process),
            Self::Distribution => bars::distribution(area, process),
            Self::WorkingSet => over_time::working_set(area, process),
            Self::HugePages => bars::huge_pages(area, process),
        }
    }
}

/// Writes pictures of all processes that were looked at closely into a directory, which is made if need be, and gives
/// their paths. Charts that have nothing to show have no picture.
///
/// # Errors
/// What could not be drawn or written, and why.
pub(crate) fn write(
    analysis: &Analysis,
    directory: &Path,
    format: Format,
) -> Result<Vec<PathBuf>, Failure> {
    fs::create_dir_all(directory).map_err(|cause| {
        let remedy = "Check that it may be made there, and is no file";
        Failure::of_file("make the directory", directory, cause, remedy)
    })?;
    let mut written = Vec::new();
    for process in &analysis.close {
        for chart in Chart::ALL {
            if !chart.is_there(process) {
                continue;
            }
            let (content, ending) = match format {
                Format::Png => (png(chart, process)?, "png"),
                Format::Svg => (svg(chart, process)?.into_bytes(), "svg"),
            };
            let name = format!("{}-{}.{ending}", prefix(&process.facts), chart.name());
            let path = directory.join(name);
            whole_file::write(&path, &content)?;
            written.push(path);
        }
    }
    Ok(written)
}

/// How files and sections of a program are called: `4711`, and `4711-1` for what it executed.
pub(crate) fn prefix(facts: &Facts) -> String {
    match facts.program {
        0 => facts.pid.to_string(),
        program => format!("{}-{program}", facts.pid),
    }
}

fn png(chart: Chart, process: &Process) -> Result<Vec<u8>, Failure> {
    canvas::provide_letters()?;
    let mut pixels = vec![0xff; (SIZE.0 * SIZE.1 * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
        chart
            .draw(&area, process, Cells::Drawn)
            .map_err(not_drawn)?;
        area.present().map_err(not_drawn)?;
    }
    encode::png(SIZE, &pixels).map_err(not_drawn)
}

fn svg(chart: Chart, process: &Process) -> Result<String, Failure> {
    canvas::provide_letters()?;
    let mut text = String::new();
    let cells = {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let cells = chart
            .draw(&area, process, Cells::Given)
            .map_err(not_drawn)?;
        area.present().map_err(not_drawn)?;
        cells
    };
    match cells {
        None => Ok(text),
        Some(cells) => with_image(&text, &cells),
    }
}

/// Puts the cells behind all lines and letters: they are too many for an element each, and what plotters makes of bitmaps
/// in SVG has all colours, which takes three times the room.
fn with_image(text: &str, cells: &Bitmap) -> Result<String, Failure> {
    const BACKGROUND_ENDS: &str = "/>";
    let png = encode::png(cells.size, &cells.pixels).map_err(not_drawn)?;
    let data = base64::engine::general_purpose::STANDARD.encode(png);
    let ((x, y), (width, height)) = (cells.place, cells.size);
    let image = format!(
        "\n<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" \
         href=\"data:image/png;base64,{data}\"/>"
    );
    // The first element is the white background.
    let at = text
        .find(BACKGROUND_ENDS)
        .map(|at| at + BACKGROUND_ENDS.len());
    let (before, after) = text.split_at(at.unwrap_or_default());
    Ok([before, &image, after].concat())
}

/// Drawing goes to memory, so that this is an error of ours.
fn not_drawn(cause: impl Display) -> Failure {
    Failure::Other(format!(
        "a picture cannot be drawn: {cause}. Write a page instead (-o FILE)"
    ))
}
