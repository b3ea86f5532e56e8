//! `vmmload dump`: a segment's mappings and records, one a line.

use super::{Format, ReportError, json_string};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;
use vmmload_consumer::{Consumer, End, Event, Item, Kind, Mapping, Mappings, Status, list};

/// Options of `dump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DumpConfig {
    /// `None`: the only live process there is.
    pub(crate) pid: Option<u32>,
    /// Go on until the process ends.
    pub(crate) follow: bool,
    pub(crate) format: Format,
}

/// Prints the segment that the options name.
pub(super) fn run(config: &DumpConfig, output: &mut impl Write) -> Result<(), ReportError> {
    let pid = config.pid.map_or_else(only_process, Ok)?;
    let consumer = Consumer::attach(pid)?;
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
    format: Format,
    output: &'a mut W,
    start_ns: u64,
    /// As printed so far; `None` before the first time.
    mappings: Option<Mappings>,
}

impl<'a, W: Write> Dump<'a, W> {
    fn new(consumer: Consumer, format: Format, output: &'a mut W) -> Self {
        let start_ns = consumer.info().start_ns;
        Self {
            consumer,
            format,
            output,
            start_ns,
            mappings: None,
        }
    }

    fn heading(&mut self) -> io::Result<()> {
        if self.format == Format::Text {
            let info = self.consumer.info();
            let (pid, command) = (info.pid, info.command_line());
            let epochs = humantime::format_duration(info.interval);
            writeln!(self.output, "process {pid}: {command} (epochs of {epochs})")?;
        }
        Ok(())
    }

    /// The mappings, and the records that are in the ring now.
    fn once(&mut self) -> Result<(), ReportError> {
        let end = self.consumer.info().published;
        self.print_mappings()?;
        while self.consumer.position() < end {
            let Some(item) = self.consumer.next() else {
                break;
            };
            self.print(item)?;
        }
        Ok(self.output.flush()?)
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
                Status::Ended(end) => self.print_end(Some(end))?,
                Status::Died => self.print_end(None)?,
            }
            self.output.flush()?;
            if status != Status::Running {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Prints what there is now, and not what comes meanwhile: a fast writer must not keep the mappings
    /// and the end from being seen.
    fn drain(&mut self) -> io::Result<()> {
        let end = self.consumer.info().published;
        while self.consumer.position() < end {
            let Some(item) = self.consumer.next() else {
                break;
            };
            self.print(item)?;
        }
        Ok(())
    }

    fn print(&mut self, item: Item) -> io::Result<()> {
        let pid = self.consumer.pid();
        match (item, self.format) {
            (Item::Event(event), Format::Text) => self.print_event(event),
            (Item::Event(event), Format::Json) => print_event_json(self.output, pid, event),
            (Item::Lost(records), Format::Text) => writeln!(self.output, "lost  {records} records"),
            (Item::Lost(records), Format::Json) => {
                writeln!(
                    self.output,
                    r#"{{"type":"lost","pid":{pid},"records":{records}}}"#
                )
            }
        }
    }

    fn print_event(&mut self, event: Event) -> io::Result<()> {
        let Event {
            addr,
            kind,
            method,
            time_ns,
            epoch,
            count,
            bytes,
            mapping: _,
        } = event;
        let seconds = Duration::from_nanos(time_ns.saturating_sub(self.start_ns)).as_secs_f64();
        let mapping = self
            .mappings
            .as_ref()
            .and_then(|mappings| mappings.of(&event));
        let name = mapping.map_or("", |mapping| mapping.name.as_str());
        let bytes = match kind {
            Kind::Kernel => format!("  {bytes} bytes"),
            Kind::Write | Kind::Read => String::new(),
        };
        let (kind, method) = (kind.name(), method.name());
        writeln!(
            self.output,
            "page  {addr:#014x}  {kind:<6}  {count:>6} events  epoch {epoch:>6}  {seconds:>10.3} s  \
             {method:<12}  {name}{bytes}"
        )
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
            print_mapping(self.output, self.format, self.consumer.pid(), mapping)?;
        }
        self.mappings = Some(current);
        Ok(())
    }

    /// `None`: the process is gone and nobody knows how.
    fn print_end(&mut self, end: Option<End>) -> io::Result<()> {
        let pid = self.consumer.pid();
        let output = &mut *self.output;
        match (self.format, end) {
            (Format::Text, Some(End::Exited(code))) => writeln!(output, "end   exit status {code}"),
            (Format::Text, Some(End::Signaled(signal))) => {
                writeln!(output, "end   killed by signal {signal}")
            }
            (Format::Text, Some(End::Replaced)) => {
                writeln!(output, "end   executes another program, in a new segment")
            }
            (Format::Text, Some(End::Native)) => {
                writeln!(output, "end   executes a program that runs natively")
            }
            (Format::Text, None) => {
                writeln!(
                    output,
                    "end   gone without a word; the last epoch may be missing"
                )
            }
            (Format::Json, end) => {
                let status = end.and_then(End::shell_status);
                let status = status.map_or("null".into(), |status| status.to_string());
                let executes = match end {
                    Some(End::Replaced) => r#","executes":"wrapped""#,
                    Some(End::Native) => r#","executes":"natively""#,
                    _ => "",
                };
                writeln!(
                    output,
                    r#"{{"type":"end","pid":{pid},"status":{status}{executes}}}"#
                )
            }
        }
    }
}

fn print_event_json(output: &mut impl Write, pid: u32, event: Event) -> io::Result<()> {
    let Event {
        addr,
        kind,
        method,
        time_ns,
        epoch,
        count,
        bytes,
        mapping,
    } = event;
    let (kind, method) = (kind.name(), method.name());
    writeln!(
        output,
        r#"{{"type":"page","pid":{pid},"epoch":{epoch},"time_ns":{time_ns},"addr":"{addr:#x}","kind":"{kind}","count":{count},"method":"{method}","bytes":{bytes},"mapping":{mapping}}}"#
    )
}

fn print_mapping(
    output: &mut impl Write,
    format: Format,
    pid: u32,
    mapping: &Mapping,
) -> io::Result<()> {
    let (start, end, prot) = (mapping.start, mapping.end, mapping.permissions());
    match format {
        Format::Text => {
            let kib = end.saturating_sub(start) / 1024;
            let name = &mapping.name;
            writeln!(
                output,
                "map   {start:#014x}-{end:#014x}  {prot}  {kib:>10} KiB  {name}"
            )
        }
        Format::Json => {
            let Mapping {
                offset,
                id,
                thread,
                born,
                retired,
                ..
            } = mapping;
            let (name, class) = (json_string(&mapping.name), mapping.class.name());
            writeln!(
                output,
                r#"{{"type":"map","pid":{pid},"start":"{start:#x}","end":"{end:#x}","prot":"{prot}","offset":{offset},"name":{name},"id":{id},"class":"{class}","thread":{thread},"born":{born},"retired":{retired}}}"#
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Process;
    use super::*;
    use vmmload_consumer::{MappingClass, MappingEntry, Method, PROT_READ, PROT_WRITE, Sighting};

    const HEAP: u64 = 0x5555_0000_0000;

    fn busy_process() -> Process {
        let mut process = Process::start(b"prog\0");
        let entry = MappingEntry {
            start: HEAP,
            end: HEAP + 0x21000,
            offset: 0,
            prot: PROT_READ | PROT_WRITE,
            name: "[heap]",
            id: 4,
            class: MappingClass::Heap,
            born: 1,
            ..MappingEntry::default()
        };
        process.writer.publish_mappings([entry].into_iter());
        process.writer.begin_epoch(7, 123);
        let index = process.writer.region(HEAP, Kind::Write);
        process.writer.record(
            index,
            Sighting {
                mapping: 4,
                ..Sighting::new(HEAP + 0x2010, Kind::Write, Method::DirtyRing)
            },
        );
        process
    }

    fn dump(process: &Process, follow: bool, format: Format) -> String {
        let mut output = Vec::new();
        let config = DumpConfig {
            pid: Some(process.pid()),
            follow,
            format,
        };
        run(&config, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn json_lines_are_as_documented() {
        let mut process = busy_process();
        process.writer.finish(End::Exited(3));
        let pid = process.pid();
        let expected = format!(
            concat!(
                r#"{{"type":"map","pid":{pid},"start":"0x555500000000","end":"0x555500021000","#,
                r#""prot":"rw-p","offset":0,"name":"[heap]","id":4,"class":"heap","thread":0,"#,
                r#""born":1,"retired":0}}"#,
                "\n",
                r#"{{"type":"page","pid":{pid},"epoch":7,"time_ns":123,"addr":"0x555500002000","#,
                r#""kind":"write","count":1,"method":"dirty-ring","bytes":0,"mapping":4}}"#,
                "\n",
            ),
            pid = pid
        );
        assert_eq!(dump(&process, false, Format::Json), expected);
        let end = format!("{{\"type\":\"end\",\"pid\":{pid},\"status\":3}}\n");
        assert_eq!(dump(&process, true, Format::Json), expected + &end);
    }

    #[test]
    fn text_names_the_mapping_and_the_signal() {
        let mut process = busy_process();
        process.writer.finish(End::Signaled(9));
        let text = dump(&process, true, Format::Text);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("prog (epochs of 100ms)"), "{text}");
        assert_eq!(
            lines[1],
            "map   0x555500000000-0x555500021000  rw-p         132 KiB  [heap]"
        );
        assert!(
            lines[2].starts_with("page  0x555500002000  write        1 events"),
            "{text}"
        );
        assert!(lines[2].ends_with("dirty-ring    [heap]"), "{text}");
        assert_eq!(lines[3], "end   killed by signal 9");
    }

    #[test]
    fn loss_is_a_line_of_its_own() {
        let mut process = busy_process();
        let consumer = Consumer::attach(process.pid()).unwrap();
        for _ in 0..65_536 {
            process
                .writer
                .record(None, Sighting::new(HEAP, Kind::Write, Method::DirtyRing));
        }
        let mut output = Vec::new();
        Dump::new(consumer, Format::Json, &mut output)
            .once()
            .unwrap();
        let text = String::from_utf8(output).unwrap();
        let lost = text.lines().nth(1).unwrap();
        let pid = process.pid();
        assert_eq!(
            lost,
            format!("{{\"type\":\"lost\",\"pid\":{pid},\"records\":32769}}")
        );
        assert_eq!(text.lines().count(), 2 + 32_768);
    }

    #[test]
    fn every_json_line_parses_whatever_the_mapping_is_called() {
        let mut process = busy_process();
        let entry = |name| MappingEntry {
            start: 0,
            end: 4096,
            offset: 0,
            prot: 0,
            name,
            ..MappingEntry::default()
        };
        process
            .writer
            .publish_mappings([entry("/tmp/a \"b\"\n\\c")].into_iter());
        for line in dump(&process, false, Format::Json).lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }

    #[test]
    fn a_process_without_a_segment_is_an_error_that_names_the_remedy() {
        let config = DumpConfig {
            pid: Some(1),
            follow: false,
            format: Format::Text,
        };
        let error = run(&config, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("vmmload run"), "{error}");
    }
}
