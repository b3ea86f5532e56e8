//! Numbers for people: digits in groups of three, times in units.

use std::time::Duration;

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
