//! The screen that tells of keys and columns.

use super::pen::Pen;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// What is told, in the order of its use: the last lines are left out first where there is no room.
const LINES: [(&str, &str); 21] = [
    ("j k arrows", "move; PgUp PgDn Home End, too"),
    ("Enter", "zoom into the process, then the mapping"),
    ("Esc", "back"),
    ("s  S", "sort by the next column; the other way round"),
    ("/", "only commands or mappings with this text"),
    ("space", "pause the display; reading goes on"),
    ("+  -", "refresh less often, more often"),
    ("q", "quit (also Ctrl-C); Ctrl-Z stops, Ctrl-L redraws"),
    ("", ""),
    (
        "EVENTS/S",
        "pages touched in each epoch, added up, in a second",
    ),
    ("PAGES", "working set: pages touched in the last epoch;"),
    ("", "+: hot pages are not watched, or records are missing"),
    ("BYTES", "the same in bytes"),
    ("TOUCHED", "distinct pages since the program started"),
    (
        "W/R/K %",
        "writes, reads, writes by the kernel; - not watched",
    ),
    ("LOST", "records that came too fast to be read here"),
    (
        "EPOCH COST",
        "its length; share of the program's time for tracking",
    ),
    ("", ""),
    (
        "picture",
        "addresses against time, the newest on the right;",
    ),
    ("", "rows: touched addresses, gaps folded; +: and others;"),
    ("", "by logarithm of events: what is rare is seen, too"),
];

/// Columns of the left side.
const LEFT: u16 = 12;

/// Draws it.
pub(super) fn draw(pen: &mut Pen<'_>, area: Rect) {
    pen.rule(area, area.y, "help", "any key goes back");
    let look = pen.look;
    // Where lines are short of room, empty ones go first.
    let room = usize::from(area.height.saturating_sub(1));
    let is_tight = room < LINES.len();
    let lines = LINES
        .iter()
        .filter(|(key, text)| !is_tight || !key.is_empty() || !text.is_empty());
    for (y, (key, text)) in (area.y + 1..area.bottom()).zip(lines) {
        pen.put(area.x + 1, y, LEFT, key, look.important());
        let room = area.width.saturating_sub(LEFT + 1);
        pen.put_cut(area.x + 1 + LEFT, y, room, text, Style::new());
    }
}
