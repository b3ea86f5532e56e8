//! Tables: columns that come and go with the width of the screen, rows that scroll with the cursor.

use super::pen::Pen;
use crate::top::rows::Sort;
use crate::top::text;
use crate::typed::SortKey;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A column of numbers. The last column of every table is a name, on the left of what is left of the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// In columns of the terminal.
    pub(super) width: u16,
    /// What sorting by it is called.
    pub(super) key: Option<SortKey>,
    /// It is shown where the table is at least so wide.
    pub(super) from: u16,
}

impl Column {
    pub(super) const fn new(
        title: &'static str,
        width: u16,
        key: Option<SortKey>,
        from: u16,
    ) -> Self {
        Self {
            title,
            width,
            key,
            from,
        }
    }
}

/// Least height at which there is a picture below a table.
const LEAST_WITH_PICTURE: u16 = 14;

/// One line of a table.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// One for each column, shown or not.
    pub(super) cells: Vec<String>,
    pub(super) name: String,
    /// Its end tells more than its beginning.
    pub(super) is_path: bool,
    pub(super) style: Style,
}

/// What is drawn.
pub(super) struct Table<'a> {
    pub(super) columns: &'a [Column],
    /// Title of the last column.
    pub(super) name: &'static str,
    pub(super) sort: Sort,
    /// How many rows there are.
    pub(super) rows: usize,
    /// The row that the cursor is on.
    pub(super) chosen: usize,
}

impl Table<'_> {
    /// The parts of `area` for the table, and for the picture below it where there is room for one.
    pub(super) fn above_picture(&self, area: Rect) -> (Rect, Rect) {
        let height = match area.height {
            0..LEAST_WITH_PICTURE => area.height,
            height => {
                let wanted = u16::try_from(self.rows.max(1) + 1).unwrap_or(u16::MAX);
                wanted.min(height / 2)
            }
        };
        let lower = Rect {
            y: area.y + height,
            height: area.height - height,
            ..area
        };
        (Rect { height, ..area }, lower)
    }

    /// Draws the lines that fit, which `line` makes, below their titles. Gives how many fit.
    pub(super) fn draw(
        &self,
        pen: &mut Pen<'_>,
        area: Rect,
        line: impl Fn(usize) -> Line,
    ) -> usize {
        if area.height == 0 {
            return 0;
        }
        self.draw_titles(pen, area);
        let page = usize::from(area.height - 1);
        let first = (self.chosen + 1).saturating_sub(page);
        for (at, y) in (first..self.rows).zip(area.y + 1..area.bottom()) {
            let is_chosen = at == self.chosen;
            self.draw_line(pen, area, y, &line(at), is_chosen);
        }
        page
    }

    fn shown(&self, area: Rect) -> impl Iterator<Item = (usize, Column)> + '_ {
        let columns = self.columns.iter().copied().enumerate();
        columns.filter(move |(_, column)| column.from <= area.width)
    }

    fn draw_titles(&self, pen: &mut Pen<'_>, area: Rect) {
        let bar = pen.look.bar();
        let arrow = pen.look.arrow(self.sort.is_descending());
        pen.tint(area.x, area.y, area.width, bar);
        let mut x = area.x;
        for (_, column) in self.shown(area) {
            pen.put_right(x, area.y, column.width, column.title, bar);
            x += column.width;
            if column.key == Some(self.sort.key) {
                pen.put(x, area.y, 1, arrow, bar);
            }
            x += 1;
        }
        let x = pen.put(x, area.y, area.right().saturating_sub(x), self.name, bar);
        if self.sort.key == SortKey::Name {
            pen.put(x, area.y, area.right().saturating_sub(x), arrow, bar);
        }
    }

    fn draw_line(&self, pen: &mut Pen<'_>, area: Rect, y: u16, line: &Line, is_chosen: bool) {
        let style = match is_chosen {
            true => pen.look.chosen(),
            false => line.style,
        };
        pen.tint(area.x, y, area.width, style);
        let mut x = area.x;
        for (at, column) in self.shown(area) {
            let cell = line.cells.get(at).map_or("", String::as_str);
            pen.put_right(x, y, column.width, cell, style);
            x += column.width + 1;
        }
        let room = area.right().saturating_sub(x);
        let (most, is_utf8) = (usize::from(room), pen.look.is_utf8);
        let name = match line.is_path {
            true => text::cut_front(&line.name, most, is_utf8),
            false => text::cut(&line.name, most, is_utf8),
        };
        pen.put(x, y, room, &name, style);
    }
}
