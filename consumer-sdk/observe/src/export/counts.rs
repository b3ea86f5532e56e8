//! The numbers of a process that only grow.

use vmmload_consumer::{Counter, Info, Kind, MappingClass};

/// One number that only grows. Times are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Count {
    Written,
    Read,
    Kernel,
    KernelBytes,
    Lost,
    RingDropped,
    HeatDropped,
    Epochs,
    EpochBytes,
    Tracking,
    FaultExits,
    RingExits,
    OtherExits,
    ExitCalls,
    PageCalls,
    UnknownCalls,
    Signals,
    Threads,
    Marks,
}

/// How many there are.
pub(crate) const COUNTS: usize = Count::Marks as usize + 1;

/// Classes of mappings by name: those of [`MappingClass`] in the order of their numbers, and what is not known.
pub(crate) const CLASSES: [&str; 9] = [
    "anonymous",
    "file",
    "heap",
    "stack",
    "thread-stack",
    "shared",
    "device",
    "kernel",
    "unknown",
];

/// Where what is not known stands in [`CLASSES`].
pub(crate) const UNKNOWN: usize = CLASSES.len() - 1;

/// Where a class stands in [`CLASSES`]: those that this version does not know are unknown.
pub(crate) fn class_index(class: MappingClass) -> usize {
    let known = CLASSES.iter().position(|&name| name == class.name());
    known.unwrap_or(UNKNOWN)
}

/// Numbers that only grow: of one process, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    values: [u64; COUNTS],
    /// Events by class and kind, both in the order of their numbers.
    pub(crate) classes: [[u64; 3]; CLASSES.len()],
    /// The classes of mappings that there were, as bits by [`class_index`].
    pub(crate) present: u16,
}

impl Counts {
    /// One of the numbers.
    pub(crate) fn get(&self, count: Count) -> u64 {
        self.values[count as usize]
    }

    /// Makes one of the numbers larger.
    pub(crate) fn grow(&mut self, count: Count, by: u64) {
        let value = &mut self.values[count as usize];
        *value = value.saturating_add(by);
    }

    /// Adds all of another's.
    pub(crate) fn add(&mut self, more: &Self) {
        let pairs = self.values.iter_mut().zip(more.values);
        pairs.for_each(|(value, by)| *value = value.saturating_add(by));
        let mine = self.classes.as_flattened_mut().iter_mut();
        let pairs = mine.zip(more.classes.as_flattened());
        pairs.for_each(|(value, by)| *value = value.saturating_add(*by));
        self.present |= more.present;
    }

    /// Whether there ever was anything of a class.
    pub(crate) fn has_class(&self, class: usize) -> bool {
        self.present & 1 << class != 0 || self.classes[class] != [0; 3]
    }
}

/// What the header of a segment counts, as it was when it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct HeaderCounts([u64; COUNTS]);

impl HeaderCounts {
    /// Adds to `counts` what the header counts more than before. What is smaller than before, as a segment that somebody
    /// else has written may be, adds nothing.
    pub(crate) fn catch_up(&mut self, info: &Info, counts: &mut Counts) {
        for (count, now) in header_counts(info) {
            let before = &mut self.0[count as usize];
            counts.grow(count, now.saturating_sub(*before));
            *before = now.max(*before);
        }
    }
}

fn header_counts(info: &Info) -> [(Count, u64); 15] {
    let exits = info.counter(Counter::VmExits);
    let (faults, full) = (
        info.counter(Counter::PageFaultExits),
        info.counter(Counter::RingFullExits),
    );
    let relayed = info.counter(Counter::SyscallsRelayed);
    let calls = relayed.saturating_add(info.counter(Counter::SyscallsEmulated));
    let without = info.counter(Counter::CallsWithoutExit);
    [
        (Count::Written, info.total(Kind::Write)),
        (Count::Read, info.total(Kind::Read)),
        (Count::Kernel, info.total(Kind::Kernel)),
        (Count::KernelBytes, info.counter(Counter::KernelBytes)),
        (Count::RingDropped, info.ring_dropped),
        (Count::HeatDropped, info.heat_dropped),
        (Count::FaultExits, faults),
        (Count::RingExits, full),
        (
            Count::OtherExits,
            exits.saturating_sub(faults).saturating_sub(full),
        ),
        (Count::ExitCalls, calls.saturating_sub(without)),
        (Count::PageCalls, without),
        (Count::UnknownCalls, info.counter(Counter::UnknownCalls)),
        (Count::Signals, info.counter(Counter::Signals)),
        (Count::Threads, info.counter(Counter::ThreadsStarted)),
        (Count::Marks, info.marks),
    ]
}
