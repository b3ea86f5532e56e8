//! Lines of ours on standard error while the program runs, which must not notice them otherwise.

use std::borrow::Cow;

use super::{relay, signals};

/// What a write can send to its thread: SIGPIPE where nobody reads, SIGXFSZ beyond a size limit.
const SENT_BY_WRITE: u64 = 1 << (libc::SIGPIPE - 1) | 1 << (libc::SIGXFSZ - 1);

/// Writes one line. A standard error that is closed, full or broken swallows it: the program's own
/// course goes on.
pub(crate) fn say(text: &str) {
    let line = format!("vmmload: {}\n", printable(text));
    let mask = signals::set_mask(u64::MAX);
    let waiting = pending() & SENT_BY_WRITE;
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        let args = [2, rest.as_ptr() as u64, rest.len() as u64, 0, 0, 0];
        // SAFETY: `rest` is readable for the call.
        match unsafe { relay::raw(libc::SYS_write, args) } {
            written @ 1.. => rest = &rest[written as usize..],
            _ => break,
        }
    }
    forget(SENT_BY_WRITE & !waiting);
    signals::set_mask(mask);
}

/// Text for people, with names in it that others have chosen: what would act on their terminal, end the line, or turn
/// the direction of what follows is escaped.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return text.into();
    }
    let escape = |c: char| match acts(c) {
        true => c.escape_default().to_string(),
        false => c.into(),
    };
    text.chars().map(escape).collect::<String>().into()
}

/// Controls, and Unicode's separators of lines and marks of direction.
fn acts(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

fn pending() -> u64 {
    let mut set = 0u64;
    // SAFETY: `set` is writable for the call.
    unsafe {
        relay::raw(
            libc::SYS_rt_sigpending,
            [&raw mut set as u64, 8, 0, 0, 0, 0],
        )
    };
    set
}

/// Takes the blocked signals of `set` off the queue.
fn forget(set: u64) {
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let args = [&raw const set as u64, 0, &raw const now as u64, 8, 0, 0];
    // SAFETY: set and time are readable for the call; the siginfo is not asked for.
    while unsafe { relay::raw(libc::SYS_rt_sigtimedwait, args) } > 0 {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_escaped_and_nothing_else() {
        let text = "Größe 7 % \\ \"é\" 漢字";
        assert_eq!(printable(text), text);
        assert_eq!(
            printable("a\x1b[31m\r\n\t\x7f\u{9b}\u{2028}\u{202e}"),
            "a\\u{1b}[31m\\r\\n\\t\\u{7f}\\u{9b}\\u{2028}\\u{202e}"
        );
    }
}
