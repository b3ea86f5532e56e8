//! One process: what is known of it, its mappings, its memory. And one mapping of it.

use super::pen::Pen;
use super::processes::{cost, epoch_length};
use super::strip::Strip;
use super::table::{Column, Line, Table};
use crate::numbers;
use crate::top::app::App;
use crate::top::rows::MappingRow;
use crate::top::sample::{ProcessSample, Sample};
use crate::top::text;
use crate::typed::SortKey;
use ratatui::layout::Rect;
use ratatui::style::Style;
use vmmload_consumer::{PAGE_SIZE, Status, Track};

const COLUMNS: [Column; 7] = [
    Column::new("ADDRESS", 12, Some(SortKey::Pid), 46),
    Column::new("PERM", 4, None, 90),
    Column::new("SIZE", 8, None, 58),
    Column::new("EVENTS/S", 8, Some(SortKey::Events), 0),
    Column::new("PAGES", 6, Some(SortKey::Pages), 0),
    Column::new("TOUCHED", 7, None, 52),
    Column::new("W/R/K %", 8, Some(SortKey::Writes), 70),
];

/// Draws a process, and gives how many rows of its table fit.
pub(super) fn draw(
    pen: &mut Pen<'_>,
    area: Rect,
    app: &App,
    sample: &Sample,
    process: &ProcessSample,
) -> usize {
    let area = draw_facts(pen, area, process);
    let rows = app.mapping_rows(sample, process);
    let table = Table {
        columns: &COLUMNS,
        name: "MAPPING",
        sort: app.sort(),
        rows: rows.len(),
        chosen: app.mappings.find(&rows),
    };
    let (upper, lower) = table.above_picture(area);
    let look = pen.look;
    let page = table.draw(pen, upper, |at| {
        line(&rows[at], process.track, look.is_utf8, look.faint())
    });
    if rows.is_empty() && upper.height > 1 {
        let filter = text::harmless(app.filter(), look.is_utf8);
        let text = match filter.is_empty() {
            true => "no mappings are known".into(),
            false => format!("no mapping has {filter:?} in its name; Esc shows all of them"),
        };
        pen.put_cut(
            area.x + 2,
            upper.y + 1,
            area.width.saturating_sub(2),
            &text,
            Style::new(),
        );
    }
    let strip = Strip {
        process,
        mapping: None,
        footprint: None,
    };
    strip.draw(pen, lower, "its memory");
    page
}

/// Draws one mapping.
pub(super) fn draw_mapping(
    pen: &mut Pen<'_>,
    area: Rect,
    sample: &Sample,
    process: &ProcessSample,
    mapping: Option<&MappingRow>,
) {
    let Some(mapping) = mapping else {
        let text = "this mapping is gone, and nothing of it is left to show; Esc goes back";
        pen.put_cut(
            area.x + 2,
            area.y + 1,
            area.width.saturating_sub(2),
            text,
            Style::new(),
        );
        return;
    };
    draw_name(pen, area, process, mapping);
    let pages = mapping.mapped / PAGE_SIZE as u64;
    let facts = match mapping.end {
        0 => String::new(),
        _ => format!(
            "{:x}-{:x} {}  {} ({} pages){}",
            mapping.start,
            mapping.end,
            mapping.permissions,
            numbers::bytes(mapping.mapped),
            numbers::grouped(pages),
            if mapping.is_retired {
                ", not mapped any more"
            } else {
                ""
            }
        ),
    };
    let counts = format!(
        "{} events/s (W/R/K {} %), {} pages in the last epoch, {} touched",
        text::rate(mapping.events()),
        text::shares(mapping.rates, process.track),
        text::at_least(mapping.pages.map(u64::from), mapping.has_more_pages),
        mapping.touched.map_or_else(|| "-".into(), numbers::grouped),
    );
    let mut y = area.y + 1;
    for text in [facts, counts] {
        if !text.is_empty() && y < area.bottom() {
            pen.put_cut(area.x + 1, y, area.width - 1, &text, Style::new());
            y += 1;
        }
    }
    let lower = Rect {
        y,
        height: area.bottom().saturating_sub(y),
        ..area
    };
    let strip = Strip {
        process,
        mapping: Some(mapping.id),
        footprint: sample.footprint_of(process.key),
    };
    strip.draw(pen, lower, "address, events, pages touched/there");
}

/// Whose mapping it is, and its name.
fn draw_name(pen: &mut Pen<'_>, area: Rect, process: &ProcessSample, mapping: &MappingRow) {
    let look = pen.look;
    let command = text::without_directory(&process.command);
    let program = command.split(' ').next().unwrap_or_default();
    let program = text::cut(&text::harmless(program, look.is_utf8), 20, look.is_utf8);
    let state = match process.status {
        Status::Running => String::new(),
        status => format!(" ({})", text::status(status)),
    };
    let owner = format!("{} {program}{state}  ", process.key.pid);
    let x = pen.put_cut(area.x + 1, area.y, area.width - 1, &owner, look.important());
    let room = area.right().saturating_sub(x);
    let name = text::harmless(&mapping.name, look.is_utf8);
    let name = text::cut_front(&name, room.into(), look.is_utf8);
    pen.put(x, area.y, room, &name, look.important());
}

/// What there is to say of a process in two lines; gives what is left of the area.
fn draw_facts(pen: &mut Pen<'_>, area: Rect, process: &ProcessSample) -> Rect {
    let look = pen.look;
    if area.height < 6 {
        return area;
    }
    let is_running = process.status == Status::Running;
    let command = text::harmless(&process.command, look.is_utf8);
    let status = match is_running {
        true => String::new(),
        false => format!("{}: ", text::status(process.status)),
    };
    let style = if is_running {
        look.important()
    } else {
        look.alarming()
    };
    let headline = format!("{}  {status}{command}", process.key.pid);
    pen.put_cut(area.x + 1, area.y, area.width - 1, &headline, style);
    let facts = facts(process, usize::from(area.width - 1));
    pen.put_cut(area.x + 1, area.y + 1, area.width - 1, &facts, Style::new());
    Rect {
        y: area.y + 2,
        height: area.height - 2,
        ..area
    }
}

/// As many facts as fit in so many columns, the most important first.
fn facts(process: &ProcessSample, most: usize) -> String {
    if process.track == Some(Track::None) {
        return "pages are not watched (--track none)".into();
    }
    let pages = process.pages();
    let mut parts = vec![
        format!("{} events/s", text::rate(process.events())),
        format!(
            "working set {} of {}{} pages",
            text::at_least(pages.map(u64::from), process.leaves_alone()),
            numbers::grouped(process.touched),
            if process.has_more_pages { "+" } else { "" }
        ),
    ];
    if let Some(length) = epoch_length(process) {
        parts.push(format!("epoch {}", numbers::time(length)));
    }
    if let Some(cost) = cost(process) {
        parts.push(format!("cost {cost:.1}%"));
    }
    if process.lost > 0 {
        parts.insert(
            0,
            format!("{} records lost", numbers::grouped(process.lost)),
        );
    }
    if let Some(epoch) = process.epoch.filter(|epoch| epoch.left_alone > 0) {
        parts.push(format!(
            "{} hot pages not watched",
            numbers::grouped(epoch.left_alone.into())
        ));
    }
    parts.push(format!("limit of cost {}%", process.max_overhead));
    let mut text = parts.remove(0);
    for part in parts {
        if text.len() + part.len() + 2 <= most {
            text += ", ";
            text += &part;
        }
    }
    text
}

fn line(mapping: &MappingRow, track: Option<Track>, is_utf8: bool, faint: Style) -> Line {
    let is_known = mapping.end > 0;
    let known = |text: String| if is_known { text } else { "-".into() };
    let name = text::harmless(&mapping.name, is_utf8);
    Line {
        cells: vec![
            known(format!("{:012x}", mapping.start)),
            mapping.permissions.clone(),
            known(numbers::bytes(mapping.mapped)),
            text::rate(mapping.events()),
            text::at_least(mapping.pages.map(u64::from), mapping.has_more_pages),
            text::at_least(mapping.touched, false),
            text::shares(mapping.rates, track),
        ],
        name: match mapping.is_retired && is_known {
            true => format!("{name} (gone)"),
            false => name,
        },
        is_path: mapping.name.starts_with('/'),
        style: if mapping.is_retired {
            faint
        } else {
            Style::new()
        },
    }
}
