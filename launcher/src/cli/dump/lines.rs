//! What each line of a dump looks like, for people and as JSON.

use crate::cli::numbers::time;
use crate::cli::{Format, json_string, printable};
use std::io::{self, Write};
use std::time::Duration;
use vmmload_consumer::{End, Epoch, Event, Info, Kind, Mapping, Mark};

/// Where lines go, and what all of them need.
pub(super) struct Lines<'a, W> {
    pub(super) output: &'a mut W,
    pub(super) format: Format,
    pub(super) pid: u32,
    /// Times of text lines count from here.
    pub(super) start_ns: u64,
    /// Length of an epoch; zero: as short as can be.
    pub(super) interval: Duration,
}

impl<W: Write> Lines<'_, W> {
    pub(super) fn heading(&mut self, info: &Info) -> io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        let (pid, command) = (info.pid, info.command_line());
        let epochs = match info.interval {
            Duration::ZERO => "epochs as short as can be".into(),
            interval => format!("epochs of {}", humantime::format_duration(interval)),
        };
        writeln!(self.output, "process {pid}: {command} ({epochs})")
    }

    pub(super) fn event(&mut self, event: Event, mapping: Option<&Mapping>) -> io::Result<()> {
        match self.format {
            Format::Text => self.event_text(event, mapping),
            Format::Json => self.event_json(event),
        }
    }

    fn event_text(&mut self, event: Event, mapping: Option<&Mapping>) -> io::Result<()> {
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
        let seconds = self.seconds(time_ns);
        let name = printable(mapping.map_or("", |mapping| &mapping.name));
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

    fn event_json(&mut self, event: Event) -> io::Result<()> {
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
        let (pid, kind, method) = (self.pid, kind.name(), method.name());
        writeln!(
            self.output,
            r#"{{"type":"page","pid":{pid},"epoch":{epoch},"time_ns":{time_ns},"addr":"{addr:#x}","kind":"{kind}","count":{count},"method":"{method}","bytes":{bytes},"mapping":{mapping}}}"#
        )
    }

    pub(super) fn epoch(&mut self, epoch: Epoch) -> io::Result<()> {
        match self.format {
            Format::Text => self.epoch_text(epoch),
            Format::Json => self.epoch_json(epoch),
        }
    }

    fn epoch_text(&mut self, epoch: Epoch) -> io::Result<()> {
        let Epoch {
            number,
            start_ns,
            end_ns,
            cost_ns,
            ticks,
            written,
            read,
            kernel,
            touched,
            left_alone,
        } = epoch;
        let seconds = self.seconds(start_ns);
        let length = time(Duration::from_nanos(end_ns.saturating_sub(start_ns)));
        let cost = time(Duration::from_nanos(cost_ns));
        let stretched = match ticks {
            0 | 1 => String::new(),
            ticks if self.interval.is_zero() => format!("  over {ticks} looks"),
            ticks => format!("  over {ticks} intervals"),
        };
        let unwatched = match left_alone {
            0 => String::new(),
            pages => format!("  {pages} not watched for stores"),
        };
        writeln!(
            self.output,
            "epoch {number:>6}  {seconds:>10.3} s  for {length:>9}  {touched:>6} pages touched: \
             {written} written, {read} read, {kernel} by the kernel  cost {cost}{stretched}{unwatched}"
        )
    }

    fn epoch_json(&mut self, epoch: Epoch) -> io::Result<()> {
        let pid = self.pid;
        let Epoch {
            number,
            start_ns,
            end_ns,
            cost_ns,
            ticks,
            written,
            read,
            kernel,
            touched,
            left_alone,
        } = epoch;
        writeln!(
            self.output,
            r#"{{"type":"epoch","pid":{pid},"epoch":{number},"start_ns":{start_ns},"end_ns":{end_ns},"ticks":{ticks},"cost_ns":{cost_ns},"written":{written},"read":{read},"kernel":{kernel},"touched":{touched},"left_alone":{left_alone}}}"#
        )
    }

    pub(super) fn lost(&mut self, records: u64) -> io::Result<()> {
        let pid = self.pid;
        match self.format {
            Format::Text => writeln!(self.output, "lost  {records} records"),
            Format::Json => writeln!(
                self.output,
                r#"{{"type":"lost","pid":{pid},"records":{records}}}"#
            ),
        }
    }

    pub(super) fn mark(&mut self, mark: &Mark) -> io::Result<()> {
        let Mark {
            name,
            time_ns,
            epoch,
            thread,
        } = mark;
        if self.format == Format::Json {
            let (pid, name) = (self.pid, json_string(name));
            return writeln!(
                self.output,
                r#"{{"type":"mark","pid":{pid},"name":{name},"epoch":{epoch},"time_ns":{time_ns},"thread":{thread}}}"#
            );
        }
        let (name, seconds) = (printable(name), self.seconds(*time_ns));
        writeln!(
            self.output,
            "mark  {name}  epoch {epoch}  {seconds:.3} s  thread {thread}"
        )
    }

    pub(super) fn lost_marks(&mut self, marks: u64) -> io::Result<()> {
        let pid = self.pid;
        match self.format {
            Format::Text => writeln!(self.output, "lost  {marks} marks"),
            Format::Json => writeln!(
                self.output,
                r#"{{"type":"lost","pid":{pid},"marks":{marks}}}"#
            ),
        }
    }

    pub(super) fn mapping(&mut self, mapping: &Mapping) -> io::Result<()> {
        match self.format {
            Format::Text => self.mapping_text(mapping),
            Format::Json => self.mapping_json(mapping),
        }
    }

    fn mapping_text(&mut self, mapping: &Mapping) -> io::Result<()> {
        let (start, end, prot) = (mapping.start, mapping.end, mapping.permissions());
        let kib = end.saturating_sub(start) / 1024;
        let name = printable(&mapping.name);
        writeln!(
            self.output,
            "map   {start:#014x}-{end:#014x}  {prot}  {kib:>10} KiB  {name}"
        )
    }

    fn mapping_json(&mut self, mapping: &Mapping) -> io::Result<()> {
        let Mapping {
            start,
            end,
            offset,
            id,
            thread,
            born,
            retired,
            ..
        } = mapping;
        let (pid, prot) = (self.pid, mapping.permissions());
        let (name, class) = (json_string(&mapping.name), mapping.class.name());
        writeln!(
            self.output,
            r#"{{"type":"map","pid":{pid},"start":"{start:#x}","end":"{end:#x}","prot":"{prot}","offset":{offset},"name":{name},"id":{id},"class":"{class}","thread":{thread},"born":{born},"retired":{retired}}}"#
        )
    }

    /// `None`: the process is gone and nobody knows how.
    pub(super) fn end(&mut self, end: Option<End>) -> io::Result<()> {
        match self.format {
            Format::Text => self.end_text(end),
            Format::Json => self.end_json(end),
        }
    }

    fn end_text(&mut self, end: Option<End>) -> io::Result<()> {
        let what = match end {
            Some(End::Exited(code)) => format!("exit status {code}"),
            Some(End::Signaled(signal)) => format!("killed by signal {signal}"),
            Some(End::Replaced) => "executes another program, in a new segment".into(),
            Some(End::Native) => "executes a program that runs natively".into(),
            None => "gone without a word; the last epoch may be missing".into(),
        };
        writeln!(self.output, "end   {what}")
    }

    fn end_json(&mut self, end: Option<End>) -> io::Result<()> {
        let pid = self.pid;
        let status = end.and_then(End::shell_status);
        let status = status.map_or("null".into(), |status| status.to_string());
        let executes = match end {
            Some(End::Replaced) => r#","executes":"wrapped""#,
            Some(End::Native) => r#","executes":"natively""#,
            _ => "",
        };
        writeln!(
            self.output,
            r#"{{"type":"end","pid":{pid},"status":{status}{executes}}}"#
        )
    }

    /// Since the program's start.
    fn seconds(&self, time_ns: u64) -> f64 {
        Duration::from_nanos(time_ns.saturating_sub(self.start_ns)).as_secs_f64()
    }
}
