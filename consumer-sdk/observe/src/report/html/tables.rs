//! Tables: processes, and mappings by temperature.

use super::super::look::{self, TimeUnit};
use super::super::page::escape;
use crate::analysis::model::{Facts, MappingRow, Process};
use crate::numbers::{bytes, grouped};

/// Rows of the tables of the hottest and of the coldest mappings.
const SHOWN: usize = 10;
/// Rows of the table of all.
const MOST: usize = 300;
/// Characters of a name, and of a command line.
const LONGEST_NAME: usize = 200;

/// One column: its title, and whether it is of numbers.
type Column = (&'static str, bool);

/// Cells are text, and what to sort them by where that is another text.
type Cell = (String, Option<String>);

fn text(text: &str) -> Cell {
    (look::shortened(text, LONGEST_NAME), None)
}

fn number(shown: String, value: f64) -> Cell {
    (shown, Some(value.to_string()))
}

fn count(value: u64) -> Cell {
    number(grouped(value), value as f64)
}

/// A table that can be sorted by each column. The first cell of a row is its head.
fn table(caption: &str, columns: &[Column], rows: &[Vec<Cell>]) -> String {
    let class = |number: bool| if number { " class=\"number\"" } else { "" };
    let heads: String = columns
        .iter()
        .map(|&(title, number)| {
            format!("<th scope=\"col\"{}>{}</th>", class(number), escape(title))
        })
        .collect();
    let cell = |(index, (shown, value)): (usize, &Cell)| {
        let shown = escape(shown);
        let value = value
            .as_ref()
            .map(|value| format!(" data-value=\"{}\"", escape(value)));
        let (value, class) = (value.unwrap_or_default(), class(columns[index].1));
        match index {
            0 => format!("<th scope=\"row\"{class}{value}><bdi>{shown}</bdi></th>"),
            _ => format!("<td{class}{value}>{shown}</td>"),
        }
    };
    let rows: String = rows
        .iter()
        .map(|row| {
            let cells: String = row.iter().enumerate().map(cell).collect();
            format!("<tr>{cells}</tr>\n")
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table class=\"sortable\">\n<caption><span>{}</span></caption>\n<thead><tr>{heads}</tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table></div>\n",
        escape(caption)
    )
}

/// All processes of a recording.
pub(super) fn processes(facts: &[Facts]) -> String {
    const COLUMNS: [Column; 8] = [
        ("Command", false),
        ("Process", true),
        ("Parent", true),
        ("Ran for", true),
        ("Events", true),
        ("Pages", true),
        ("Records lost", true),
        ("End", false),
    ];
    let shown = facts.len().min(MOST);
    let row = |facts: &Facts| {
        let seconds = (facts.last_ns - facts.start_ns).max(0) as f64 / 1e9;
        let unit = TimeUnit::of(seconds);
        let time = format!("{:.1} {}", unit.convert(seconds), unit.symbol);
        let id = match facts.program {
            0 => facts.pid.to_string(),
            program => format!("{}, program {}", facts.pid, u64::from(program) + 1),
        };
        vec![
            text(&facts.command),
            number(id, f64::from(facts.pid) + f64::from(facts.program) / 1e6),
            number(facts.parent_pid.to_string(), f64::from(facts.parent_pid)),
            number(time, seconds),
            count(facts.events),
            count(facts.total_pages),
            count(facts.lost),
            text(&ending(facts)),
        ]
    };
    let rows: Vec<Vec<Cell>> = facts[..shown].iter().map(row).collect();
    let caption = "Every program that was recorded. Pages have 4 KiB; an event says that a page was touched in an epoch. \
                   A click on a title sorts.";
    table(caption, &COLUMNS, &rows) + &left_out(facts.len() - shown, "processes")
}

/// How a program ended, in words.
pub(super) fn ending(facts: &Facts) -> String {
    match (facts.end.as_str(), facts.status) {
        ("exited", Some(0)) => "exited: success".into(),
        ("exited", Some(status)) => format!("exited with {status}"),
        ("signaled", Some(signal)) => format!("killed by signal {signal}"),
        ("running", _) => "was still running".into(),
        ("unknown", _) => "is not known".into(),
        ("replaced" | "native", _) => "executed another program".into(),
        ("died", _) => "is gone without a word".into(),
        ("truncated", _) => "is not known: its file was cut short".into(),
        (other, _) => other.into(),
    }
}

/// The hottest and the coldest mappings of a process, and all of them.
pub(super) fn mappings(process: &Process) -> String {
    // Hot is what is touched in most epochs; of two, the one with more events.
    let events = |row: &MappingRow| row.events.iter().sum::<u64>();
    let mut all: Vec<MappingRow> = process.mappings.clone();
    let untouched = all.iter().filter(|row| row.pages == 0).count();
    all.retain(|row| row.pages > 0);
    all.sort_by(|a, b| {
        let hotter = b.frequency.total_cmp(&a.frequency);
        hotter.then_with(|| events(b).cmp(&events(a)))
    });
    touched_mappings(process, &all) + &never_touched(untouched)
}

fn never_touched(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(
            "<p class=\"note\">Mappings that had no event at all: {}.</p>\n",
            grouped(count as u64)
        ),
    }
}

fn touched_mappings(process: &Process, all: &[MappingRow]) -> String {
    if all.is_empty() {
        return "<p class=\"empty\">No mapping was touched while it was recorded.</p>\n".into();
    }
    if all.len() <= SHOWN * 2 {
        return mapping_table("All mappings with events, hottest first", process, all);
    }
    let coldest: Vec<MappingRow> = all.iter().rev().take(SHOWN).cloned().collect();
    let hottest = mapping_table("The hottest mappings", process, &all[..SHOWN]);
    let coldest = mapping_table("The coldest mappings, coldest first", process, &coldest);
    let shown = all.len().min(MOST);
    let everything = mapping_table(
        "All mappings with events, hottest first",
        process,
        &all[..shown],
    );
    format!(
        "{hottest}{coldest}<details><summary>All {} mappings</summary>\n{everything}{}</details>\n",
        grouped(all.len() as u64),
        left_out(all.len() - shown, "mappings")
    )
}

fn mapping_table(caption: &str, process: &Process, rows: &[MappingRow]) -> String {
    let unit = super::plots::unit(process);
    let loads = process.distribution.loads_watched;
    let mut columns = vec![
        ("Mapping", false),
        ("Class", false),
        ("Mapped", true),
        ("Touched", true),
        ("How often", true),
        ("Write", true),
    ];
    if loads {
        columns.push(("Read", true));
    }
    columns.extend([("Kernel", true), ("First", true), ("Last", true)]);
    let time = |seconds: f64| {
        number(
            format!("{:.3} {}", unit.convert(seconds), unit.symbol),
            seconds,
        )
    };
    let row = |row: &MappingRow| {
        let mut cells = vec![
            text(&row.name),
            text(&row.class),
            number(bytes(row.bytes), row.bytes as f64),
            number(bytes(row.pages * 4096), row.pages as f64),
            number(frequency(row.frequency), row.frequency),
            count(row.events[0]),
        ];
        if loads {
            cells.push(count(row.events[1]));
        }
        cells.extend([count(row.events[2]), time(row.first), time(row.last)]);
        cells
    };
    let rows: Vec<Vec<Cell>> = rows.iter().map(row).collect();
    table(caption, &columns, &rows)
}

/// A share of the epochs.
fn frequency(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.05 => "less than 0.1 %".into(),
        percent => format!("{percent:.1} %"),
    }
}

fn left_out(count: usize, of: &str) -> String {
    match count {
        0 => String::new(),
        count => format!(
            "<p class=\"note\">{} more {of} are left out here, to keep the page small; the recording has them all.</p>\n",
            grouped(count as u64)
        ),
    }
}
