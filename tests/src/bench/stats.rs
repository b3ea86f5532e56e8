//! Medians, and the spread that is printed beside them.

use serde::Serialize;

/// The middle of a set of samples and its two ends.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` for no samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: median(&sorted)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
        })
    }
}

/// The middle of sorted samples, the mean of the two middle ones for an even count.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 {
        upper
    } else {
        (sorted[middle - 1] + upper) / 2.0
    })
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn takes_the_middle_whatever_the_order() {
        let spread = Spread::of(&[9.0, 1.0, 4.0]).expect("three samples");
        assert_eq!((spread.median, spread.min, spread.max), (4.0, 1.0, 9.0));
    }

    #[test]
    fn takes_the_mean_of_two_middles() {
        assert_eq!(
            Spread::of(&[1.0, 2.0, 4.0, 8.0])
                .expect("four samples")
                .median,
            3.0
        );
    }

    #[test]
    fn has_no_median_of_nothing() {
        assert!(Spread::of(&[]).is_none());
    }
}
