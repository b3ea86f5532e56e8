//! Which pages a program touches, by an instrument that has nothing in common with vmmload.
//!
//! The guests in `guests/oracle/` are deterministic. Each runs once under valgrind's lackey, which
//! interprets every instruction and prints the address of every load and store ([`lackey`]), and once or more
//! inside, where the segment's table has the totals of every page ([`inside`]). Both are sets of pages, and
//! are compared as such.
//!
//! Addresses differ between the two, so a guest reports memory that lies elsewhere in each run by a line
//! `region NAME START PAGES` on standard output, and `ready` after the last one. Then it waits for one byte,
//! and accesses memory. A page in a region is known by its number there, any other by its address.

pub mod inside;
pub mod lackey;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::watched::{PAGE, hexadecimal};

/// A page, under a name that is the same in each run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// The page with this number in the region of this name.
    Region(String, u64),
    /// The page at this address, in no region.
    Address(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(name, page) => write!(f, "{name}[{page}]"),
            Self::Address(address) => write!(f, "{address:#x}"),
        }
    }
}

/// What a guest has reported of its memory, in page numbers.
#[derive(Debug, Default)]
pub struct Regions(Vec<(String, Range<u64>)>);

impl Regions {
    /// Notes what a line of output reports. Tells whether more regions may follow.
    ///
    /// # Panics
    /// For a line that a guest of this kind does not print.
    pub fn note(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ready"] => false,
            ["region", name, start, pages] => {
                let first = hexadecimal(start) / PAGE;
                let region = (name.to_owned(), first..first + hexadecimal(pages));
                self.0.push(region);
                true
            }
            _ => panic!("no region: {line:?}"),
        }
    }

    /// The addresses of a region.
    ///
    /// # Panics
    /// When no region has that name.
    #[must_use]
    pub fn addresses(&self, wanted: &str) -> Range<u64> {
        let region = self.0.iter().find(|(name, _)| name == wanted);
        let (_, pages) = region.unwrap_or_else(|| panic!("no region {wanted}: {self:?}"));
        pages.start * PAGE..pages.end * PAGE
    }

    /// The name of a page. Where regions overlap, the smallest counts.
    #[must_use]
    pub fn place(&self, page: u64) -> Place {
        let around = self.0.iter().filter(|(_, pages)| pages.contains(&page));
        let smallest = around.min_by_key(|(_, pages)| pages.end - pages.start);
        smallest.map_or(Place::Address(page * PAGE), |(name, pages)| {
            Place::Region(name.clone(), page - pages.start)
        })
    }

    /// The names of pages.
    #[must_use]
    pub fn places(&self, pages: &BTreeSet<u64>) -> BTreeSet<Place> {
        pages.iter().map(|&page| self.place(page)).collect()
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every page of the process: for guests without the C library, whose pages are all their own.
    Process,
    /// The reported regions: what a C library does elsewhere depends on the processor that it finds.
    Regions,
}

impl Scope {
    /// Those of `places` that are compared.
    #[must_use]
    pub fn of(self, places: &BTreeSet<Place>) -> BTreeSet<Place> {
        let inside = |place: &&Place| self == Self::Process || matches!(place, Place::Region(..));
        places.iter().filter(inside).cloned().collect()
    }
}

/// Fails unless both are the same, and names what differs.
///
/// # Panics
/// When `found` misses a page of `expected`, or has another one.
#[track_caller]
pub fn assert_same(what: &str, found: &BTreeSet<Place>, expected: &BTreeSet<Place>) {
    let missing: BTreeSet<Place> = expected.difference(found).cloned().collect();
    let invented: BTreeSet<Place> = found.difference(expected).cloned().collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "{what}: {} pages expected, {} found; missing {}; invented {}",
        expected.len(),
        found.len(),
        shown(&missing),
        shown(&invented)
    );
}

/// How many there are, and the first of them.
#[must_use]
pub fn shown(places: &BTreeSet<Place>) -> String {
    let first: Vec<String> = places.iter().take(12).map(Place::to_string).collect();
    format!("{} ({})", places.len(), first.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{Place, Regions, Scope};

    #[test]
    fn pages_are_known_by_the_smallest_region_around_them() {
        let mut regions = Regions::default();
        assert!(regions.note("region all 0x1000 0x10"));
        assert!(regions.note("region one 0x3000 0x1"));
        assert!(!regions.note("ready"));
        assert_eq!(regions.place(3), Place::Region("one".into(), 0));
        assert_eq!(regions.place(4), Place::Region("all".into(), 3));
        assert_eq!(regions.place(0x11), Place::Address(0x11000));
        let places = regions.places(&[3, 0x11].into());
        assert_eq!(Scope::Process.of(&places).len(), 2);
        assert_eq!(Scope::Regions.of(&places).len(), 1);
    }

    #[test]
    #[should_panic(expected = "invented 1 (0x2000)")]
    fn an_invented_page_is_a_difference() {
        let one = [Place::Address(0x1000)].into();
        let two = [Place::Address(0x1000), Place::Address(0x2000)].into();
        super::assert_same("pages", &two, &one);
    }

    #[test]
    #[should_panic(expected = "missing 1 (0x1000)")]
    fn a_missing_page_is_a_difference() {
        let expected = [Place::Address(0x1000)].into();
        super::assert_same("pages", &[].into(), &expected);
    }
}
