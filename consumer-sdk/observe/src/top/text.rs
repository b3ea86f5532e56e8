//! Text for terminals: nothing in it that a terminal obeys, and as wide as there is room.

use crate::numbers;
use ratatui::text::Span;
use std::time::Duration;
use vmmload_consumer::{End, Status, Track};

/// Text of other programs as it can be shown: what a terminal obeys, what changes the direction of writing and what
/// cannot be seen is replaced, and so is what it cannot show.
pub(crate) fn harmless(text: &str, is_utf8: bool) -> String {
    let shown = |c: char| {
        let is_hidden = matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' |
            '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        let is_strange = c.is_control() || is_hidden || !is_utf8 && !c.is_ascii();
        if is_strange { '?' } else { c }
    };
    text.chars().map(shown).collect()
}

/// A command line without the directory of its program.
pub(crate) fn without_directory(command: &str) -> &str {
    let program = command.split(' ').next().unwrap_or_default();
    let name = program.rfind('/').map_or(0, |slash| slash + 1);
    match program.len() == name {
        true => command,
        false => &command[name..],
    }
}

/// Columns of the terminal that a text takes.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The front of a text that is too long, with a mark.
pub(crate) fn cut(text: &str, most: usize, is_utf8: bool) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mark = mark(is_utf8);
    let (mut kept, mut used) = (String::new(), width(mark));
    for c in text.chars() {
        used += width(c.encode_utf8(&mut [0; 4]));
        if used > most {
            break;
        }
        kept.push(c);
    }
    match most {
        0 => String::new(),
        _ => kept + mark,
    }
}

/// The back of a text that is too long, with a mark: the end of a path tells more than its beginning.
pub(crate) fn cut_front(text: &str, most: usize, is_utf8: bool) -> String {
    if width(text) <= most || most == 0 {
        return cut(text, most, is_utf8);
    }
    let mut used = width(mark(is_utf8));
    let back = text.chars().rev().take_while(|c| {
        used += width(c.encode_utf8(&mut [0; 4]));
        used <= most
    });
    let back: Vec<char> = back.collect();
    let kept: String = back.into_iter().rev().collect();
    mark(is_utf8).to_owned() + &kept
}

fn mark(is_utf8: bool) -> &'static str {
    if is_utf8 { "…" } else { "~" }
}

/// A time in at most five characters: `59s`, `12m07`, `23h59`, `9d23h`, `365d`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}", minutes % 60),
        86_400..864_000 => format!("{days}d{:02}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// How often the display is refreshed.
pub(crate) fn delay(delay: Duration) -> String {
    humantime::format_duration(delay).to_string()
}

/// A number for a narrow column, with a mark if it may be more.
pub(crate) fn at_least(number: Option<u64>, is_more: bool) -> String {
    let Some(number) = number else {
        return "-".into();
    };
    let text = numbers::short(number as f64);
    if is_more { text + "+" } else { text }
}

/// Events in a second, if known.
pub(crate) fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".into(), numbers::short)
}

/// Write, read and kernel events among all, per cent; `-` for those that are not watched.
pub(crate) fn shares(rates: Option<[f64; 3]>, track: Option<Track>) -> String {
    let all: f64 = rates.iter().flatten().sum();
    let Some([write, read, kernel]) = rates.filter(|_| all > 0.0) else {
        return "-".into();
    };
    let share = |part: f64| format!("{:.0}", part / all * 100.0);
    let read = match track {
        Some(Track::ReadWrite) | None => share(read),
        Some(_) => "-".into(),
    };
    format!("{}/{read}/{}", share(write), share(kernel))
}

/// What has become of a process, in words.
pub(crate) fn status(status: Status) -> String {
    match status {
        Status::Running => "running".into(),
        Status::Ended(End::Exited(code)) => format!("ended, status {code}"),
        Status::Ended(End::Signaled(signal)) => format!("ended by signal {signal}"),
        Status::Ended(End::Replaced) => "executes another program".into(),
        Status::Ended(End::Native) => "executes a program that is not wrapped".into(),
        Status::Died => "was killed".into(),
        Status::Truncated => "its segment was cut short".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let hostile = "a\x1b[2J\u{9b}31mb\r\n\u{202e}c\u{200b}\u{7f}";
        assert_eq!(harmless(hostile, true), "a?[2J?31mb???c??");
        assert_eq!(harmless("naïve 日本", false), "na?ve ??");
        assert_eq!(harmless("naïve 日本", true), "naïve 日本");
    }

    #[test]
    fn commands_are_told_by_their_programs_name() {
        for (command, name) in [
            ("/usr/bin/cat /etc/x", "cat /etc/x"),
            ("cat /etc/x", "cat /etc/x"),
            ("/", "/"),
            ("", ""),
            ("/dir/ /x", "/dir/ /x"),
        ] {
            assert_eq!(without_directory(command), name);
        }
    }

    #[test]
    fn long_text_is_cut_by_its_width() {
        assert_eq!(cut("abcdef", 6, true), "abcdef");
        assert_eq!(cut("abcdefg", 6, true), "abcde…");
        assert_eq!(cut("abcdefg", 6, false), "abcde~");
        assert_eq!(cut("日本語日本語", 6, true), "日本…");
        assert_eq!(cut_front("/usr/lib/libc.so.6", 10, true), "…libc.so.6");
        assert_eq!(cut_front("日本語日本語", 6, true), "…本語");
        for most in 0..12 {
            assert!(width(&cut("日本語x日本語", most, true)) <= most);
            assert!(width(&cut_front("日本語x日本語", most, true)) <= most);
        }
    }

    #[test]
    fn ages_and_shares_fit_their_columns() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (727, "12m07"),
            (86_399, "23h59"),
            (863_999, "9d23h"),
            (86_400 * 365, "365d"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
            assert!(text.len() <= 5);
        }
        let some = Some([98.0, 1.0, 1.0]);
        assert_eq!(shares(some, Some(Track::ReadWrite)), "98/1/1");
        assert_eq!(shares(some, Some(Track::Write)), "98/-/1");
        assert_eq!(shares(Some([0.0; 3]), Some(Track::Write)), "-");
        assert_eq!(at_least(Some(1024), true), "1024+");
    }
}
