//! Follows a running process through `vmmload dump --follow --format json`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Session, machine, vmmload};

/// One line of the dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Page `address` was touched `count` times in one epoch.
    Page {
        /// First address of the page.
        address: u64,
        /// The epoch that saw it.
        epoch: u64,
        /// `write`, `read` or `kernel`.
        kind: String,
        /// Events in this record.
        count: u64,
        /// What measured it.
        method: String,
        /// Bytes that the kernel wrote in it; 0 for other kinds.
        bytes: u64,
    },
    /// A mapping of the process.
    Map {
        /// Its addresses.
        range: Range<u64>,
        /// Permissions and name.
        text: String,
    },
    /// An epoch has ended.
    Epoch {
        /// Its number.
        number: u64,
        /// Intervals that it lasted.
        ticks: u64,
        /// Pages with a write event in it.
        written: u64,
        /// Pages with a read event in it.
        read: u64,
        /// Pages with a kernel event in it.
        kernel: u64,
        /// Pages with any event in it.
        touched: u64,
    },
    /// The program has said what it begins.
    Mark {
        /// What.
        name: String,
        /// The epoch that was running.
        epoch: u64,
    },
    /// So many marks were overwritten before this reader came to them.
    LostMarks(u64),
    /// So many records were overwritten before this reader came to them.
    Lost(u64),
    /// The process ended.
    End {
        /// Its status as a shell would show it.
        status: Option<i64>,
        /// How it executes another program instead: wrapped, or natively.
        executes: Option<String>,
    },
    /// A kind of line that this harness does not know.
    Other(String),
}

/// The records of one process, as they come.
#[derive(Debug)]
pub struct Follower {
    dump: Session,
    records: Vec<Record>,
}

impl Follower {
    /// Starts `vmmload dump PID --follow --format json`.
    #[must_use]
    pub fn attach(pid: libc::pid_t) -> Self {
        let mut command = Command::new(vmmload());
        command
            .args(["dump", &pid.to_string(), "--follow", "--format", "json"])
            .stderr(Stdio::inherit());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self {
            dump: Session::start(command),
            records: Vec::new(),
        }
    }

    /// Reads records until `enough` says so, or `limit` is over; tells which.
    pub fn read_until(&mut self, limit: Duration, enough: impl Fn(&[Record]) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if enough(&self.records) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.dump.line_within(left) {
                Ok(line) => self.records.push(parse(&line)),
                Err(_) => return enough(&self.records),
            }
        }
    }

    /// Reads until the dump itself ends, as it must when the process has.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn read_to_end(&mut self) -> &[Record] {
        let is_end = |record: &Record| matches!(record, Record::End { .. });
        let ended = self.read_until(machine::patience(Duration::from_secs(60)), |records| {
            records.last().is_some_and(is_end)
        });
        assert!(
            ended,
            "the dump has no end record; its last records: {:?}",
            self.last(5)
        );
        &self.records
    }

    /// All records so far.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The last records, for a message.
    #[must_use]
    pub fn last(&self, count: usize) -> &[Record] {
        &self.records[self.records.len().saturating_sub(count)..]
    }
}

/// Events of one kind for each page inside `range`.
#[must_use]
pub fn events(records: &[Record], wanted: &str, range: &Range<u64>) -> BTreeMap<u64, u64> {
    let mut pages = BTreeMap::new();
    for record in records {
        if let Record::Page {
            address,
            kind,
            count,
            ..
        } = record
            && kind == wanted
            && range.contains(address)
        {
            *pages.entry(*address).or_insert(0) += count;
        }
    }
    pages
}

/// Compares pages with their numbers of events, without printing thousands of them.
///
/// # Panics
/// When they differ.
#[track_caller]
pub fn assert_events(found: &BTreeMap<u64, u64>, expected: &BTreeMap<u64, u64>) {
    let missing: Vec<_> = expected
        .iter()
        .filter(|(page, _)| !found.contains_key(page))
        .collect();
    let extra: Vec<_> = found
        .iter()
        .filter(|(page, _)| !expected.contains_key(page))
        .collect();
    let miscounted: Vec<_> = found
        .iter()
        .filter(|(page, count)| expected.get(page).is_some_and(|n| n != *count))
        .collect();
    assert!(
        missing.is_empty() && extra.is_empty() && miscounted.is_empty(),
        "{} pages expected, {} found; missing {} {:x?}; extra {} {:x?}; wrong count {} {:x?}",
        expected.len(),
        found.len(),
        missing.len(),
        &missing[..missing.len().min(5)],
        extra.len(),
        &extra[..extra.len().min(5)],
        miscounted.len(),
        &miscounted[..miscounted.len().min(5)]
    );
}

/// Bytes that the kernel wrote in each page inside `range`.
#[must_use]
pub fn kernel_bytes(records: &[Record], range: &Range<u64>) -> BTreeMap<u64, u64> {
    let mut pages = BTreeMap::new();
    for record in records {
        if let Record::Page {
            address,
            kind,
            bytes,
            ..
        } = record
            && kind == "kernel"
            && range.contains(address)
        {
            *pages.entry(*address).or_insert(0) += bytes;
        }
    }
    pages
}

/// Records that this reader was told it lost.
#[must_use]
pub fn lost(records: &[Record]) -> u64 {
    records
        .iter()
        .map(|record| {
            if let Record::Lost(count) = record {
                *count
            } else {
                0
            }
        })
        .sum()
}

fn parse(line: &str) -> Record {
    let value: Value =
        serde_json::from_str(line).unwrap_or_else(|cause| panic!("not JSON: {line:?}: {cause}"));
    match value["type"].as_str() {
        Some("page") => Record::Page {
            address: address(&value, "addr"),
            epoch: number(&value, "epoch"),
            kind: text(&value, "kind"),
            count: number(&value, "count"),
            method: text(&value, "method"),
            bytes: number(&value, "bytes"),
        },
        Some("map") => Record::Map {
            range: address(&value, "start")..address(&value, "end"),
            text: format!(
                "{} {}",
                text(&value, "prot"),
                value["name"].as_str().unwrap_or("")
            ),
        },
        Some("epoch") => Record::Epoch {
            number: number(&value, "epoch"),
            ticks: number(&value, "ticks"),
            written: number(&value, "written"),
            read: number(&value, "read"),
            kernel: number(&value, "kernel"),
            touched: number(&value, "touched"),
        },
        Some("mark") => Record::Mark {
            name: text(&value, "name"),
            epoch: number(&value, "epoch"),
        },
        Some("lost") if value["marks"].is_u64() => Record::LostMarks(number(&value, "marks")),
        Some("lost") => Record::Lost(number(&value, "records")),
        Some("end") => Record::End {
            status: value["status"].as_i64(),
            executes: value["executes"].as_str().map(str::to_owned),
        },
        _ => Record::Other(line.to_owned()),
    }
}

fn address(value: &Value, field: &str) -> u64 {
    let digits = value[field]
        .as_str()
        .and_then(|text| text.strip_prefix("0x"));
    let parsed = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    parsed.unwrap_or_else(|| panic!("{field} is no \"0x...\" address in {value}"))
}

fn number(value: &Value, field: &str) -> u64 {
    value[field]
        .as_u64()
        .unwrap_or_else(|| panic!("{field} is no number in {value}"))
}

fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is no text in {value}"))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Record, events, lost, parse};

    #[test]
    fn events_of_a_page_add_up_and_other_kinds_and_pages_do_not_count() {
        let page = |address: &str, kind: &str, count: u32| {
            parse(&format!(
                r#"{{"type":"page","pid":1,"epoch":7,"time_ns":1,"addr":"{address}","kind":"{kind}","count":{count},"method":"dirty-ring","bytes":0}}"#
            ))
        };
        let records = [
            page("0x1000", "write", 1),
            page("0x1000", "write", 2),
            page("0x2000", "kernel", 1),
            page("0x9000", "write", 1),
        ];
        let pages = events(&records, "write", &(0x1000..0x3000));
        assert_eq!(pages.into_iter().collect::<Vec<_>>(), [(0x1000, 3)]);
    }

    #[test]
    fn lost_records_add_up() {
        let records = [
            parse(r#"{"type":"lost","pid":1,"records":12}"#),
            Record::Lost(3),
        ];
        assert_eq!(lost(&records), 15);
    }
}
