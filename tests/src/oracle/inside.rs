//! A guest of the oracle running inside, and the pages that its segment counts.

use std::collections::BTreeSet;

use vmmload_consumer::{Consumer, Info, Kind};

use super::{Place, Regions};
use crate::watched::PAGE;
use crate::{Program, Session};

/// What the segment says after the end.
#[derive(Debug)]
pub struct Observed {
    /// Pages with write events.
    pub written: BTreeSet<Place>,
    /// Pages with read events.
    pub read: BTreeSet<Place>,
    /// Pages with kernel events.
    pub kernel: BTreeSet<Place>,
    /// The segment's other facts.
    pub info: Info,
}

/// Runs a guest inside, attached to its segment before it touches anything of its pattern.
///
/// # Panics
/// When the guest fails, or counts are missing from its segment.
#[must_use]
#[track_caller]
pub fn observe(program: &Program, options: &[&str]) -> Observed {
    let program = options.iter().fold(program.clone(), |p, o| p.option(*o));
    let mut guest = Session::start(program.inside_command());
    let mut regions = Regions::default();
    while regions.note(&guest.line()) {}
    let pid = u32::try_from(guest.pid()).expect("a pid is positive");
    let segment = Consumer::attach(pid).unwrap_or_else(|cause| panic!("{cause}"));
    guest.send("g");
    let status = guest.finish();
    assert!(status.success(), "{}: {status}", program.shown());
    let info = segment.info();
    assert_eq!(info.heat_dropped, 0, "events are missing from the table");
    let of = |wanted: Kind| {
        let cells = segment.heat().filter(|heat| heat.kind == wanted);
        regions.places(&cells.map(|heat| heat.addr / PAGE).collect())
    };
    Observed {
        written: of(Kind::Write),
        read: of(Kind::Read),
        kernel: of(Kind::Kernel),
        info,
    }
}
