//! Charts of bars as pictures.

use super::super::html::charts::{distribution_parts, used_pages};
use super::super::look;
use super::canvas::{self, Area, Drawn, Layout, SMALL, TEXT};
use crate::analysis::model::Process;
use crate::numbers::{bytes, grouped, percent};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

pub(super) fn temperature<DB: DrawingBackend>(area: &Area<DB>, process: &Process) -> Drawn<DB> {
    canvas::titled(area, "How often pages are touched", process)?;
    let bins = process.temperature.bins.iter();
    let bars: Vec<(String, u64)> = bins.map(|bin| (bin.label.clone(), bin.pages)).collect();
    let title = "share of the epochs in which a page was touched";
    draw(area, &bars, title, "pages")
}

pub(super) fn huge_pages<DB: DrawingBackend>(area: &Area<DB>, process: &Process) -> Drawn<DB> {
    canvas::titled(area, "How well huge pages would be used", process)?;
    let regions = process.huge_pages.regions.iter().enumerate();
    let bars: Vec<(String, u64)> = regions
        .map(|(bin, &count)| (used_pages(bin), count))
        .collect();
    let title = "pages used, of the 512 of a region";
    draw(area, &bars, title, "regions of 2 MiB")
}

/// One bar beside the other, each with its number above and its name below.
fn draw<DB: DrawingBackend>(
    area: &Area<DB>,
    bars: &[(String, u64)],
    x_title: &str,
    y_title: &str,
) -> Drawn<DB> {
    let most = bars
        .iter()
        .map(|bar| bar.1)
        .max()
        .unwrap_or_default()
        .max(1);
    let layout = Layout {
        x: -0.5..bars.len() as f64 - 0.5,
        y: 0.0..most as f64 * 1.08,
        x_title,
        y_title,
        x_numbers: false,
        ..Layout::default()
    };
    let mut chart = canvas::plane(area, &layout)?;
    let (columns, rows) = chart.plotting_area().get_pixel_range();
    let room = columns.len() as i32 / bars.len().max(1) as i32;
    let size = if room < 90 { SMALL - 3 } else { TEXT };
    let filled = canvas::color(look::PLAIN).filled();
    let bar = |(index, &(_, count)): (usize, &(String, u64))| {
        let at = index as f64;
        Rectangle::new([(at - 0.4, 0.0), (at + 0.4, count as f64)], filled)
    };
    chart.draw_series(bars.iter().enumerate().map(bar))?;
    for (index, (name, count)) in bars.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(index as f64, *count as f64));
        let most = (room / (size * 11 / 20).max(1)).max(3) as usize;
        let name = look::shortened(name, most);
        canvas::write(
            area,
            &name,
            size,
            (x, rows.end + 10),
            (HPos::Center, VPos::Top),
        )?;
        if *count > 0 {
            let above = (x, y - 5);
            canvas::write(
                area,
                &grouped(*count),
                size,
                above,
                (HPos::Center, VPos::Bottom),
            )?;
        }
    }
    Ok(())
}

/// One bar across, and what its parts are.
pub(super) fn distribution<DB: DrawingBackend>(area: &Area<DB>, process: &Process) -> Drawn<DB> {
    canvas::titled(area, "What was done with the pages", process)?;
    let parts = distribution_parts(process);
    let whole: u64 = parts.iter().map(|part| part.1).sum();
    let (left, right) = (40, canvas::SIZE.0 as i32 - 40);
    let mut before = 0;
    let x_of = |pages: u64| {
        left + (f64::from(right - left) * pages as f64 / whole.max(1) as f64).round() as i32
    };
    for (index, &(name, pages, rgb)) in parts.iter().enumerate() {
        let bar = [(x_of(before), 180), (x_of(before + pages), 400)];
        area.draw(&Rectangle::new(bar, canvas::color(rgb).filled()))?;
        before += pages;
        let y = 480 + 80 * index as i32;
        let swatch = [(left, y - 16), (left + 44, y + 16)];
        area.draw(&Rectangle::new(swatch, canvas::color(rgb).filled()))?;
        let share = percent(pages as f64, whole as f64);
        let (count, size) = (grouped(pages), bytes(pages * 4096));
        let text = format!("{name}: {share}, {count} pages ({size})");
        canvas::write(
            area,
            &text,
            TEXT + 5,
            (left + 62, y),
            (HPos::Left, VPos::Center),
        )?;
    }
    let text = format!(
        "Of {} pages of 4 KiB ({}) that were mapped at most at once.",
        grouped(whole),
        bytes(whole * 4096)
    );
    canvas::write(area, &text, TEXT, (left, 134), (HPos::Left, VPos::Center))
}
