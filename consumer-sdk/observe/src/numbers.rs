//! How numbers look to people: as the launcher's summary has them.

use std::time::Duration;

/// Digits in groups of three: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// At most five characters, for narrow columns: `9999`, `12.3k`, `4.5M`.
pub(crate) fn short(number: f64) -> String {
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    let mut value = number;
    let mut unit = 0;
    while value >= 9999.5 && unit + 1 < UNITS.len() || unit > 0 && value >= 999.5 {
        if unit + 1 == UNITS.len() {
            break;
        }
        value /= 1000.0;
        unit += 1;
    }
    let decimals =
        usize::from(unit > 0 && value < 99.95 || unit == 0 && value < 9.95 && value.fract() != 0.0);
    format!("{value:.decimals$}{}", UNITS[unit])
}

/// Bytes with a binary unit: `8 bytes`, `11 KiB`, `2.1 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} bytes");
    }
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(value < 99.95 && value.fract() != 0.0 && unit > 0);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// Per cent with one decimal: `12.3 %`; nothing of nothing is 0.
pub(crate) fn percent(part: f64, whole: f64) -> String {
    match whole > 0.0 {
        true => format!("{:.1} %", part / whole * 100.0),
        false => "0.0 %".into(),
    }
}

/// A length of time in seconds, milliseconds or microseconds.
pub(crate) fn time(length: Duration) -> String {
    let ns = length.as_nanos();
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.3} s", ns as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_their_columns() {
        for (number, text) in [
            (0.0, "0"),
            (9.5, "9.5"),
            (123.4, "123"),
            (9_999.0, "9999"),
            (12_345.0, "12.3k"),
            (123_456.0, "123k"),
            (999_600.0, "1.0M"),
            (4_500_000.0, "4.5M"),
        ] {
            assert_eq!(short(number), text, "{number}");
        }
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(bytes(8), "8 bytes");
        assert_eq!(bytes(11 << 10), "11 KiB");
        assert_eq!(bytes(2_200_000), "2.1 MiB");
        assert_eq!(percent(1.0, 0.0), "0.0 %");
        assert_eq!(time(Duration::from_micros(1_500)), "1.5 ms");
    }
}
