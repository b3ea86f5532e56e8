//! `--summary`: what the command did, by mapping, once it has ended.

use super::SummaryTarget;
use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use vmmload_consumer::{Consumer, Counter, Heat, Info, Kind, Mappings, PAGE_SIZE};

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

/// Writes the summary of a segment to `out`. `elapsed` is the command's time from start to end; `unknown`
/// names the calls of which it is not known what the kernel wrote, and how often they were made.
///
/// # Errors
/// What writing said.
pub(crate) fn write_summary(
    consumer: &Consumer,
    elapsed: Duration,
    unknown: &[(String, u64)],
    out: &mut impl Write,
) -> io::Result<()> {
    let summary = Summary::of(consumer, elapsed, unknown);
    out.write_all(summary.to_string().as_bytes())
}

/// Everything the report shows.
struct Summary<'a> {
    info: Info,
    elapsed: Duration,
    unknown: &'a [(String, u64)],
    /// Hottest first.
    rows: Vec<Row>,
    mappings_truncated: bool,
}

/// All mappings of one name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    name: String,
    /// Distinct pages of any kind.
    pages: u64,
    /// Events of each kind, in the order of [`Kind::ALL`].
    events: [u64; 3],
}

impl<'a> Summary<'a> {
    fn of(consumer: &Consumer, elapsed: Duration, unknown: &'a [(String, u64)]) -> Self {
        let mappings = consumer.mappings().unwrap_or_default();
        let rows = rows(consumer.heat().collect(), &mappings);
        Self {
            info: consumer.info(),
            elapsed,
            unknown,
            rows,
            mappings_truncated: mappings.truncated,
        }
    }
}

/// Sums pages up by the name of the mapping they are in.
fn rows(mut cells: Vec<Heat>, mappings: &Mappings) -> Vec<Row> {
    // By address, so that the kinds of one page are neighbours.
    cells.sort_unstable_by_key(|cell| cell.addr);
    let mut by_name: HashMap<&str, Row> = HashMap::new();
    for page in cells.chunk_by(|a, b| a.addr == b.addr) {
        let name = match mappings.find(page[0].addr) {
            None => "(not mapped any more)",
            Some(mapping) if mapping.name.is_empty() => "(anonymous memory)",
            Some(mapping) => &mapping.name,
        };
        let row = by_name.entry(name).or_default();
        row.pages += 1;
        for cell in page {
            row.events[cell.kind as usize] += cell.count;
        }
    }
    let named = |(name, row): (&str, Row)| Row {
        name: name.to_owned(),
        ..row
    };
    let mut rows: Vec<Row> = by_name.into_iter().map(named).collect();
    rows.sort_by(|a, b| sum(b).cmp(&sum(a)).then_with(|| a.name.cmp(&b.name)));
    rows
}

fn sum(row: &Row) -> u64 {
    row.events.iter().sum()
}

impl Display for Summary<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let info = &self.info;
        writeln!(
            out,
            "vmmload: summary of process {}: {}",
            info.pid,
            info.command_line()
        )?;
        self.write_totals(out)?;
        self.write_counters(out)?;
        self.write_rows(out)?;
        self.write_gaps(out)
    }
}

impl Summary<'_> {
    fn write_totals(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let info = &self.info;
        let seconds = self.elapsed.as_secs_f64();
        let interval = humantime::format_duration(info.interval);
        writeln!(out, "  time     {seconds:.3} s, in epochs of {interval}")?;
        let kib = info.pages * (PAGE_SIZE as u64 / 1024);
        writeln!(out, "  pages    {} distinct ({kib} KiB)", info.pages)?;
        let [write, read, kernel] = Kind::ALL.map(|kind| info.total(kind));
        writeln!(
            out,
            "  events   {write} write, {read} read, {kernel} kernel"
        )
    }

    fn write_counters(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let count = |counter| self.info.counter(counter);
        let relayed = count(Counter::SyscallsRelayed);
        let emulated = count(Counter::SyscallsEmulated);
        writeln!(out, "  calls    {relayed} relayed, {emulated} emulated")?;
        let exits = count(Counter::VmExits);
        let faults = count(Counter::PageFaultExits);
        let full = count(Counter::RingFullExits);
        writeln!(
            out,
            "  exits    {exits} ({faults} page faults, {full} dirty ring full)"
        )?;
        let threads = count(Counter::ThreadsStarted);
        let vcpus = count(Counter::Vcpus);
        let signals = count(Counter::Signals);
        writeln!(
            out,
            "  threads  {threads} started, on {vcpus} vCPUs; {signals} signals"
        )?;
        match count(Counter::StretchedTicks) {
            0 => Ok(()),
            ticks => writeln!(
                out,
                "  epochs   went on over {ticks} ticks, so that tracking took a third of the time at most"
            ),
        }
    }

    fn write_rows(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\n  {:>10}  {:>12}  {:>12}  {:>12}  MAPPING",
            "PAGES", "WRITE", "READ", "KERNEL"
        )?;
        for Row {
            name,
            pages,
            events: [write, read, kernel],
        } in &self.rows
        {
            writeln!(
                out,
                "  {pages:>10}  {write:>12}  {read:>12}  {kernel:>12}  {name}"
            )?;
        }
        Ok(())
    }

    /// What the numbers above miss.
    fn write_gaps(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let info = &self.info;
        if info.heat_dropped > 0 {
            let events = info.heat_dropped;
            writeln!(
                out,
                "  {events} events are in no mapping's count: no room for their counters"
            )?;
        }
        if info.ring_dropped > 0 {
            let records = info.ring_dropped;
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
        self.write_unknown(out)
    }

    fn write_unknown(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let times = |(name, count): &(String, u64)| match count {
            1 => format!("{name} 1 time"),
            _ => format!("{name} {count} times"),
        };
        if !self.unknown.is_empty() {
            let calls: Vec<String> = self.unknown.iter().map(times).collect();
            let calls = calls.join(", ");
            writeln!(
                out,
                "  calls whose writes into memory are not known: {calls}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Process;
    use super::*;
    use vmmload_consumer::{MappingEntry, Method, PROT_READ, PROT_WRITE, Sighting};

    const PROT: u32 = PROT_READ | PROT_WRITE;

    fn busy_process() -> Process {
        let mut process = Process::start(b"prog\0arg\0");
        let writer = &mut process.writer;
        let entry = |start, name| MappingEntry {
            start,
            end: start + 0x4000,
            offset: 0,
            prot: PROT,
            name,
            ..MappingEntry::default()
        };
        writer.publish_mappings([entry(0x10000, "[heap]"), entry(0x20000, "")].into_iter());
        let events = [
            (0x10000, Kind::Write, 5),
            (0x10000, Kind::Kernel, 2),
            (0x11000, Kind::Write, 1),
            (0x20000, Kind::Write, 100),
            (0x9_0000, Kind::Write, 1),
        ];
        for (addr, kind, count) in events {
            let index = writer.region(addr, kind);
            writer.record(
                index,
                Sighting {
                    count,
                    ..Sighting::new(addr, kind, Method::DirtyRing)
                },
            );
        }
        writer.set_counter(Counter::SyscallsRelayed, 42);
        process
    }

    #[test]
    fn pages_and_events_are_summed_by_mapping_hottest_first() {
        let process = busy_process();
        let consumer = Consumer::attach(process.pid()).unwrap();
        let unknown = [("ioctl".into(), 3), ("bpf".into(), 1)];
        let summary = Summary::of(&consumer, Duration::from_millis(1500), &unknown);
        let row = |name: &str, pages, events| Row {
            name: name.into(),
            pages,
            events,
        };
        let expected = [
            row("(anonymous memory)", 1, [100, 0, 0]),
            row("[heap]", 2, [6, 0, 2]),
            row("(not mapped any more)", 1, [1, 0, 0]),
        ];
        assert_eq!(summary.rows, expected);
        let text = summary.to_string();
        for part in [
            "prog arg",
            "1.500 s",
            "4 distinct (16 KiB)",
            "107 write, 0 read, 2 kernel",
            "42 relayed",
            "not known: ioctl 3 times, bpf 1 time\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_file_gets_the_same_text() {
        let process = busy_process();
        let consumer = Consumer::attach(process.pid()).unwrap();
        let path = std::env::temp_dir().join(format!("vmmload-summary-{}", process.pid()));
        let target = SummaryTarget::File(path.clone());
        let mut out = File::from(target.open().unwrap());
        write_summary(&consumer, Duration::ZERO, &[], &mut out).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(text.starts_with("vmmload: summary of process"), "{text}");
    }
}
