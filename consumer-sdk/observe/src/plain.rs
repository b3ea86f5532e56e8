//! Plain text for terminals of 80 columns: paragraphs, tables, bars.

use crate::failure::printable;

/// Columns of a line.
pub(crate) const WIDTH: usize = 80;

/// Text of another program on one line: without control characters and line ends.
pub(crate) fn clean(text: &str) -> String {
    printable(text).replace('\n', "?")
}

/// Like [`clean`], with at most so many characters: the end is left out.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let text = clean(text);
    match text.chars().count() > most {
        true => {
            let kept: String = text.chars().take(most.saturating_sub(3)).collect();
            format!("{kept}...")
        }
        false => text,
    }
}

/// Like [`cut`], but the beginning is left out: of a path, the end says more.
pub(crate) fn cut_front(text: &str, most: usize) -> String {
    let text = clean(text);
    let length = text.chars().count();
    match length > most {
        true => {
            let from = length - most.saturating_sub(3);
            let kept: String = text.chars().skip(from).collect();
            format!("...{kept}")
        }
        false => text,
    }
}

/// A paragraph: `first` in front of its first line, `others` in front of the others.
pub(crate) fn paragraph(first: &str, others: &str, text: &str) -> String {
    let mut lines = vec![first.to_owned()];
    let mut is_empty = true;
    for word in clean(text).split_whitespace() {
        let last = lines.len() - 1;
        let length = lines[last].chars().count() + 1 + word.chars().count();
        if !is_empty && length > WIDTH {
            lines.push(format!("{others}{word}"));
            continue;
        }
        if !is_empty {
            lines[last].push(' ');
        }
        lines[last].push_str(word);
        is_empty = false;
    }
    let lines = lines.iter().map(|line| line.trim_end());
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// One line, or several, on one thing.
pub(crate) fn line(label: &str, text: &str) -> String {
    paragraph(&format!("  {label:<12} "), &" ".repeat(15), text)
}

/// A table whose columns are right-aligned but for the last one, which gets what room is left. Nothing without rows.
pub(crate) fn table<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
) -> String {
    let last = COLUMNS - 1;
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(headings[column].len())
    });
    let taken: usize = widths[..last].iter().map(|width| width + 2).sum();
    let room = WIDTH.saturating_sub(taken + 2).max(12);
    let line = |cells: &[String; COLUMNS]| {
        let mut line = String::new();
        for (cell, width) in cells[..last].iter().zip(widths) {
            line += &format!("  {cell:>width$}");
        }
        let end = cut_front(&cells[last], room);
        format!("{line}  {end}").trim_end().to_owned() + "\n"
    };
    match rows.is_empty() {
        true => String::new(),
        false => std::iter::once(&headings.map(str::to_owned))
            .chain(rows)
            .map(line)
            .collect(),
    }
}

/// A bar for a part of the largest, of at most so many characters; what is not nothing is seen.
pub(crate) fn bar(part: u64, largest: u64, most: usize) -> String {
    let length = (part as f64 / largest.max(1) as f64 * most as f64).round() as usize;
    "#".repeat(length.max(usize::from(part > 0)).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_keep_within_the_width() {
        let text = "word ".repeat(60);
        let shown = paragraph("  - ", "    ", &text);
        assert!(shown.lines().all(|line| line.len() <= WIDTH), "{shown}");
        assert!(shown.starts_with("  - word") && shown.contains("\n    word"));
        assert_eq!(paragraph("  - ", "    ", "a\x1b[2J\nb"), "  - a?[2J?b\n");
    }

    #[test]
    fn tables_cut_long_names_at_their_front() {
        let long = format!("/usr/lib/{}/name.so", "x".repeat(100));
        let shown = table(["PAGES", "NAME"], &[["12".into(), long]]);
        assert!(shown.lines().all(|line| line.len() <= WIDTH), "{shown}");
        assert!(shown.contains("     12  ...") && shown.ends_with("/name.so\n"));
        assert_eq!(table(["A", "B"], &[]), "");
    }

    #[test]
    fn bars_show_what_is_not_nothing() {
        assert_eq!(bar(1, 1_000_000, 10), "#");
        assert_eq!(bar(0, 10, 10), "");
        assert_eq!(bar(10, 10, 4), "####");
    }
}
