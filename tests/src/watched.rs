//! The touching guest running inside, with a follower that sees its events.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::dump::{Follower, Record, events};
use crate::{Guest, Session, machine};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// The epoch that these tests ask for.
const EPOCH: Duration = Duration::from_millis(20);
/// After this long at least three epochs have passed, even on a busy machine.
#[must_use]
pub fn several_epochs() -> Duration {
    machine::patience(Duration::from_millis(150))
}

/// The touching guest, running inside, with a follower attached that has proved to see its writes.
#[derive(Debug)]
pub struct Watched {
    /// The guest, waiting for the next command.
    pub guest: Session,
    /// Its events so far.
    pub follower: Follower,
    /// The addresses of the pages that its commands touch.
    pub buffer: Range<u64>,
}

impl Watched {
    /// Starts the guest with a buffer of so many pages, of which every `stride`-th is touched, and waits
    /// until a follower sees its writes.
    ///
    /// # Panics
    /// When no write is ever reported.
    #[must_use]
    pub fn start(pages: u64, stride: u64, options: &[&str]) -> Self {
        Self::start_guest("tracking/touch", pages, stride, options)
    }

    /// The same with another guest that takes the same arguments, and commands of which `b` and `q` are the
    /// same.
    ///
    /// # Panics
    /// When no write is ever reported.
    #[must_use]
    pub fn start_guest(name: &str, pages: u64, stride: u64, options: &[&str]) -> Self {
        let program = Guest::new(name)
            .program()
            .args([pages.to_string(), stride.to_string()]);
        let program = match options.contains(&"--interval") {
            true => program,
            false => program.option(format!("--interval={}ms", EPOCH.as_millis())),
        };
        let program = options
            .iter()
            .fold(program, |program, option| program.option(*option));
        let mut guest = Session::start(program.inside_command());
        let line = guest.line();
        let mut addresses = line.split(' ').map(hexadecimal);
        let (buffer, beacon) = (
            addresses.next().expect("a buffer"),
            addresses.next().expect("a beacon"),
        );
        let follower = Follower::attach(guest.pid());
        let mut watched = Self {
            guest,
            follower,
            buffer: buffer..buffer + pages * PAGE,
        };
        watched.wait_for_beacon(beacon);
        watched
    }

    /// Has the beacon page written until the follower reports it: from then on it misses nothing.
    fn wait_for_beacon(&mut self, beacon: u64) {
        for _ in 0..100 {
            self.command('b');
            let seen =
                |records: &[Record]| !events(records, "write", &(beacon..beacon + PAGE)).is_empty();
            if self.follower.read_until(several_epochs(), seen) {
                return;
            }
        }
        panic!(
            "no write of the beacon page is reported; last records: {:?}",
            self.follower.last(5)
        );
    }

    /// Has the guest carry out one command; what they do is told in `guests/tracking/touch.c`.
    ///
    /// # Panics
    /// When the guest does not answer.
    #[track_caller]
    pub fn command(&mut self, letter: char) {
        self.guest.send(&letter.to_string());
        assert_eq!(self.guest.line(), format!("done {letter}"));
    }

    /// Ends the guest and gives all records up to its end.
    ///
    /// # Panics
    /// When the guest fails, or no end is reported.
    #[track_caller]
    pub fn end(mut self) -> Vec<Record> {
        self.guest.send("q");
        let status = self.guest.finish();
        assert!(status.success(), "{status}");
        self.follower.read_to_end().to_vec()
    }

    /// The pages that rounds of the guest touch, each with its number of rounds.
    #[must_use]
    pub fn expected(&self, stride: u64, times: u64) -> BTreeMap<u64, u64> {
        self.buffer
            .clone()
            .step_by((stride * PAGE) as usize)
            .map(|page| (page, times))
            .collect()
    }
}

/// The address that `0x...` names.
///
/// # Panics
/// For anything else.
#[must_use]
pub fn hexadecimal(text: &str) -> u64 {
    let digits = text
        .strip_prefix("0x")
        .unwrap_or_else(|| panic!("{text:?} is no address"));
    u64::from_str_radix(digits, 16).unwrap_or_else(|cause| panic!("{text:?}: {cause}"))
}
