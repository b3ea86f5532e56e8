//! A number before and after.

use crate::numbers::{bytes, grouped, percent, short};

/// What a number is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Count,
    /// Pages of 4 KiB.
    Pages,
    /// In a second.
    Rate,
    /// 0 to 1.
    Share,
}

impl Unit {
    /// A number of this unit for people.
    pub(super) fn shown(self, number: f64) -> String {
        let whole = number.round() as u64;
        match self {
            Self::Seconds => format!("{number:.3} s"),
            Self::Count => grouped(whole),
            Self::Pages => format!("{} ({})", grouped(whole), bytes(whole.saturating_mul(4096))),
            Self::Rate => format!("{}/s", short(number)),
            Self::Share => percent(number, 1.0),
        }
    }
}

/// A number in both recordings; `None` where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantity {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) values: [Option<f64>; 2],
}

impl Quantity {
    /// Both values for people.
    pub(super) fn shown(&self) -> [String; 2] {
        let shown = |value: Option<f64>| value.map(|value| self.unit.shown(value));
        self.values
            .map(|value| shown(value).unwrap_or_else(|| "-".into()))
    }

    /// By how much it changed, for people.
    pub(super) fn change(&self) -> String {
        change(self.values, self.unit)
    }
}

/// By how much a number changed: per cent of what it was, or the factor where that is more than tenfold; for shares the
/// difference in points.
pub(super) fn change(values: [Option<f64>; 2], unit: Unit) -> String {
    match values {
        [None, None] => String::new(),
        [None, Some(_)] => "new".into(),
        [Some(_), None] => "gone".into(),
        [Some(before), Some(after)] if before == after => "=".into(),
        [Some(before), Some(after)] if unit == Unit::Share => {
            format!("{:+.1} points", (after - before) * 100.0)
        }
        [Some(before), Some(_)] if before <= 0.0 => "from none".into(),
        [Some(_), Some(after)] if after <= 0.0 => "to none".into(),
        [Some(before), Some(after)] if after / before >= 10.0 => {
            format!("x {}", short(after / before))
        }
        [Some(before), Some(after)] => format!("{:+.1} %", (after / before - 1.0) * 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_with_their_direction() {
        for (before, after, unit, text) in [
            (Some(100.0), Some(112.3), Unit::Count, "+12.3 %"),
            (Some(100.0), Some(50.0), Unit::Rate, "-50.0 %"),
            (Some(1.0), Some(25.0), Unit::Rate, "x 25"),
            (Some(0.5), Some(0.25), Unit::Share, "-25.0 points"),
            (Some(5.0), Some(5.0), Unit::Pages, "="),
            (Some(0.0), Some(5.0), Unit::Pages, "from none"),
            (Some(5.0), Some(0.0), Unit::Pages, "to none"),
            (None, Some(5.0), Unit::Pages, "new"),
            (Some(5.0), None, Unit::Pages, "gone"),
        ] {
            assert_eq!(change([before, after], unit), text);
        }
    }
}
