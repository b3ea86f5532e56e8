//! A guest that reports its regions running inside, and the pages that its segment counts.

use std::collections::BTreeSet;
use std::ops::Range;

use vmmload_consumer::Kind;

use super::{Place, Regions};
use crate::segment::Segment;
use crate::watched::PAGE;
use crate::{Program, Session};

/// A guest that waits for its first byte.
#[derive(Debug)]
pub struct Inside {
    /// The guest.
    pub guest: Session,
    /// What it has reported.
    pub regions: Regions,
    /// Its segment.
    pub segment: Segment,
}

/// What the segment says after the end.
#[derive(Debug)]
pub struct Observed {
    /// Pages with write events.
    pub written: BTreeSet<Place>,
    /// Pages with read events.
    pub read: BTreeSet<Place>,
    /// Pages with kernel events.
    pub kernel: BTreeSet<Place>,
}

impl Inside {
    /// Starts a guest inside, and attaches to its segment before the guest touches anything of its pattern.
    #[must_use]
    #[track_caller]
    pub fn start(program: &Program, options: &[&str]) -> Self {
        let program = options.iter().fold(program.clone(), |p, o| p.option(*o));
        let mut guest = Session::start(program.inside_command());
        let mut regions = Regions::default();
        while regions.note(&guest.line()) {}
        let segment = Segment::attach(guest.pid());
        Self {
            guest,
            regions,
            segment,
        }
    }

    /// Has the guest carry out commands of one letter, which it answers by `done LETTER` each.
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn command(&mut self, letters: &str) {
        for letter in letters.chars() {
            self.guest.send(&letter.to_string());
            assert_eq!(self.guest.line(), format!("done {letter}"));
        }
    }

    /// The addresses of a region.
    #[must_use]
    #[track_caller]
    pub fn region(&self, name: &str) -> Range<u64> {
        self.regions.addresses(name)
    }

    /// Lets the guest go on to its end.
    ///
    /// # Panics
    /// When the guest fails, or counts are missing from its segment.
    #[track_caller]
    pub fn end(&mut self, word: &str) {
        self.guest.send(word);
        let status = self.guest.finish();
        assert!(status.success(), "{status}");
        let info = self.segment.consumer().info();
        assert_eq!(info.heat_dropped, 0, "events are missing from the table");
    }
}

/// Runs a guest to its end, and gives every page that was counted.
#[must_use]
#[track_caller]
pub fn observe(program: &Program, options: &[&str]) -> Observed {
    let mut inside = Inside::start(program, options);
    inside.end("g");
    let of = |wanted: Kind| {
        let cells = inside.segment.consumer().heat();
        let pages = cells.filter(|heat| heat.kind == wanted);
        let pages = pages.map(|heat| heat.addr / PAGE).collect();
        inside.regions.places(&pages)
    };
    Observed {
        written: of(Kind::Write),
        read: of(Kind::Read),
        kernel: of(Kind::Kernel),
    }
}
