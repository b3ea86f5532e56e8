//! What lies in a recording beside its tables, for whoever finds one: which table has which columns, and what they say.

use super::schema::Table;
use std::fmt::Write;

/// Its file.
pub(crate) const GUIDE: &str = "README.txt";

/// How to read it, in front of the tables.
const ABOUT: &str = "\
This is a recording of vmmload: which pages of memory programs touched, and when.

  vmmload report DIR              what it says, in words
  vmmload report DIR -o FILE      as a page for the browser

recording.json tells what was recorded, and how the recording ended. Each of the directories is one table of Parquet files, for
example for DuckDB:

  select kind, sum(count) from read_parquet('DIR/events/**/*.parquet') group by kind;

Addresses are bytes; a page has 4096 of them. One event says that a page was touched in an epoch, once or a thousand times.
";

/// The whole text.
pub(crate) fn text() -> String {
    let mut text = String::from(ABOUT);
    for table in Table::ALL {
        let _ = write!(text, "\n{}\n", table.name());
        for column in table.columns() {
            let _ = writeln!(text, "  {:<20}  {}", column.name, column.about);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_every_table_is_told() {
        let text = text();
        for table in Table::ALL {
            let section = text.split(&format!("\n\n{}\n", table.name())).nth(1);
            let section = section.unwrap_or_default();
            let mut lines = section.lines();
            for column in table.columns() {
                let line = lines.next().unwrap_or_default();
                assert!(line.trim_start().starts_with(column.name), "{line}");
                assert!(line.ends_with(column.about), "{line}");
            }
            assert!(lines.next().is_none_or(str::is_empty));
        }
    }
}
