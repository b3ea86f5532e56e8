//! What pages and pictures have in common: colours that colour-blind people tell apart and printers keep, units of
//! time, and names made fit to be shown.

/// A colour: red, green, blue.
pub(crate) type Rgb = (u8, u8, u8);

// The palette of Okabe and Ito.
const BLACK: Rgb = (0x33, 0x33, 0x33);
const ORANGE: Rgb = (0xe6, 0x9f, 0x00);
const SKY_BLUE: Rgb = (0x56, 0xb4, 0xe9);
const BLUISH_GREEN: Rgb = (0x00, 0x9e, 0x73);
const BLUE: Rgb = (0x00, 0x72, 0xb2);
const VERMILLION: Rgb = (0xd5, 0x5e, 0x00);
const REDDISH_PURPLE: Rgb = (0xcc, 0x79, 0xa7);
const GREY: Rgb = (0xb8, 0xb8, 0xb8);

pub(crate) const TOUCHED: Rgb = BLACK;
pub(crate) const WRITTEN: Rgb = VERMILLION;
pub(crate) const READ: Rgb = BLUE;
pub(crate) const KERNEL: Rgb = BLUISH_GREEN;
pub(crate) const BOTH: Rgb = REDDISH_PURPLE;
pub(crate) const UNTOUCHED: Rgb = GREY;
pub(crate) const LOST: Rgb = ORANGE;
pub(crate) const MARK: Rgb = VERMILLION;
/// Hot, warm, cool, cold.
pub(crate) const TEMPERATURES: [Rgb; 4] = [VERMILLION, ORANGE, SKY_BLUE, GREY];
/// Bars that stand for themselves.
pub(crate) const PLAIN: Rgb = BLUE;
/// Where the heat map has no event.
pub(crate) const EMPTY: Rgb = (0xf1, 0xf1, 0xee);

/// From rarely to in each epoch: viridis without its lightest tenth, which does not show on white, darkest last.
const HEAT: [Rgb; 10] = [
    (0xbd, 0xdf, 0x26),
    (0x7a, 0xd1, 0x51),
    (0x44, 0xbf, 0x70),
    (0x22, 0xa8, 0x84),
    (0x21, 0x91, 0x8c),
    (0x2a, 0x78, 0x8e),
    (0x35, 0x5f, 0x8d),
    (0x41, 0x44, 0x87),
    (0x48, 0x24, 0x75),
    (0x44, 0x01, 0x54),
];

/// Shares whose colours are shown in the legend of a heat map.
pub(crate) const SHARES: [(f64, &str); 5] = [
    (0.01, "1 %"),
    (0.1, "10 %"),
    (0.25, "25 %"),
    (0.5, "50 %"),
    (1.0, "100 %"),
];

/// Where a share (0 to 1) is on the scale of colours, 0 to 100. Rare events shall be told apart as well, so the scale is
/// that of the share's root; whatever is not 0 is not shown as 0.
pub(crate) fn level(share: f64) -> u8 {
    match share > 0.0 {
        true => ((share.min(1.0).sqrt() * 100.0).round() as u8).max(1),
        false => 0,
    }
}

/// The colour of a level, 0 to 100.
pub(crate) fn heat(level: u8) -> Rgb {
    if level == 0 {
        return EMPTY;
    }
    let position = f64::from(level.min(100)) / 100.0 * (HEAT.len() - 1) as f64;
    let index = (position as usize).min(HEAT.len() - 2);
    let (from, to) = (HEAT[index], HEAT[index + 1]);
    let part = position - index as f64;
    let mixed = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
    (
        mixed(from.0, to.0),
        mixed(from.1, to.1),
        mixed(from.2, to.2),
    )
}

/// `#rrggbb`.
pub(crate) fn hex((red, green, blue): Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The unit that times of a chart are told in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeUnit {
    /// `seconds`.
    pub(crate) name: &'static str,
    /// `s`.
    pub(crate) symbol: &'static str,
    /// How many there are in a second.
    pub(crate) per_second: f64,
}

impl TimeUnit {
    /// The one for times up to this many seconds.
    pub(crate) fn of(seconds: f64) -> Self {
        let (name, symbol, per_second) = match seconds {
            ..0.5 => ("milliseconds", "ms", 1e3),
            ..600.0 => ("seconds", "s", 1.0),
            ..36_000.0 => ("minutes", "min", 1.0 / 60.0),
            _ => ("hours", "h", 1.0 / 3600.0),
        };
        Self {
            name,
            symbol,
            per_second,
        }
    }

    /// Seconds in this unit, with the digits that a chart can show.
    pub(crate) fn convert(self, seconds: f64) -> f64 {
        let value = seconds * self.per_second;
        (value * 1e4).round() / 1e4
    }

    /// The title of an axis of time.
    pub(crate) fn axis(self) -> String {
        format!("{} since the start", self.name)
    }
}

/// Text without what would make it be read otherwise than it is written: control characters, marks that turn the
/// direction of writing, and what XML does not allow, are shown as the replacement character.
pub(crate) fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => {
            char::REPLACEMENT_CHARACTER
        }
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' => {
            char::REPLACEMENT_CHARACTER
        }
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Clean text of at most `most` characters; of what is longer, the middle is left out: both ends of a path tell most.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let characters: Vec<char> = clean(text).chars().collect();
    if characters.len() <= most {
        return characters.into_iter().collect();
    }
    let kept = most.saturating_sub(1);
    let end = kept.div_ceil(2);
    let begin = kept - end;
    characters[..begin]
        .iter()
        .chain(&['…'])
        .chain(&characters[characters.len() - end..])
        .collect()
}

/// Text in which numbers stay with their units, where lines are broken.
pub(crate) fn unbroken(text: &str) -> String {
    const UNITS: [&str; 9] = ["%", "bytes", "KiB", "MiB", "GiB", "TiB", "ms", "s", "pages"];
    let mut words = text.split(' ');
    let mut result: String = words.next().unwrap_or_default().into();
    for word in words {
        let is_unit = UNITS.contains(&word.trim_end_matches([')', '.', ',', ';', ':']));
        let after_number = result.ends_with(|c: char| c.is_ascii_digit());
        result.push(if is_unit && after_number {
            '\u{a0}'
        } else {
            ' '
        });
        result.push_str(word);
    }
    result
}

/// Which labels have room, by index: the most important first, none nearer to another than both need.
/// Each has a centre, a size along the axis and an importance.
pub(crate) fn fitting(labels: &[(f64, f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|&a, &b| labels[b].2.total_cmp(&labels[a].2));
    let mut chosen: Vec<usize> = Vec::new();
    for index in order {
        let (centre, size, _) = labels[index];
        let free = chosen
            .iter()
            .all(|&other| (labels[other].0 - centre).abs() >= (labels[other].1 + size) / 2.0);
        if free {
            chosen.push(index);
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_events_have_a_colour_of_their_own_and_every_epoch_has_the_darkest() {
        assert_eq!(level(0.0), 0);
        assert_eq!(level(1e-9), 1);
        assert_eq!(level(0.25), 50);
        assert_eq!(level(7.0), 100);
        assert_eq!(heat(0), EMPTY);
        assert_eq!(heat(100), (0x44, 0x01, 0x54));
        let brightness = |level| {
            let (red, green, blue) = heat(level);
            0.3 * f64::from(red) + 0.59 * f64::from(green) + 0.11 * f64::from(blue)
        };
        let falling = (1..100).all(|level| brightness(level) >= brightness(level + 1) - 0.5);
        assert!(falling, "a print in grey would tell another order");
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("short", 10), "short");
        assert_eq!(
            shortened("/usr/lib/x86_64-linux-gnu/libc.so.6", 16),
            "/usr/li…ibc.so.6"
        );
        assert_eq!(shortened(&"x".repeat(4096), 40).chars().count(), 40);
        assert_eq!(shortened("äöüäöü", 3), "ä…ü");
    }

    #[test]
    fn names_cannot_turn_the_direction_or_ring_the_bell() {
        assert_eq!(
            clean("a\u{202e}b\u{7}c\u{1b}[2J"),
            "a\u{fffd}b\u{fffd}c\u{fffd}[2J"
        );
        assert_eq!(clean("x\u{2028}y\u{feff}"), "x\u{fffd}y\u{fffd}");
        assert_eq!(clean("Grüße/日本/ملف"), "Grüße/日本/ملف");
    }

    #[test]
    fn numbers_stay_with_their_units() {
        let text = "90 % of 4 KiB (21.5 MiB); 100 epochs";
        assert_eq!(
            unbroken(text),
            "90\u{a0}% of 4\u{a0}KiB (21.5\u{a0}MiB); 100 epochs"
        );
    }

    #[test]
    fn labels_keep_their_distance_and_important_ones_come_first() {
        let labels = [
            (10.0, 10.0, 1.0),
            (15.0, 10.0, 9.0),
            (24.0, 10.0, 5.0),
            (25.0, 10.0, 2.0),
        ];
        assert_eq!(fitting(&labels), [1, 3]);
        assert_eq!(fitting(&[]), [] as [usize; 0]);
    }

    #[test]
    fn the_unit_of_time_follows_the_length() {
        assert_eq!(TimeUnit::of(0.005).symbol, "ms");
        assert_eq!(TimeUnit::of(0.005).convert(0.0012), 1.2);
        assert_eq!(TimeUnit::of(30.0).symbol, "s");
        assert_eq!(TimeUnit::of(600.0).convert(90.0), 1.5);
        assert_eq!(TimeUnit::of(1e6).symbol, "h");
    }
}
