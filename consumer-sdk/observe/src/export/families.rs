//! The metrics: their names, units and meanings.

use super::counts::Count;
use super::follow::Gauges;
use super::myself::Myself;
use super::watch::Snapshot;
use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

/// A metric as it is described.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// Without what begins it, unit and `_total`.
    pub(crate) name: Cow<'static, str>,
    pub(crate) measure: Measure,
    /// It only grows, and its name ends with `_total`.
    pub(crate) counts: bool,
    pub(crate) help: Cow<'static, str>,
}

/// A unit, which is the end of a metric's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Numbers of things: none.
    Plain,
    Bytes,
    /// From nanoseconds.
    Seconds,
}

/// A metric that counts: one for each process, and one of all.
#[derive(Debug)]
pub(crate) struct CounterFamily {
    pub(crate) head: Head,
    /// The label that tells its numbers apart.
    pub(crate) label: &'static str,
    /// Its numbers, each with the value of that label; a single one has no label.
    pub(crate) numbers: &'static [(&'static str, Count)],
}

/// A metric of one process that goes up and down.
#[derive(Debug)]
pub(crate) struct GaugeFamily {
    pub(crate) head: Head,
    pub(crate) value: fn(&Gauges) -> u64,
    /// It can be added up over processes.
    pub(crate) adds_up: bool,
}

/// A metric of all processes together.
#[derive(Debug)]
pub(crate) struct TotalFamily {
    pub(crate) head: Head,
    pub(crate) value: fn(&Snapshot) -> u64,
}

/// A metric of the exporter itself.
#[derive(Debug)]
pub(crate) struct MyFamily {
    pub(crate) head: Head,
    pub(crate) value: fn(&Snapshot, &Myself) -> u64,
    /// It has the exporter's version as a label.
    pub(crate) has_version: bool,
}

impl Head {
    const fn counter(name: &'static str, measure: Measure, help: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            measure,
            counts: true,
            help: Cow::Borrowed(help),
        }
    }

    const fn gauge(name: &'static str, measure: Measure, help: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            measure,
            counts: false,
            help: Cow::Borrowed(help),
        }
    }

    /// The same of all processes since the exporter started.
    pub(crate) fn of_all(&self) -> Self {
        let help = format!(
            "{}; all processes, those that have ended included",
            self.help
        );
        Self {
            name: format!("all_{}", self.name).into(),
            help: help.into(),
            ..self.clone()
        }
    }
}

/// Events by class of mapping, from the ring: they have two labels.
pub(crate) const CLASS_EVENTS: Head = Head::counter(
    "class_events",
    Measure::Plain,
    "Events by what was mapped at the page, from the records that this exporter has read",
);

/// Size of mappings by class.
pub(crate) const MAPPED: Head = Head::gauge(
    "mapped",
    Measure::Bytes,
    "Size of what is mapped, by class, whether touched or not",
);

/// Facts about a process.
pub(crate) const INFO: Head = Head::gauge(
    "process_info",
    Measure::Plain,
    "Always 1: the accesses that are watched, the user, and the process that forked it",
);

/// All that count, but for [`CLASS_EVENTS`].
pub(crate) const COUNTERS: &[CounterFamily] = &[
    CounterFamily {
        head: Head::counter(
            "events",
            Measure::Plain,
            "Pages of 4 KiB found touched in an epoch, each once for each epoch and kind",
        ),
        label: "kind",
        numbers: &[
            ("write", Count::Written),
            ("read", Count::Read),
            ("kernel", Count::Kernel),
        ],
    },
    CounterFamily {
        head: Head::counter(
            "kernel_written",
            Measure::Bytes,
            "What the kernel wrote for the process in system calls",
        ),
        label: "",
        numbers: &[("", Count::KernelBytes)],
    },
    CounterFamily {
        head: Head::counter(
            "epochs",
            Measure::Plain,
            "Epochs that have ended, as far as this exporter has seen them",
        ),
        label: "",
        numbers: &[("", Count::Epochs)],
    },
    CounterFamily {
        head: Head::counter(
            "epoch_touched",
            Measure::Bytes,
            "Sum of the working sets of these epochs: divided by their number, the mean working set",
        ),
        label: "",
        numbers: &[("", Count::EpochBytes)],
    },
    CounterFamily {
        head: Head::counter(
            "tracking",
            Measure::Seconds,
            "Time of the process that tracking took in these epochs, by estimate",
        ),
        label: "",
        numbers: &[("", Count::Tracking)],
    },
    CounterFamily {
        head: Head::counter(
            "records_lost",
            Measure::Plain,
            "Records overwritten before this exporter came to them: missing by class, not in vmmload_events_total",
        ),
        label: "",
        numbers: &[("", Count::Lost)],
    },
    CounterFamily {
        head: Head::counter(
            "records_dropped",
            Measure::Plain,
            "What the process's segment had no memory for: records in the ring, events in the heat table",
        ),
        label: "from",
        numbers: &[("ring", Count::RingDropped), ("heat", Count::HeatDropped)],
    },
    CounterFamily {
        head: Head::counter(
            "vm_exits",
            Measure::Plain,
            "Returns from the virtual machine to vmmload",
        ),
        label: "reason",
        numbers: &[
            ("page-fault", Count::FaultExits),
            ("ring-full", Count::RingExits),
            ("other", Count::OtherExits),
        ],
    },
    CounterFamily {
        head: Head::counter(
            "syscalls",
            Measure::Plain,
            "System calls, by whether the virtual machine was left for them or they went through a page of memory",
        ),
        label: "way",
        numbers: &[("exit", Count::ExitCalls), ("page", Count::PageCalls)],
    },
    CounterFamily {
        head: Head::counter(
            "unknown_syscalls",
            Measure::Plain,
            "System calls of which it is not known what the kernel wrote: their writes are not counted",
        ),
        label: "",
        numbers: &[("", Count::UnknownCalls)],
    },
    CounterFamily {
        head: Head::counter(
            "signals",
            Measure::Plain,
            "Signals that the process handled",
        ),
        label: "",
        numbers: &[("", Count::Signals)],
    },
    CounterFamily {
        head: Head::counter(
            "threads_started",
            Measure::Plain,
            "Threads started, the first one included",
        ),
        label: "",
        numbers: &[("", Count::Threads)],
    },
    CounterFamily {
        head: Head::counter("marks", Measure::Plain, "Marks that the program made"),
        label: "",
        numbers: &[("", Count::Marks)],
    },
];

/// All that go up and down, but for [`MAPPED`].
pub(crate) const GAUGES: &[GaugeFamily] = &[
    GaugeFamily {
        head: Head::gauge(
            "working_set",
            Measure::Bytes,
            "Pages touched in the last epoch that has ended",
        ),
        value: |gauges| gauges.working_set,
        adds_up: true,
    },
    GaugeFamily {
        head: Head::gauge(
            "working_set_peak",
            Measure::Bytes,
            "Pages touched in the epoch with the most, of those that this exporter has seen",
        ),
        value: |gauges| gauges.working_set_peak,
        adds_up: false,
    },
    GaugeFamily {
        head: Head::gauge(
            "left_alone",
            Measure::Bytes,
            "Hot pages that were not watched for stores in the last epoch that has ended",
        ),
        value: |gauges| gauges.left_alone,
        adds_up: true,
    },
    GaugeFamily {
        head: Head::gauge(
            "touched",
            Measure::Bytes,
            "Pages touched since the program started, each once",
        ),
        value: |gauges| gauges.touched,
        adds_up: true,
    },
    GaugeFamily {
        head: Head::gauge(
            "epoch",
            Measure::Seconds,
            "Length of the last epoch that has ended: more than the interval where tracking would cost too much",
        ),
        value: |gauges| gauges.epoch,
        adds_up: false,
    },
    GaugeFamily {
        head: Head::gauge(
            "epoch_interval",
            Measure::Seconds,
            "Length of an epoch that was asked for; 0: as short as can be",
        ),
        value: |gauges| gauges.interval,
        adds_up: false,
    },
    GaugeFamily {
        head: Head::gauge(
            "process_start_time",
            Measure::Seconds,
            "When the program started, since 1970",
        ),
        value: |gauges| nanoseconds(gauges.started),
        adds_up: false,
    },
];

/// All of all processes together, but for what counts.
pub(crate) const TOTALS: &[TotalFamily] = &[
    TotalFamily {
        head: Head::gauge("processes", Measure::Plain, "Processes in vmmload that run"),
        value: |now| now.live as u64,
    },
    TotalFamily {
        head: Head::gauge(
            "processes_own",
            Measure::Plain,
            "Those of them that have series of their own; the others are added up as pid other",
        ),
        value: |now| now.live_own as u64,
    },
    TotalFamily {
        head: Head::gauge(
            "processes_own_limit",
            Measure::Plain,
            "Most that can have them",
        ),
        value: |now| now.most as u64,
    },
    TotalFamily {
        head: Head::counter(
            "processes_seen",
            Measure::Plain,
            "Processes since the exporter started, each program that one executes for itself",
        ),
        value: |now| now.seen,
    },
    TotalFamily {
        head: Head::counter(
            "processes_ended",
            Measure::Plain,
            "Those of them that have ended, or executed another program",
        ),
        value: |now| now.ended,
    },
    TotalFamily {
        head: Head::counter(
            "processes_missed",
            Measure::Plain,
            "Processes that came and went between two looks: nothing of them is counted anywhere else",
        ),
        value: |now| now.missed,
    },
];

/// All of the exporter itself.
pub(crate) const MYSELF: &[MyFamily] = &[
    MyFamily {
        head: Head::gauge(
            "exporter_last_look_timestamp",
            Measure::Seconds,
            "When the exporter last looked at the processes, since 1970",
        ),
        value: |now, _| nanoseconds(now.looked.duration_since(UNIX_EPOCH).unwrap_or_default()),
        has_version: false,
    },
    MyFamily {
        head: Head::counter(
            "exporter_cpu",
            Measure::Seconds,
            "Processor time that the exporter itself has taken",
        ),
        value: |_, myself| myself.cpu_ns,
        has_version: false,
    },
    MyFamily {
        head: Head::counter(
            "exporter_scrapes",
            Measure::Plain,
            "How often the metrics were asked for",
        ),
        value: |_, myself| myself.scrapes,
        has_version: false,
    },
    MyFamily {
        head: Head::gauge(
            "exporter_build_info",
            Measure::Plain,
            "Always 1: the version of the exporter",
        ),
        value: |_, _| 1,
        has_version: true,
    },
];

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}
