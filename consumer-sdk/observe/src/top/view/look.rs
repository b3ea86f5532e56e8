//! What this terminal can show: letters, colours, and what intensities look like with them.

use ratatui::style::{Color, Modifier, Style};

/// Dark to bright through blue, green and yellow, equal steps of lightness: told apart by every eye.
const MANY: [u8; 10] = [53, 54, 60, 24, 30, 36, 71, 113, 185, 226];
/// The same as far as sixteen colours allow.
const SIXTEEN: [Color; 5] = [
    Color::Blue,
    Color::Cyan,
    Color::Green,
    Color::Yellow,
    Color::White,
];
const SHADES: [&str; 5] = ["·", "░", "▒", "▓", "█"];
const LETTERS: [&str; 9] = [".", ":", "-", "=", "+", "*", "#", "%", "@"];

/// How many colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colors {
    None,
    Sixteen,
    /// 256, or more.
    Many,
}

/// What the terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) colors: Colors,
    pub(crate) is_utf8: bool,
}

impl Look {
    /// As the environment says it.
    pub(crate) fn of_environment(no_color: bool) -> Self {
        Self::of(no_color, |name| std::env::var(name).ok())
    }

    fn of(no_color: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        // The first one that is set decides, as for setlocale(3).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let locale = locale.unwrap_or_default().to_lowercase();
        let term = set("TERM").unwrap_or_default();
        let has_many = set("COLORTERM").is_some_and(|it| it == "truecolor" || it == "24bit")
            || term.contains("256color")
            || term.contains("direct");
        let colors = match (no_color || set("NO_COLOR").is_some(), has_many) {
            (true, _) => Colors::None,
            _ if term.starts_with("vt") => Colors::None,
            (_, true) => Colors::Many,
            (_, false) => Colors::Sixteen,
        };
        Self {
            colors,
            is_utf8: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    /// A share of the most there is, above 0 and up to 1, as one cell.
    pub(super) fn intensity(self, share: f64) -> (&'static str, Style) {
        let step = |steps: usize| ((share * steps as f64).ceil() as usize).clamp(1, steps) - 1;
        let letters: &[&str] = if self.is_utf8 { &SHADES } else { &LETTERS };
        let style = match self.colors {
            Colors::None => Style::new(),
            Colors::Sixteen => Style::new().fg(SIXTEEN[step(SIXTEEN.len())]),
            Colors::Many => Style::new().fg(Color::Indexed(MANY[step(MANY.len())])),
        };
        (letters[step(letters.len())], style)
    }

    /// All intensities, for a legend.
    pub(super) fn scale(self) -> Vec<(&'static str, Style)> {
        let steps = match self.is_utf8 {
            true => SHADES.len(),
            false => LETTERS.len(),
        };
        (1..=steps)
            .map(|step| self.intensity(step as f64 / steps as f64))
            .collect()
    }

    /// Titles of columns, and bars.
    pub(super) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The row that the cursor is on.
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// Something to look at first.
    pub(super) fn important(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Something that is wrong.
    pub(super) fn alarming(self) -> Style {
        match self.colors {
            Colors::None => self.important(),
            _ => self.important().fg(Color::Yellow),
        }
    }

    /// Something that matters less.
    pub(super) fn faint(self) -> Style {
        match self.colors {
            Colors::None => Style::new(),
            _ => Style::new().add_modifier(Modifier::DIM),
        }
    }

    /// A horizontal line.
    pub(super) fn line(self) -> &'static str {
        if self.is_utf8 { "─" } else { "-" }
    }

    /// Where addresses are left out.
    pub(super) fn gap(self) -> &'static str {
        if self.is_utf8 { "┆" } else { ":" }
    }

    /// The largest first, or the smallest.
    pub(super) fn arrow(self, is_descending: bool) -> &'static str {
        match (self.is_utf8, is_descending) {
            (true, true) => "▾",
            (true, false) => "▴",
            (false, true) => "v",
            (false, false) => "^",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(variables: &[(&str, &str)]) -> Look {
        let of = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Look::of(false, of)
    }

    #[test]
    fn the_environment_says_what_the_terminal_can_do() {
        let xterm = [("TERM", "xterm-256color"), ("LANG", "en_US.UTF-8")];
        let expected = Look {
            colors: Colors::Many,
            is_utf8: true,
        };
        assert_eq!(look(&xterm), expected);
        assert_eq!(
            look(&[("TERM", "linux"), ("LANG", "C.utf8"), ("LC_ALL", "C")]),
            Look {
                colors: Colors::Sixteen,
                is_utf8: false
            }
        );
        let no_color = [xterm[0], ("NO_COLOR", "1")];
        assert_eq!(look(&no_color).colors, Colors::None);
        // https://no-color.org: not when it is empty.
        assert_eq!(look(&[xterm[0], ("NO_COLOR", "")]).colors, Colors::Many);
        assert_eq!(Look::of(true, |_| None).colors, Colors::None);
    }

    #[test]
    fn more_is_never_shown_as_less() {
        for is_utf8 in [true, false] {
            let look = Look {
                colors: Colors::None,
                is_utf8,
            };
            let all: Vec<&str> = (1..=100)
                .map(|n| look.intensity(f64::from(n) / 100.0).0)
                .collect();
            let mut distinct = all.clone();
            distinct.dedup();
            let scale: Vec<&str> = look.scale().into_iter().map(|(letter, _)| letter).collect();
            assert_eq!(distinct, scale);
        }
    }
}
