//! `vmmload report`: tells what a recording says.

pub(crate) mod page;
mod text;

use crate::analysis::{self, Choice};
use crate::failure::Outcome;
use crate::recording::reader::Recording;
use crate::typed::ReportArgs;
use std::io::{self, Write};

/// Reports on a recording.
pub(crate) fn run(args: &ReportArgs) -> Outcome {
    let recording = Recording::open(&args.recording)?;
    let choice = Choice {
        pid: args.pid,
        most: args.processes as usize,
    };
    let analysis = analysis::analyse(&recording, choice)?;
    let text = text::report(&analysis);
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(0)
}
