//! `vmmload dump`: a segment's mappings, records, epochs and marks, or the use of its 2 MiB regions, one a line.

mod lines;
mod marks;
mod regions;
#[cfg(test)]
mod tests;

use super::{Format, ReportError};
use lines::Lines;
use marks::Marks;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;
use vmmload_consumer::{Consumer, Epoch, Item, Mapping, Mappings, Status, list};

/// Options of `dump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DumpConfig {
    /// `None`: the only live process there is.
    pub(crate) pid: Option<u32>,
    /// Go on until the process ends.
    pub(crate) follow: bool,
    /// The use of regions of 2 MiB instead of records.
    pub(crate) regions: bool,
    pub(crate) format: Format,
}

/// Prints the segment that the options name.
pub(super) fn run(config: &DumpConfig, output: &mut impl Write) -> Result<(), ReportError> {
    let pid = config.pid.map_or_else(only_process, Ok)?;
    let consumer = Consumer::attach(pid)?;
    if config.regions {
        return Ok(regions::print(&consumer, config.format, output)?);
    }
    let mut dump = Dump::new(consumer, config.format, output);
    dump.heading()?;
    match config.follow {
        true => dump.follow(),
        false => dump.once(),
    }
}

fn only_process() -> Result<u32, ReportError> {
    match list().as_slice() {
        [] => Err(ReportError::NoSegment),
        [only] => Ok(only.pid),
        several => {
            let mut listing = String::new();
            for info in several {
                let _ = write!(listing, "\n  {}  {}", info.pid, info.command_line());
            }
            Err(ReportError::Ambiguous { listing })
        }
    }
}

/// One dump in progress.
struct Dump<'a, W> {
    consumer: Consumer,
    lines: Lines<'a, W>,
    /// As printed so far; `None` before the first time.
    mappings: Option<Mappings>,
    /// Finished epochs that are not printed yet.
    epochs: VecDeque<Epoch>,
    marks: Marks,
    /// The epoch of the last record printed.
    epoch: u32,
}

impl<'a, W: Write> Dump<'a, W> {
    fn new(consumer: Consumer, format: Format, output: &'a mut W) -> Self {
        let info = consumer.info();
        Self {
            lines: Lines {
                output,
                format,
                pid: info.pid,
                start_ns: info.start_ns,
                interval: info.interval,
            },
            consumer,
            mappings: None,
            epochs: VecDeque::new(),
            marks: Marks::default(),
            epoch: 0,
        }
    }

    fn heading(&mut self) -> io::Result<()> {
        self.lines.heading(&self.consumer.info())
    }

    /// The mappings, and the records and epochs that are in their rings now.
    fn once(&mut self) -> Result<(), ReportError> {
        self.print_mappings()?;
        self.drain()?;
        Ok(self.lines.output.flush()?)
    }

    /// Everything, until the process ends.
    fn follow(&mut self) -> Result<(), ReportError> {
        /// Short enough to look live, long enough to cost nothing.
        const PAUSE: Duration = Duration::from_millis(20);
        loop {
            // Asked first: what was published before the end is then printed before it.
            let status = self.consumer.status();
            self.print_mappings()?;
            self.drain()?;
            match status {
                Status::Running => {}
                Status::Ended(end) => self.lines.end(Some(end))?,
                Status::Died => self.lines.end(None)?,
                Status::Truncated => {
                    return Err(ReportError::Truncated {
                        path: self.consumer.path().into(),
                    });
                }
            }
            self.lines.output.flush()?;
            if status != Status::Running {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Prints what there is now, and not what comes meanwhile: a fast writer must not keep the mappings
    /// and the end from being seen. Each finished epoch comes behind its records and its marks, and before those of
    /// the next.
    fn drain(&mut self) -> io::Result<()> {
        // In this order: the records of an epoch that has ended are all below `end`.
        self.take_epochs();
        let finished = self.epochs.back().map(|epoch| epoch.number);
        let info = self.consumer.info();
        let end = info.published;
        while self.consumer.position() < end {
            let Some(item) = self.consumer.next() else {
                break;
            };
            self.print(item)?;
        }
        if let Some(last) = finished {
            self.print_epochs(|epoch| epoch <= last)?;
        }
        // Those of the running epoch: its records so far are above.
        let running = info.epoch.max(self.epoch);
        self.marks.print(&mut self.lines, running)
    }

    fn print(&mut self, item: Item) -> io::Result<()> {
        let event = match item {
            Item::Lost(records) => return self.lines.lost(records),
            Item::Event(event) => event,
        };
        if event.epoch != self.epoch {
            self.epoch = event.epoch;
            self.take_epochs();
            self.print_epochs(|epoch| epoch < event.epoch)?;
            self.marks
                .print(&mut self.lines, event.epoch.saturating_sub(1))?;
        }
        let mappings = self.mappings.as_ref();
        let mapping = mappings.and_then(|mappings| mappings.of(&event));
        self.lines.event(event, mapping)
    }

    fn take_epochs(&mut self) {
        while let Some(epoch) = self.consumer.next_epoch() {
            self.epochs.push_back(epoch);
        }
        // In this order: the marks of an epoch that has ended are there.
        self.marks.take(&mut self.consumer);
    }

    /// Prints the finished epochs of the numbers that are `due`.
    fn print_epochs(&mut self, due: impl Fn(u32) -> bool) -> io::Result<()> {
        while let Some(&epoch) = self.epochs.front().filter(|epoch| due(epoch.number)) {
            self.epochs.pop_front();
            self.marks.print(&mut self.lines, epoch.number)?;
            self.lines.epoch(epoch)?;
        }
        Ok(())
    }

    /// Prints the mappings that are new since the last time.
    fn print_mappings(&mut self) -> io::Result<()> {
        let known = self.mappings.as_ref();
        if known.is_some_and(|known| known.version == self.consumer.mappings_version()) {
            return Ok(());
        }
        // Changing too fast to be copied: the next round will have them.
        let Some(current) = self.consumer.mappings() else {
            return Ok(());
        };
        let known = self.mappings.take().unwrap_or_default();
        let is_new = |mapping: &&Mapping| {
            let at = known
                .entries
                .binary_search_by_key(&mapping.start, |old| old.start);
            !at.is_ok_and(|at| known.entries[at] == **mapping)
        };
        let is_gone = |mapping: &&Mapping| !known.retired.contains(mapping);
        let gone = current.retired.iter().filter(is_gone);
        for mapping in gone.chain(current.entries.iter().filter(is_new)) {
            self.lines.mapping(mapping)?;
        }
        self.mappings = Some(current);
        Ok(())
    }
}
