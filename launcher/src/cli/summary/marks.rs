//! The summary's table of what the program has said.

use crate::cli::numbers::{counted, grouped};
use crate::cli::printable;
use crate::tracking::marks::{MarkRow, MarkTotals};
use std::fmt::{self, Formatter};
use std::time::Duration;

/// Most names that are shown.
const MOST: usize = 20;

/// Writes a line for each name, in the order in which they came first.
pub(super) fn write(totals: &MarkTotals, out: &mut Formatter<'_>) -> fmt::Result {
    const HEADINGS: [&str; 3] = ["MARKS", "FIRST", "LAST"];
    let shown = &totals.rows[..totals.rows.len().min(MOST)];
    if shown.is_empty() {
        return Ok(());
    }
    let seconds = |time: Duration| format!("{:.3} s", time.as_secs_f64());
    let cells = |row: &MarkRow| [grouped(row.count), seconds(row.first), seconds(row.last)];
    let lines: Vec<[String; 3]> = shown.iter().map(cells).collect();
    let widths: [usize; 3] = std::array::from_fn(|column| {
        let widest = lines.iter().map(|line| line[column].len()).max();
        widest.unwrap_or(0).max(HEADINGS[column].len())
    });
    writeln!(out)?;
    write_line(&HEADINGS, &widths, "NAME", out)?;
    for (line, row) in lines.iter().zip(shown) {
        write_line(line, &widths, &printable(&row.name), out)?;
    }
    write_rest(totals, out)
}

/// What is not shown.
fn write_rest(totals: &MarkTotals, out: &mut Formatter<'_>) -> fmt::Result {
    let rest = totals.rows.get(MOST..).unwrap_or_default();
    let known: u64 = rest.iter().map(|row| row.count).sum();
    let marks = grouped(known + totals.others);
    let names = rest.len() as u64;
    match totals.others {
        0 if rest.is_empty() => Ok(()),
        0 => writeln!(out, "  and {}, {marks} marks", counted(names, "more name")),
        _ => writeln!(
            out,
            "  and more than {}, {marks} marks",
            counted(names, "name")
        ),
    }
}

fn write_line(
    cells: &[impl AsRef<str>; 3],
    widths: &[usize; 3],
    name: &str,
    out: &mut Formatter<'_>,
) -> fmt::Result {
    for (cell, width) in cells.iter().zip(widths) {
        write!(out, "  {:>width$}", cell.as_ref())?;
    }
    writeln!(out, "  {name}")
}
