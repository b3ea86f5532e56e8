//! The summary's line on huge pages: how much of each touched 2 MiB was used.

use super::line;
use crate::cli::numbers::{counted, grouped, median};
use std::fmt::{self, Formatter};
use vmmload_consumer::HugePage;

/// Pages touched in each region, sorted.
pub(super) struct Regions(Vec<u32>);

impl Regions {
    pub(super) fn of(regions: &[HugePage]) -> Self {
        let mut touched: Vec<u32> = regions.iter().map(|region| region.touched).collect();
        touched.sort_unstable();
        Self(touched)
    }

    pub(super) fn write(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Some(middle) = median(&self.0) else {
            return Ok(());
        };
        let sum: u64 = self.0.iter().map(|&touched| u64::from(touched)).sum();
        let mean = sum as f64 / self.0.len() as f64;
        let count = |fits: fn(u32) -> bool| {
            grouped(self.0.iter().filter(|&&touched| fits(touched)).count() as u64)
        };
        let more_than_half = count(|touched| touched * 2 > HugePage::PAGES);
        let under_a_tenth = count(|touched| touched * 10 < HugePage::PAGES);
        let regions = counted(self.0.len() as u64, "region");
        let text = format!(
            "{regions} of 2 MiB touched, of whose 512 pages were used: median {middle}, mean \
             {mean:.1}; more than half of {more_than_half}, less than a tenth of {under_a_tenth}"
        );
        line(out, "huge pages", text)
    }
}
