//! Draws: what is on the screen is a function of the sample, what keys have chosen, and what the terminal can show.

mod bands;
mod help;
mod look;
mod pen;
mod process;
mod processes;
mod strip;
mod table;
#[cfg(test)]
mod tests;

use super::app::{App, Screen};
use super::sample::Sample;
use super::text;
use crate::numbers;
pub(crate) use look::Look;
use pen::Pen;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Least size of a terminal that there is anything to be seen in.
const LEAST: (u16, u16) = (40, 8);

/// Draws a frame, and gives how many rows of its table fit.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App, sample: &Sample, look: Look) -> usize {
    let area = frame.area();
    let mut pen = Pen {
        buffer: frame.buffer_mut(),
        look,
    };
    if area.width < LEAST.0 || area.height < LEAST.1 {
        draw_too_small(&mut pen, area);
        return 1;
    }
    draw_title(&mut pen, area, app, sample);
    let body = Rect {
        y: area.y + 1,
        height: area.height - 2,
        ..area
    };
    let page = draw_body(&mut pen, body, app, sample);
    draw_keys(&mut pen, area, app);
    page
}

fn draw_body(pen: &mut Pen<'_>, body: Rect, app: &App, sample: &Sample) -> usize {
    if app.shows_help {
        help::draw(pen, body);
        return 1;
    }
    let (key, mapping) = match app.screen {
        Screen::Processes => return processes::draw(pen, body, app, sample),
        Screen::Process(key) => (key, None),
        Screen::Mapping(key, mapping) => (key, Some(mapping)),
    };
    let Some(process) = sample.process(key) else {
        let text = format!("process {} is gone; Esc goes back", key.pid);
        pen.put_cut(body.x + 2, body.y + 1, body.width - 2, &text, Style::new());
        return 1;
    };
    match mapping {
        None => process::draw(pen, body, app, sample, process),
        Some(id) => {
            let rows = app.all_mapping_rows(sample, process);
            let row = rows.iter().find(|row| row.id == id);
            process::draw_mapping(pen, body, sample, process, row);
            1
        }
    }
}

/// Says so as well as it can be said.
fn draw_too_small(pen: &mut Pen<'_>, area: Rect) {
    let (width, height) = LEAST;
    let lines = [
        "terminal too small".to_owned(),
        format!("at least {width}x{height}"),
        "q quits".into(),
    ];
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        pen.put_cut(area.x, y, area.width, &line, Style::new());
    }
}

fn draw_title(pen: &mut Pen<'_>, area: Rect, app: &App, sample: &Sample) {
    let count = match sample.processes.len() {
        1 => "1 process".to_owned(),
        count => format!("{} processes", numbers::grouped(count as u64)),
    };
    let rates = sample
        .processes
        .iter()
        .filter_map(|process| process.events());
    let events = numbers::short(rates.sum());
    let title = match sample.is_over {
        true => "vmmload top  all processes have ended".to_owned(),
        false => format!("vmmload top  {count}, {events} events/s"),
    };
    let (x, y) = (area.x + 1, area.y);
    let end = pen.put_cut(x, y, area.width - 1, &title, pen.look.important());
    let every = format!("every {} ", text::delay(app.delay));
    let width = u16::try_from(every.len()).unwrap_or(0);
    let mut right = area.right();
    if end + 1 + width <= right {
        right -= width;
        pen.put(right, y, width, &every, pen.look.faint());
    }
    if app.is_paused {
        const PAUSED: &str = " PAUSED ";
        let width = PAUSED.len() as u16;
        // Whatever else there is: this must be seen.
        let x = right.saturating_sub(width + 1);
        pen.put(x, y, width, PAUSED, pen.look.chosen());
    }
}

/// The last line: what can be done, or what is being typed.
fn draw_keys(pen: &mut Pen<'_>, area: Rect, app: &App) {
    let y = area.bottom() - 1;
    let look = pen.look;
    let filter = text::harmless(app.filter(), look.is_utf8);
    if app.is_typing {
        let room = usize::from(area.width).saturating_sub(12);
        let filter = text::cut_front(&filter, room, look.is_utf8);
        let x = pen.put(
            area.x + 1,
            y,
            area.width - 1,
            &format!("filter: {filter}"),
            look.important(),
        );
        pen.put(x, y, 1, " ", look.bar());
        return;
    }
    let keys: &[(&str, &str)] = match app.screen {
        _ if app.shows_help => &[("any key", "goes back"), ("q", "quits")],
        Screen::Mapping(..) => &[
            ("q", "quit"),
            ("h", "help"),
            ("Esc", "back"),
            ("space", "pause"),
        ],
        screen => &[
            ("q", "quit"),
            ("h", "help"),
            ("Enter", "zoom"),
            match screen {
                Screen::Processes => ("s S", "sort"),
                _ => ("Esc", "back"),
            },
            ("/", "filter"),
            ("space", "pause"),
            match screen {
                Screen::Processes => ("+ -", "delay"),
                _ => ("s S", "sort"),
            },
        ],
    };
    let mut x = area.x + 1;
    if !filter.is_empty() && !matches!(app.screen, Screen::Mapping(..)) {
        let filter = format!("filter: {}", text::cut(&filter, 20, look.is_utf8));
        x = pen.put(x, y, area.width - 1, &filter, look.alarming()) + 2;
    }
    for (key, what) in keys {
        let needed = u16::try_from(key.len() + what.len() + 1).unwrap_or(u16::MAX);
        if x.saturating_add(needed) > area.right() {
            return;
        }
        x = pen.put(x, y, needed, key, look.important()) + 1;
        x = pen.put(x, y, needed, what, look.faint()) + 2;
    }
}
