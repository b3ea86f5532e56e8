//! From a number to what is known of the call.

use super::effect::Row;
use super::{lower_table, upper_table};

/// Numbers below this may have a row.
pub(super) const SIZE: usize = 512;

static TABLE: [Option<&Row>; SIZE] = build();

const fn build() -> [Option<&'static Row>; SIZE] {
    let mut table = [None; SIZE];
    enter(lower_table::ROWS, &mut table);
    enter(upper_table::ROWS, &mut table);
    table
}

const fn enter(rows: &'static [Row], table: &mut [Option<&'static Row>; SIZE]) {
    let mut i = 0;
    while i < rows.len() {
        let nr = rows[i].0 as usize;
        assert!(table[nr].is_none(), "each number has one row");
        table[nr] = Some(&rows[i]);
        i += 1;
    }
}

/// The row of call number `nr`.
pub(super) fn lookup(nr: u32) -> Option<&'static Row> {
    TABLE.get(nr as usize).copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers and names, from the kernel's own header.
    fn header() -> Vec<(u32, String)> {
        let path = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
        let text = std::fs::read_to_string(path).expect("libc6-dev is installed");
        let define = |line: &str| {
            let (name, nr) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
            Some((nr.trim().parse().ok()?, name.to_owned()))
        };
        text.lines().filter_map(define).collect()
    }

    #[test]
    fn every_call_that_the_kernels_header_names_has_its_row() {
        let header = header();
        assert!(header.len() > 300);
        for (nr, name) in header {
            assert_eq!(lookup(nr).map(|row| row.1), Some(name.as_str()), "{nr}");
        }
    }

    #[test]
    fn numbers_that_nobody_has_assigned_have_none() {
        for nr in [337, 423, 511, 512, u32::MAX] {
            assert!(lookup(nr).is_none(), "{nr}");
        }
    }
}
