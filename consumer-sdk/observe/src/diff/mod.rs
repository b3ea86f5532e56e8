//! `vmmload diff`: tells what has changed between two recordings.

mod compare;
mod html;
mod quantity;
#[cfg(test)]
mod tests;
mod text;

use crate::analysis::model::Analysis;
use crate::analysis::{self, Choice};
use crate::failure::{Failure, Outcome};
use crate::recording::reader::Recording;
use crate::report::whole_file;
use crate::typed::DiffArgs;
use compare::Comparison;
use std::io::{self, Write};
use std::path::Path;

/// Processes of each recording whose mappings are compared, those with the most events first.
const CLOSE: usize = 8;

/// Compares two recordings.
pub(crate) fn run(args: &DiffArgs) -> Outcome {
    let [before, after] = [&args.before, &args.after].map(|path| read(path));
    let comparison = Comparison::of(&before?, &after?);
    match &args.output {
        None => io::stdout()
            .lock()
            .write_all(text::report(&comparison).as_bytes())?,
        Some(path) => whole_file::write(path, html::page(&comparison).as_bytes())?,
    }
    Ok(0)
}

fn read(directory: &Path) -> Result<Analysis, Failure> {
    let choice = Choice {
        pid: None,
        most: CLOSE,
    };
    analysis::analyse(&Recording::open(directory)?, choice)
}
