//! One metric of a scrape, and its numbers.

use super::families::{Head, Measure};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;

/// What begins the name of every metric.
const PREFIX: &str = "vmmload_";

/// A metric whose numbers are being written.
#[derive(Debug)]
pub(crate) struct Metric<'e> {
    encoder: MetricEncoder<'e>,
    is_seconds: bool,
    counts: bool,
}

/// Writes a metric: what it is, and what `put` gives it.
pub(crate) fn metric(
    out: &mut DescriptorEncoder,
    head: &Head,
    put: impl FnOnce(&mut Metric<'_>) -> fmt::Result,
) -> fmt::Result {
    let unit = match head.measure {
        Measure::Plain => None,
        Measure::Bytes => Some(&Unit::Bytes),
        Measure::Seconds => Some(&Unit::Seconds),
    };
    let kind = match head.counts {
        true => MetricType::Counter,
        false => MetricType::Gauge,
    };
    let name = format!("{PREFIX}{}", head.name);
    let encoder = out.encode_descriptor(&name, &head.help, unit, kind)?;
    put(&mut Metric {
        encoder,
        is_seconds: head.measure == Measure::Seconds,
        counts: head.counts,
    })
}

impl Metric<'_> {
    /// Writes one number, with its labels.
    pub(crate) fn put(&mut self, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        let mut series = self.encoder.encode_family(&labels)?;
        let seconds = value as f64 / 1e9;
        match (self.counts, self.is_seconds) {
            (true, false) => series.encode_counter::<NoLabelSet, _, f64>(&value, None),
            (true, true) => series.encode_counter::<NoLabelSet, _, f64>(&seconds, None),
            (false, false) => series.encode_gauge(&value),
            (false, true) => series.encode_gauge(&seconds),
        }
    }
}
