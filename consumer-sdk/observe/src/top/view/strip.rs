//! The heat strip: addresses against time, the newest refresh on the right.

use super::bands::{self, Band};
use super::pen::Pen;
use crate::numbers;
use crate::top::model::footprint::Footprint;
use crate::top::rows::{main_part, name_of};
use crate::top::sample::{Block, Column, ProcessSample};
use crate::top::text;
use ratatui::layout::Rect;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;
use vmmload_consumer::Mapping;

/// Columns of an address, as /proc/PID/maps has it.
const ADDRESS: u16 = 12;
/// Fewest columns of a picture that is worth the room.
const LEAST_PICTURE: u16 = 12;

/// What a strip is of.
pub(super) struct Strip<'a> {
    pub(super) process: &'a ProcessSample,
    /// Only one mapping, by its id.
    pub(super) mapping: Option<u32>,
    /// Pages that were touched are counted at the right of each row.
    pub(super) footprint: Option<&'a Footprint>,
}

/// Columns of the terminal for each part of a line.
struct Layout {
    address: u16,
    name: u16,
    counts: u16,
    picture: u16,
}

impl Layout {
    fn of(width: u16, has_names: bool, has_counts: bool) -> Self {
        let name = match width {
            _ if !has_names => 0,
            0..50 => 10,
            50..100 => 16,
            100..150 => 26,
            _ => 40,
        };
        let counts = if has_counts && width >= 50 { 14 } else { 0 };
        // Names tell more where there is no room for both.
        let address = if width >= 60 || !has_names {
            ADDRESS + 1
        } else {
            0
        };
        let used = address + name + counts + 1;
        Self {
            address,
            name,
            counts,
            picture: width.saturating_sub(used),
        }
    }
}

impl Strip<'_> {
    /// Draws it below a line that says what it is.
    pub(super) fn draw(&self, pen: &mut Pen<'_>, area: Rect, title: &str) {
        if area.height < 2 || area.width < LEAST_PICTURE {
            return;
        }
        let layout = Layout::of(area.width, self.mapping.is_none(), self.mapping.is_some());
        let all: Vec<Rc<Column>> = self.process.history.iter().cloned().collect();
        let columns = &all[all.len().saturating_sub(layout.picture.into())..];
        let bounds = self.bounds();
        let wanted = |block: &Block| self.mapping.is_none_or(|id| block.mapping == id);
        let rows = usize::from(area.height - 1);
        let bounds_of = |id| bounds.get(&id).map(|(range, _)| range.clone());
        let bands = bands::bands(columns, rows, wanted, bounds_of);
        let table = bands::densities(columns, &bands, wanted);
        let most = table.iter().flatten().copied().fold(0.0, f64::max);
        self.draw_heading(pen, area, title, columns, most);
        if bands.is_empty() {
            let text = match columns.is_empty() {
                true => "measuring",
                false => "no page was touched in this time",
            };
            pen.put_cut(
                area.x + 1,
                area.y + 1,
                area.width - 1,
                text,
                pen.look.faint(),
            );
        }
        for (y, (band, densities)) in (area.y + 1..).zip(bands.iter().zip(&table)) {
            let name = bounds.get(&band.mapping).map_or("", |(_, name)| name);
            let x = self.draw_label(pen, area, y, band, name, &layout);
            draw_row(pen, x, y, &layout, densities, most);
            if layout.counts > 0 {
                self.draw_counts(pen, area, y, band);
            }
        }
    }

    /// The addresses and the name of every mapping that is known.
    fn bounds(&self) -> HashMap<u32, (Range<u64>, String)> {
        let mappings = &self.process.mappings;
        let mut parts: HashMap<u32, Vec<&Mapping>> = HashMap::new();
        for mapping in mappings.retired.iter().chain(&mappings.entries) {
            parts.entry(mapping.id).or_default().push(mapping);
        }
        let bounds = |parts: &[&Mapping]| {
            let start = parts.iter().map(|part| part.start).min()?;
            let end = parts.iter().map(|part| part.end).max()?;
            Some((start..end, main_part(parts).map(name_of)?))
        };
        let parts = parts.iter();
        parts
            .filter_map(|(id, parts)| Some((*id, bounds(parts)?)))
            .collect()
    }

    fn draw_heading(
        &self,
        pen: &mut Pen<'_>,
        area: Rect,
        title: &str,
        columns: &[Rc<Column>],
        most: f64,
    ) {
        let span: Duration = columns.iter().map(|column| column.span).sum();
        let left_out: u64 = columns.iter().map(|column| column.left_out).sum();
        let mut right = format!("last {}", text::age(span));
        if left_out > 0 {
            right += &format!(", without {} events", numbers::grouped(left_out));
        }
        let scale = pen.look.scale();
        let legend = format!("up to {} events/s", numbers::short(most));
        let room = usize::from(area.width).saturating_sub(title.len().min(30) + 8);
        let legend_width = scale.len() + 1 + legend.len();
        let has_legend = most > 0.0 && right.len() + legend_width + 3 <= room;
        if has_legend {
            right += &format!("  {}{legend}", " ".repeat(scale.len() + 1));
        }
        let used = u16::try_from(right.len() + 6).unwrap_or(u16::MAX);
        let title = text::cut(
            title,
            usize::from(area.width.saturating_sub(used)).max(8),
            pen.look.is_utf8,
        );
        pen.rule(area, area.y, &title, &right);
        if has_legend {
            let x = area.right() - u16::try_from(legend.len() + 3 + scale.len()).unwrap_or(0);
            for (x, (letter, style)) in (x..).zip(scale) {
                pen.put(x, area.y, 1, letter, style);
            }
        }
    }

    /// What stands before the picture. Gives the column that the picture begins in.
    fn draw_label(
        &self,
        pen: &mut Pen<'_>,
        area: Rect,
        y: u16,
        band: &Band,
        name: &str,
        layout: &Layout,
    ) -> u16 {
        let look = pen.look;
        let mut x = area.x;
        if layout.address > 0 {
            let address = format!("{:012x}", band.range.start);
            pen.put(x, y, ADDRESS, &address, look.faint());
            x += layout.address;
        }
        if layout.name > 0 && band.is_first {
            let name = label(name, band.is_mixed, (layout.name - 1).into(), look.is_utf8);
            pen.put(x, y, layout.name - 1, &name, look.important());
        }
        x += layout.name;
        if band.has_gap && !band.is_first {
            pen.put(x, y, 1, look.gap(), look.faint());
        }
        x + 1
    }

    /// Pages that were touched since the start, of those that the row has.
    fn draw_counts(&self, pen: &mut Pen<'_>, area: Rect, y: u16, band: &Band) {
        let pages = (band.range.end - band.range.start).div_ceil(4096);
        let touched = self
            .footprint
            .map(|footprint| footprint.pages_in(&band.range));
        let text = format!(
            "{}/{}",
            text::at_least(touched, false),
            numbers::short(pages as f64)
        );
        let width = 13;
        let x = area.right().saturating_sub(width);
        pen.put_right(x, y, width, &text, pen.look.faint());
    }
}

/// A mapping's name in so many columns, with a mark where others are meant, too. Of a path its end: directories are in
/// the table of mappings.
fn label(name: &str, is_mixed: bool, most: usize, is_utf8: bool) -> String {
    let mark = if is_mixed { " +" } else { "" };
    let most = most.saturating_sub(mark.len());
    let file = name.rsplit('/').next().filter(|_| name.starts_with('/'));
    let name = match file {
        Some(file) => text::cut_front(&text::harmless(file, is_utf8), most, is_utf8),
        None => text::cut(&text::harmless(name, is_utf8), most, is_utf8),
    };
    name + mark
}

fn draw_row(pen: &mut Pen<'_>, x: u16, y: u16, layout: &Layout, densities: &[f64], most: f64) {
    let columns = u16::try_from(densities.len()).unwrap_or(layout.picture);
    let first = x + layout.picture.saturating_sub(columns);
    for (x, &density) in (first..).zip(densities) {
        if density > 0.0 {
            // By the logarithm: what happens rarely is seen, too.
            let share = density.ln_1p() / most.ln_1p();
            let (letter, style) = pen.look.intensity(share);
            pen.put(x, y, 1, letter, style);
        }
    }
}
