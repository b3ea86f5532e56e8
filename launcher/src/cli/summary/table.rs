//! The summary's table: pages and events by mapping.

use crate::cli::numbers::{grouped, size};
use std::collections::HashMap;
use std::fmt::{self, Formatter};
use vmmload_consumer::{Heat, Mapping, MappingClass, Mappings};

/// All mappings of one name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Distinct pages of any kind.
    pub(crate) pages: u64,
    /// Events of each kind, in the order of [`Kind::ALL`](vmmload_consumer::Kind::ALL).
    pub(crate) events: [u64; 3],
    /// Bytes that the kernel wrote.
    pub(crate) bytes: u64,
}

/// Sums pages up by the name of the mapping that is there, or was there last.
pub(super) fn from_heat(mut cells: Vec<Heat>, mappings: &Mappings) -> Vec<Row> {
    // By address, so that the kinds of one page are neighbours.
    cells.sort_unstable_by_key(|cell| cell.addr);
    let mut by_name: HashMap<&str, Row> = HashMap::new();
    for page in cells.chunk_by(|a, b| a.addr == b.addr) {
        let addr = page[0].addr;
        let was_there = |mapping: &&Mapping| (mapping.start..mapping.end).contains(&addr);
        let mapping = mappings
            .find(addr)
            .or_else(|| mappings.retired.iter().rev().find(was_there));
        let row = by_name.entry(name_of(mapping)).or_default();
        row.pages += 1;
        for cell in page {
            row.events[cell.kind as usize] += cell.count;
        }
    }
    let named = |(name, row): (&str, Row)| Row {
        name: name.to_owned(),
        ..row
    };
    let mut rows: Vec<Row> = by_name.into_iter().map(named).collect();
    rows.sort_by(|a, b| sum(b).cmp(&sum(a)).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn name_of(mapping: Option<&Mapping>) -> &str {
    match mapping {
        None => "(not mapped any more)",
        Some(mapping) if !mapping.name.is_empty() => &mapping.name,
        Some(mapping) => match mapping.class {
            MappingClass::ThreadStack => "(stacks of threads)",
            MappingClass::Shared => "(shared memory)",
            _ => "(anonymous memory)",
        },
    }
}

fn sum(row: &Row) -> u64 {
    row.events.iter().sum()
}

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
        write_line(line, &widths, &row.name, out)?;
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
