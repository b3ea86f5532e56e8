//! What a recording says: as a page for the browser and as pictures.

mod html;
mod images;
mod ladder;
mod look;
pub(crate) mod page;
#[cfg(test)]
mod sample;
mod whole_file;

use crate::analysis::model::Process;
use crate::failure::{Failure, Outcome};
use crate::typed::ReportArgs;

pub(crate) fn run(_args: &ReportArgs) -> Outcome {
    Err(Failure::Other("not there yet".into()))
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
