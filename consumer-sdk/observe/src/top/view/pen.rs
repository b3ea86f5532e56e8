//! Writes on the buffer of a frame: never beyond its edge, and nothing that the terminal cannot show.

use super::look::Look;
use crate::top::text;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A buffer and how things look on it.
pub(super) struct Pen<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) look: Look,
}

impl Pen<'_> {
    /// Writes at a place, at most `most` columns, and gives the column behind it.
    pub(super) fn put(&mut self, x: u16, y: u16, most: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if y >= area.bottom() || x >= area.right() {
            return x;
        }
        let most = most.min(area.right() - x);
        self.buffer.set_stringn(x, y, text, most.into(), style).0
    }

    /// Writes text of any length, cut where it is too long.
    pub(super) fn put_cut(&mut self, x: u16, y: u16, most: u16, text: &str, style: Style) -> u16 {
        let cut = text::cut(text, most.into(), self.look.is_utf8);
        self.put(x, y, most, &cut, style)
    }

    /// Writes to the right end of a field of `width` columns.
    pub(super) fn put_right(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let cut = text::cut(text, width.into(), self.look.is_utf8);
        let used = u16::try_from(text::width(&cut)).unwrap_or(width);
        self.put(x + width.saturating_sub(used), y, width, &cut, style);
    }

    /// Gives a whole line a style.
    pub(super) fn tint(&mut self, x: u16, y: u16, width: u16, style: Style) {
        let line = Rect::new(x, y, width, 1).intersection(self.buffer.area);
        self.buffer.set_style(line, style);
    }

    /// A horizontal line with text in it, on the left and on the right where there is room.
    pub(super) fn rule(&mut self, area: Rect, y: u16, left: &str, right: &str) {
        let (look, width) = (self.look, area.width);
        let line = look.line().repeat(width.into());
        self.put(area.x, y, width, &line, look.faint());
        let most = width.saturating_sub(4);
        let left = text::cut(left, most.into(), look.is_utf8);
        let end = self.put(area.x + 1, y, width, &format!(" {left} "), look.important());
        let needed = u16::try_from(text::width(right) + 3).unwrap_or(u16::MAX);
        if !right.is_empty() && end.saturating_add(needed) <= area.right() {
            let text = format!(" {right} ");
            self.put(area.right() - needed, y, needed - 1, &text, Style::new());
        }
    }
}
