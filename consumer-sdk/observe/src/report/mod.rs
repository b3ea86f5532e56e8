//! `vmmload report`: tells what a recording says, as text, as a page for the browser, as pictures.

mod html;
mod images;
mod ladder;
mod look;
pub(crate) mod page;
#[cfg(test)]
mod sample;
mod text;
pub(crate) mod whole_file;

use crate::analysis::model::Process;
use crate::analysis::{self, Choice};
use crate::failure::Outcome;
use crate::recording::reader::Recording;
use crate::typed::ReportArgs;
use images::Format;
use std::io::{self, Write};

/// Reports on a recording.
pub(crate) fn run(args: &ReportArgs) -> Outcome {
    let recording = Recording::open(&args.recording)?;
    let choice = Choice {
        pid: args.pid,
        most: args.processes as usize,
    };
    let analysis = analysis::analyse(&recording, choice)?;
    if let Some(path) = &args.output {
        html::write(&analysis, path)?;
    }
    for (directory, format) in [(&args.png, Format::Png), (&args.svg, Format::Svg)] {
        if let Some(directory) = directory {
            images::write(&analysis, directory, format)?;
        }
    }
    if args.output.is_none() && args.png.is_none() && args.svg.is_none() {
        let text = text::report(&analysis);
        io::stdout().lock().write_all(text.as_bytes())?;
    }
    Ok(0)
}

/// From and to in seconds: what was recorded, and all columns of the heat map. Never empty.
fn shown_span(process: &Process) -> (f64, f64) {
    let heat = &process.heat;
    let (mut from, mut to) = process.span;
    if heat.columns() > 0 {
        from = from.min(heat.start);
        to = to.max(heat.start + heat.width * heat.columns() as f64);
    }
    match to > from {
        true => (from, to),
        false => (from, from + 1e-3),
    }
}
