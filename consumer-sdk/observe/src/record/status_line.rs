//! The line that tells how a recording goes, while it does.

use crate::numbers::{bytes, grouped};
use crate::recording::writer::store::Totals;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two of them.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct StatusLine {
    began: Instant,
    /// `None`: there is none.
    next: Option<Instant>,
    is_shown: bool,
}

impl StatusLine {
    /// One on standard error, if that is a terminal.
    pub(crate) fn new(quiet: bool) -> Self {
        let began = Instant::now();
        let is_wanted = !quiet && io::stderr().is_terminal();
        Self {
            began,
            next: is_wanted.then(|| began + PAUSE),
            is_shown: false,
        }
    }

    /// Since when it tells.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Draws it anew, when it is time to.
    pub(crate) fn draw(&mut self, totals: impl FnOnce() -> Totals) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        self.next = Some(Instant::now() + PAUSE);
        // A program may have taken the terminal for itself, as an editor does that a shell starts.
        if !has_terminal() {
            return;
        }
        let text = text(self.began.elapsed(), totals());
        let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| size.ws_col);
        let shown: String = text
            .chars()
            .take(usize::from(width).saturating_sub(1))
            .collect();
        let _ = write!(io::stderr(), "\r\x1b[K{shown}");
        self.is_shown = true;
    }

    /// Takes it away.
    pub(crate) fn clear(&mut self) {
        self.next = None;
        if std::mem::take(&mut self.is_shown) && has_terminal() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Whether this process is in the foreground of its terminal.
fn has_terminal() -> bool {
    let foreground = rustix::termios::tcgetpgrp(io::stderr());
    foreground.is_ok_and(|group| group == rustix::process::getpgrp())
}

fn text(since: Duration, totals: Totals) -> String {
    let seconds = since.as_secs();
    let what = summary(totals);
    format!("recording {seconds} s: {what}")
}

/// `3 processes, 1,234,567 events, 4.5 MiB, 0 lost`.
pub(crate) fn summary(totals: Totals) -> String {
    let Totals {
        processes,
        events,
        lost,
        bytes: size,
        ..
    } = totals;
    format!(
        "{}, {}, {}, {} lost",
        counted(processes, "process", "processes"),
        counted(events, "event", "events"),
        bytes(size),
        grouped(lost)
    )
}

/// `1 process`, `2 processes`.
pub(crate) fn counted(number: u64, one: &str, several: &str) -> String {
    let what = if number == 1 { one } else { several };
    format!("{} {what}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_it_goes() {
        let totals = Totals {
            processes: 3,
            rows: 1_234_567,
            events: 1_234_567,
            lost: 0,
            bytes: 4_700_000,
        };
        assert_eq!(
            text(Duration::from_millis(12_300), totals),
            "recording 12 s: 3 processes, 1,234,567 events, 4.5 MiB, 0 lost"
        );
        let one = Totals {
            processes: 1,
            events: 1,
            ..Totals::default()
        };
        assert_eq!(summary(one), "1 process, 1 event, 0 bytes, 0 lost");
    }
}
