//! The summary's table: pages and events by mapping.

use crate::cli::numbers::{grouped, size};
use crate::cli::printable;
use crate::tracking::census::Row;
use std::fmt::{self, Formatter};

/// Writes the rows below their headings, each column as wide as it must be.
pub(super) fn write(rows: &[Row], out: &mut Formatter<'_>) -> fmt::Result {
    const HEADINGS: [&str; 5] = ["PAGES", "WRITE", "READ", "KERNEL", "KERNEL WROTE"];
    if rows.is_empty() {
        return Ok(());
    }
    let cells = |row: &Row| {
        let [write, read, kernel] = row.events.map(grouped);
        [grouped(row.pages), write, read, kernel, size(row.bytes)]
    };
    let lines: Vec<[String; 5]> = rows.iter().map(cells).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        let widest = lines.iter().map(|line| line[column].len()).max();
        widest.unwrap_or(0).max(HEADINGS[column].len())
    });
    writeln!(out)?;
    write_line(&HEADINGS, &widths, "MAPPING", out)?;
    for (line, row) in lines.iter().zip(rows) {
        let name = match row.name.as_str() {
            "" => "(anonymous memory)".into(),
            name => printable(name),
        };
        write_line(line, &widths, &name, out)?;
    }
    Ok(())
}

fn write_line(
    cells: &[impl AsRef<str>; 5],
    widths: &[usize; 5],
    name: &str,
    out: &mut Formatter<'_>,
) -> fmt::Result {
    for (cell, width) in cells.iter().zip(widths) {
        write!(out, "  {:>width$}", cell.as_ref())?;
    }
    writeln!(out, "  {name}")
}
