//! The report as a page for the browser: one file that opens offline.

pub(crate) mod charts;
mod heat;
mod overview;
mod plots;
mod process;
mod tables;
#[cfg(test)]
mod tests;

use super::{look, page, whole_file};
use crate::analysis::model::Analysis;
use crate::failure::Failure;
use std::path::Path;

/// Characters of a command line in titles.
const LONGEST_TITLE: usize = 120;

/// Writes the page to a file, as a whole or not at all.
///
/// # Errors
/// What could not be written, and why.
pub(crate) fn write(analysis: &Analysis, path: &Path) -> Result<(), Failure> {
    whole_file::write(path, of(analysis).as_bytes())
}

/// The page.
fn of(analysis: &Analysis) -> String {
    let what = look::shortened(&analysis.manifest.what, LONGEST_TITLE);
    let mut body = overview::header(analysis);
    for process in &analysis.close {
        body.push_str(&process::section(process));
    }
    body.push_str(&overview::method(analysis));
    page::document(&format!("Memory of {what}"), &body)
}
