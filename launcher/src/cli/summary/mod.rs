//! `--summary`: what the command did, once it has ended, in words.

mod epochs;
mod marks;
mod pages;
mod regions;
mod table;
#[cfg(test)]
mod tests;

use super::SummaryTarget;
use super::numbers::{counted, grouped, size};
use crate::host::residency::Residency;
use crate::tracking::census::Row;
use crate::tracking::marks::MarkTotals;
use epochs::Epochs;
use pages::Pages;
use regions::Regions;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use vmmload_consumer::{Consumer, Counter, Info, Kind, MappingClass, Track};

impl SummaryTarget {
    /// Opens what the summary will go to. Done before the command starts: the command may close or
    /// replace its standard error, and a file that cannot be written is worth knowing at once.
    ///
    /// # Errors
    /// What opening the file, or copying the descriptor, said.
    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        match self {
            SummaryTarget::Stderr => io::stderr().as_fd().try_clone_to_owned(),
            SummaryTarget::File(path) => Ok(File::create(path)?.into()),
        }
    }
}

/// What the segment does not have.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The command's time from start to end.
    pub(crate) elapsed: Duration,
    /// Names of the calls of which it is not known what the kernel wrote for them, and how many there were.
    pub(crate) unknown_calls: Vec<(String, u64)>,
    /// What of the command's memory is there at its end.
    pub(crate) resident: Residency,
    /// Totals by name of the mapping, most events first.
    pub(crate) rows: Vec<Row>,
    /// What the program has said.
    pub(crate) marks: MarkTotals,
}

impl Facts {
    /// What is there now of the memory of this process, whose segment `consumer` reads.
    pub(crate) fn residency(consumer: &Consumer) -> Residency {
        let mappings = consumer.mappings().unwrap_or_default();
        // Pages of the kernel's and of devices are not the program's to have.
        let is_memory = |class| !matches!(class, MappingClass::Kernel | MappingClass::Device);
        let mapped = mappings.entries.iter();
        Residency::of(
            mapped
                .filter(|mapping| is_memory(mapping.class))
                .map(|mapping| mapping.start..mapping.end),
        )
    }
}

/// Writes the summary of a segment to `out`.
///
/// # Errors
/// What writing said.
pub(crate) fn write_summary(
    consumer: &Consumer,
    facts: &Facts,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(Summary::of(consumer, facts).to_string().as_bytes())
}

/// Everything the report shows.
struct Summary<'a> {
    info: Info,
    facts: &'a Facts,
    epochs: Epochs,
    pages: Pages,
    regions: Regions,
    mappings_truncated: bool,
}

impl<'a> Summary<'a> {
    fn of(consumer: &Consumer, facts: &'a Facts) -> Self {
        let info = consumer.info();
        let mappings = consumer.mappings().unwrap_or_default();
        Self {
            epochs: Epochs::of(&consumer.epochs(), &info),
            pages: Pages::of(consumer.heat()),
            regions: Regions::of(&consumer.huge_pages()),
            mappings_truncated: mappings.truncated,
            info,
            facts,
        }
    }

    fn watches_reads(&self) -> bool {
        self.info.track == Some(Track::ReadWrite)
    }
}

/// One line: what it is about, then what there is to say.
fn line(out: &mut Formatter<'_>, label: &str, text: impl Display) -> fmt::Result {
    writeln!(out, "  {label:<12} {text}")
}

impl Display for Summary<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (pid, command) = (self.info.pid, self.info.command_line());
        writeln!(out, "vmmload: summary of process {pid}: {command}")?;
        let seconds = self.facts.elapsed.as_secs_f64();
        line(out, "time", format_args!("{seconds:.3} s"))?;
        if self.info.track == Some(Track::None) {
            line(out, "pages", "were not watched (--track none)")?;
            self.write_counters(out)?;
            marks::write(&self.facts.marks, out)?;
            return self.write_gaps(out);
        }
        self.epochs.write(out)?;
        self.pages.write(self.watches_reads(), out)?;
        self.write_residency(out)?;
        self.write_events(out)?;
        self.write_kernel(out)?;
        self.write_counters(out)?;
        self.write_unknown_calls(out)?;
        self.regions.write(out)?;
        table::write(&self.facts.rows, out)?;
        marks::write(&self.facts.marks, out)?;
        self.write_gaps(out)
    }
}

impl Summary<'_> {
    fn write_residency(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let untouched = match self.info.track {
            Some(Track::ReadWrite) => "never touched",
            _ => "never written",
        };
        self.pages
            .write_residency(&self.facts.resident, untouched, out)
    }

    fn write_events(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let [write, read, kernel] = Kind::ALL.map(|kind| self.info.total(kind));
        let ratio = match (self.watches_reads(), write) {
            (false, _) => "; loads were not watched (--track readwrite)".into(),
            (true, 0) => String::new(),
            (true, write) => format!(
                "; {:.2} read events to each write event",
                read as f64 / write as f64
            ),
        };
        let [write, read, kernel] = [write, read, kernel].map(grouped);
        let text = format!("{write} write, {read} read, {kernel} kernel{ratio}");
        line(out, "events", text)
    }

    fn write_kernel(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.info.counter(Counter::KernelBytes) {
            0 => Ok(()),
            bytes => {
                let text = format!("{} were written for it by system calls", size(bytes));
                line(out, "kernel", text)
            }
        }
    }

    fn write_counters(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let count = |counter| grouped(self.info.counter(counter));
        let relayed = count(Counter::SyscallsRelayed);
        let emulated = count(Counter::SyscallsEmulated);
        let calls = match count(Counter::CallsWithoutExit) {
            none if none == "0" => format!("{relayed} relayed, {emulated} emulated"),
            some => format!("{relayed} relayed, {emulated} emulated; {some} without an exit"),
        };
        line(out, "calls", calls)?;
        let exits = count(Counter::VmExits);
        let faults = count(Counter::PageFaultExits);
        let full = count(Counter::RingFullExits);
        let exits = format!("{exits} ({faults} page faults, {full} dirty ring full)");
        line(out, "exits", exits)?;
        let threads = count(Counter::ThreadsStarted);
        let vcpus = count(Counter::Vcpus);
        let signals = count(Counter::Signals);
        let threads = format!("{threads} started, on {vcpus} vCPUs; {signals} signals");
        line(out, "threads", threads)
    }

    fn write_unknown_calls(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let named = &self.facts.unknown_calls;
        let total: u64 = named.iter().map(|(_, calls)| calls).sum();
        let total = total.max(self.info.counter(Counter::UnknownCalls));
        if total == 0 {
            return Ok(());
        }
        let names: Vec<String> = named
            .iter()
            .map(|(name, calls)| format!("{name} ({})", grouped(*calls)))
            .collect();
        let colon = if names.is_empty() { "" } else { ": " };
        let calls = counted(total, "call");
        let names = names.join(", ");
        let text = format!("{calls} of which it is not known what the kernel wrote{colon}{names}");
        line(out, "unknown", text)
    }

    /// What the numbers above miss.
    fn write_gaps(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let info = &self.info;
        if info.heat_dropped > 0 {
            let events = grouped(info.heat_dropped);
            writeln!(
                out,
                "  {events} events are in no page's count: no room for their counters"
            )?;
        }
        if info.ring_dropped > 0 {
            let records = grouped(info.ring_dropped);
            writeln!(
                out,
                "  {records} records never reached the ring: no memory left in /dev/shm"
            )?;
        }
        if self.mappings_truncated {
            writeln!(
                out,
                "  there were more mappings than the table has room for"
            )?;
        }
        Ok(())
    }
}
