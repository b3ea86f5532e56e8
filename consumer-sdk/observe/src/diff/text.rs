//! The comparison for terminals.

use super::compare::{Comparison, Mapping, Program};
use super::quantity::{Quantity, Unit, change};
use crate::numbers::{grouped, percent, short};
use crate::plain::{clean, cut, line, paragraph, table};

/// Mappings of a program that are listed.
const MOST_MAPPINGS: usize = 15;

/// What no comparison of two runs can say.
pub(super) const CAUTION: &str = "One run of a program is not like the next. Whether a change is more than that, two \
     recordings cannot say: record each several times to see by how much they differ among themselves.";

/// All of it.
pub(super) fn report(comparison: &Comparison) -> String {
    let [before, after] = &comparison.sides;
    let mut text = String::from("vmmload: what has changed\n");
    text += &line("before", before);
    text += &line("after", after);
    if !comparison.warnings.is_empty() {
        text += "\nBefore you compare\n";
        for warning in &comparison.warnings {
            text += &paragraph("  - ", "    ", warning);
        }
    }
    text += "\nAll processes\n";
    text += &quantities(&comparison.totals);
    for program in &comparison.programs {
        text += &section(program);
    }
    text + "\n" + &paragraph("", "", CAUTION)
}

fn quantities(all: &[Quantity]) -> String {
    const HEADINGS: [&str; 4] = ["", "BEFORE", "AFTER", "CHANGE"];
    let row = |quantity: &Quantity| {
        let [before, after] = quantity.shown();
        // Names are read from the left.
        [
            format!("{:<14}", quantity.name),
            before,
            after,
            quantity.change(),
        ]
    };
    table(HEADINGS, &all.iter().map(row).collect::<Vec<_>>())
}

fn section(program: &Program) -> String {
    let [before, after] = program.processes;
    let news = match (before, after) {
        (0, _) => ", new",
        (_, 0) => ", gone",
        _ => "",
    };
    let title = format!(
        "{}: {before} before, {after} after{news}",
        cut(&program.name, 40)
    );
    let mut text = format!("\n{title}\n{}", quantities(&program.quantities));
    if !program.mappings.is_empty() {
        text += "\n  Mappings, those whose events changed most first; EV/S: events in a second\n";
        text += &mappings(&program.mappings);
    }
    text
}

fn mappings(all: &[Mapping]) -> String {
    const HEADINGS: [&str; 7] = [
        "EV/S",
        "AFTER",
        "CHANGE",
        "PAGES",
        "AFTER",
        "OF EPOCHS",
        "MAPPING",
    ];
    let shown = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let row = |mapping: &Mapping| {
        let rates = mapping.rates();
        let [before, after] = rates.map(|rate| shown(rate.map(short)));
        let pages = mapping
            .sides
            .map(|side| shown(side.map(|side| grouped(side.pages))));
        let [pages_before, pages_after] = pages;
        let frequency = mapping
            .sides
            .map(|side| shown(side.map(|side| percent(side.frequency, 1.0).replace(" %", ""))));
        [
            before,
            after,
            change(rates, Unit::Rate),
            pages_before,
            pages_after,
            format!("{} > {} %", frequency[0], frequency[1]),
            clean(&mapping.name),
        ]
    };
    let rows: Vec<_> = all.iter().take(MOST_MAPPINGS).map(row).collect();
    let mut text = table(HEADINGS, &rows);
    let rest = all.len() - rows.len();
    if rest > 0 {
        text += &format!("  and {} more that changed less\n", grouped(rest as u64));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::changed;
    use super::*;

    #[test]
    fn the_comparison_names_what_is_new_gone_and_changed() {
        let text = report(&changed());
        for said in [
            "Other lengths of epochs: 100ms before, 10ms after.",
            "solver: 1 before, 1 after",
            "other: 0 before, 1 after, new",
            "+100.0 %",
            "gone",
            "new",
            "[heap]",
        ] {
            assert!(text.contains(said), "no \"{said}\" in:\n{text}");
        }
        assert!(!text.contains('\x1b'));
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
}
