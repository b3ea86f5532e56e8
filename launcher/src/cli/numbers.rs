//! Numbers for people: digits in groups of three, sizes in units.

use std::time::Duration;
use vmmload_consumer::PAGE_SIZE;

/// With a comma between groups of three digits.
pub(super) fn grouped(number: u64) -> String {
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

/// Bytes, in the largest unit of which there is at least one; with one decimal from MiB on.
pub(super) fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const UNITS: [(&str, u64); 4] = [
        ("TiB", KIB * KIB * KIB * KIB),
        ("GiB", KIB * KIB * KIB),
        ("MiB", KIB * KIB),
        ("KiB", KIB),
    ];
    match UNITS.into_iter().find(|&(_, unit)| bytes >= unit) {
        None if bytes == 0 => "0".into(),
        None => counted(bytes, "byte"),
        Some((name, KIB)) => format!("{} {name}", bytes / KIB),
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
    }
}

/// Pages of 4 KiB, as a number and as a size: `11,890 (46.4 MiB)`.
pub(super) fn pages(number: u64) -> String {
    let bytes = number.saturating_mul(PAGE_SIZE as u64);
    format!("{} ({})", grouped(number), size(bytes))
}

/// A number with what it counts: `1 epoch`, `2,000 epochs`.
pub(super) fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// A time with three digits or four: `3.21 ms`, `1.500 s`.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match time.as_nanos() {
        0..1_000 => format!("{} ns", time.as_nanos()),
        1_000..1_000_000 => format!("{:.1} us", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{seconds:.3} s"),
    }
}

/// `part` of `whole` in per cent, with one decimal; of nothing, 0.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let share = match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64,
    };
    format!("{:.1} %", share * 100.0)
}

/// The one in the middle of sorted values, the lower one of two; `None` of none.
pub(super) fn median<T: Copy>(sorted: &[T]) -> Option<T> {
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_in_groups_of_three() {
        let expected = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (123_456, "123,456"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ];
        for (number, text) in expected {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn sizes_are_in_the_largest_unit_that_fits() {
        let expected = [
            (0, "0"),
            (1, "1 byte"),
            (1023, "1,023 bytes"),
            (4096, "4 KiB"),
            (1 << 20, "1.0 MiB"),
            (11_890 << 12, "46.4 MiB"),
            (3 << 30, "3.0 GiB"),
            (5 << 40, "5.0 TiB"),
        ];
        for (bytes, text) in expected {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(pages(11_890), "11,890 (46.4 MiB)");
    }

    #[test]
    fn shares_counts_and_middles() {
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(0, 0), "0.0 %");
        assert_eq!(counted(1, "epoch"), "1 epoch");
        assert_eq!(counted(2000, "epoch"), "2,000 epochs");
        assert_eq!(median(&[1, 2, 3, 4]), Some(2));
        assert_eq!(median::<u32>(&[]), None);
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        let expected = [
            (12, "12 ns"),
            (1_500, "1.5 us"),
            (2_345_678, "2.3 ms"),
            (1_500_000_000, "1.500 s"),
        ];
        for (nanoseconds, text) in expected {
            assert_eq!(time(Duration::from_nanos(nanoseconds)), text);
        }
    }
}
