//! How things stand, as text: in the format of OpenMetrics, and in Prometheus' older one.

use super::counts::{CLASSES, Counts};
use super::families::{
    CLASS_EVENTS, COUNTERS, CounterFamily, GAUGES, INFO, MAPPED, MYSELF, TOTALS,
};
use super::follow::Gauges;
use super::metric::{Metric, metric};
use super::myself::Myself;
use super::watch::{Row, Snapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use vmmload_consumer::Kind;

/// The content type of [`openmetrics`].
pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of [`classic`].
pub(crate) const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics, in the format of OpenMetrics.
pub(crate) fn openmetrics(snapshot: &Arc<Snapshot>, myself: Myself) -> String {
    let mut registry = Registry::default();
    let snapshot = Arc::clone(snapshot);
    registry.register_collector(Box::new(Scrape { snapshot, myself }));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a string takes any text");
    text
}

/// The same in the format that was there before, version 0.0.4, for those who do not ask for OpenMetrics: browsers, curl,
/// promtool. A counter's name has its `_total` everywhere there, there are no units, and no end is marked.
pub(crate) fn classic(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines() {
        if line.starts_with("# HELP ") {
            // Only the next line says whether it is a counter.
            help = line;
        } else if line.starts_with("# TYPE ") {
            let suffix = if line.ends_with(" counter") {
                "_total"
            } else {
                ""
            };
            for described in [help, line] {
                let mut words = described.splitn(4, ' ');
                let mut word = || words.next().unwrap_or_default();
                let (hash, what, name, rest) = (word(), word(), word(), word());
                text.push_str(&format!("{hash} {what} {name}{suffix} {rest}\n"));
            }
        } else if !line.starts_with("# ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// One state of things, to be encoded.
#[derive(Debug)]
struct Scrape {
    snapshot: Arc<Snapshot>,
    myself: Myself,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let out = &mut encoder;
        self.encode_counters(out)?;
        self.encode_gauges(out)?;
        self.encode_all(out)?;
        for family in TOTALS {
            let value = (family.value)(&self.snapshot);
            metric(out, &family.head, |metric| metric.put(&[], value))?;
        }
        for family in MYSELF {
            let value = (family.value)(&self.snapshot, &self.myself);
            let version = [("version", env!("CARGO_PKG_VERSION"))];
            let labels = if family.has_version {
                &version[..]
            } else {
                &[]
            };
            metric(out, &family.head, |metric| metric.put(labels, value))?;
        }
        Ok(())
    }
}

impl Scrape {
    /// The processes with series of their own, and the others.
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.snapshot.own.iter().chain([&self.snapshot.other])
    }

    /// Those that live, and the others.
    fn living(&self) -> impl Iterator<Item = (&Row, &Gauges)> {
        self.rows()
            .filter_map(|row| Some((row, row.gauges.as_ref()?)))
    }

    fn is_other(&self, row: &Row) -> bool {
        Arc::ptr_eq(&row.labels, &self.snapshot.other.labels)
    }

    fn encode_counters(&self, out: &mut DescriptorEncoder) -> fmt::Result {
        for family in COUNTERS {
            metric(out, &family.head, |metric| {
                let mut rows = self.rows();
                rows.try_for_each(|row| {
                    put_counts(metric, family, &row.labels.pairs(), &row.counts)
                })
            })?;
        }
        metric(out, &CLASS_EVENTS, |metric| {
            let mut rows = self.rows();
            rows.try_for_each(|row| put_classes(metric, &row.labels.pairs(), &row.counts))
        })
    }

    fn encode_gauges(&self, out: &mut DescriptorEncoder) -> fmt::Result {
        for family in GAUGES {
            // The others have only what can be added up.
            let has = |row: &Row| family.adds_up || !self.is_other(row);
            metric(out, &family.head, |metric| {
                let mut rows = self.living().filter(|&(row, _)| has(row));
                rows.try_for_each(|(row, gauges)| {
                    metric.put(&row.labels.pairs(), (family.value)(gauges))
                })
            })?;
        }
        metric(out, &MAPPED, |metric| {
            let mut rows = self.living();
            rows.try_for_each(|(row, gauges)| put_mapped(metric, row, gauges))
        })?;
        metric(out, &INFO, |metric| {
            let mut rows = self.living().filter(|&(row, _)| !self.is_other(row));
            rows.try_for_each(|(row, gauges)| put_info(metric, row, gauges))
        })
    }

    /// Of all processes, those that have ended included.
    fn encode_all(&self, out: &mut DescriptorEncoder) -> fmt::Result {
        let all = &self.snapshot.all;
        for family in COUNTERS {
            let put = |metric: &mut Metric<'_>| put_counts(metric, family, &[], all);
            metric(out, &family.head.of_all(), put)?;
        }
        metric(out, &CLASS_EVENTS.of_all(), |metric| {
            put_classes(metric, &[], all)
        })
    }
}

fn put_counts(
    metric: &mut Metric<'_>,
    family: &CounterFamily,
    labels: &[(&str, &str)],
    counts: &Counts,
) -> fmt::Result {
    for &(value, count) in family.numbers {
        match family.label {
            "" => metric.put(labels, counts.get(count))?,
            label => metric.put(&with(labels, &[(label, value)]), counts.get(count))?,
        }
    }
    Ok(())
}

/// The classes that the process has, or had: most have no devices, for example.
fn put_classes(metric: &mut Metric<'_>, labels: &[(&str, &str)], counts: &Counts) -> fmt::Result {
    let classes = CLASSES.iter().enumerate();
    for (class, name) in classes.filter(|&(class, _)| counts.has_class(class)) {
        for kind in Kind::ALL {
            let labels = with(labels, &[("class", name), ("kind", kind.name())]);
            metric.put(&labels, counts.classes[class][kind as usize])?;
        }
    }
    Ok(())
}

fn put_mapped(metric: &mut Metric<'_>, row: &Row, gauges: &Gauges) -> fmt::Result {
    let classes = CLASSES.iter().enumerate();
    for (class, name) in classes.filter(|&(class, _)| row.counts.has_class(class)) {
        let labels = with(&row.labels.pairs(), &[("class", name)]);
        metric.put(&labels, gauges.mapped[class])?;
    }
    Ok(())
}

fn put_info(metric: &mut Metric<'_>, row: &Row, gauges: &Gauges) -> fmt::Result {
    let uid = gauges.uid.to_string();
    let parent = gauges.parent.map(|parent| parent.pid.to_string());
    let facts = [
        ("track", gauges.track),
        ("uid", &uid),
        ("parent", parent.as_deref().unwrap_or("none")),
    ];
    metric.put(&with(&row.labels.pairs(), &facts), 1)
}

fn with<'a>(labels: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [labels, more].concat()
}
