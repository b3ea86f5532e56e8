//! The tables of a recording: their columns, with types, units and meanings. `docs/recordings.md` says the same.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use std::sync::Arc;

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Table {
    /// A row for each record of the ring, or for those that `--resolution` makes one of.
    Events,
    /// A row for each finished epoch.
    Epochs,
    /// A row for each mapping when it comes, and again whenever it changes.
    Mappings,
    /// A row for each mark that the program made.
    Marks,
    /// A row for each program: one that executes another is two.
    Processes,
}

/// The type of a column, of those that every engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Whole number of 32 bits without sign.
    U32,
    /// Whole number of 64 bits.
    I64,
    /// Nanoseconds since 1970, UTC.
    Time,
    /// Text, UTF-8.
    Text,
    /// Whole number of 32 bits; empty where there is none.
    OptionalI32,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    /// What it says, with the unit.
    pub(crate) about: &'static str,
}

const fn column(name: &'static str, kind: Type, about: &'static str) -> Column {
    Column { name, kind, about }
}

/// What stands first in every table.
const COMMON: [Column; 3] = [
    column(
        "recording",
        Type::Text,
        "identity of the recording, as in recording.json",
    ),
    column("pid", Type::U32, "process id"),
    column(
        "program",
        Type::U32,
        "how many programs the process had executed before this one, while it was recorded",
    ),
];

const EVENTS: [Column; 10] = [
    column(
        "time",
        Type::Time,
        "start of the epoch, by the clock of the wall",
    ),
    column(
        "time_ns",
        Type::I64,
        "the same on CLOCK_MONOTONIC, nanoseconds",
    ),
    column(
        "epoch",
        Type::U32,
        "number of the epoch; with --resolution, of the first one in the row",
    ),
    column(
        "addr",
        Type::I64,
        "first address: of the 4 KiB page, or of the block of --resolution",
    ),
    column("kind", Type::Text, "write, read or kernel"),
    column(
        "method",
        Type::Text,
        "what saw it: dirty-ring, accessed-bit or relay",
    ),
    column(
        "count",
        Type::I64,
        "events: epochs in which a page was touched so, added up over pages and epochs",
    ),
    column(
        "pages",
        Type::I64,
        "distinct pages in the row; 1 without --resolution",
    ),
    column(
        "bytes",
        Type::I64,
        "bytes that the kernel wrote, for kernel; else 0",
    ),
    column(
        "mapping",
        Type::U32,
        "identity of the mapping that was there; 0: none known",
    ),
];

const EPOCHS: [Column; 12] = [
    column("time", Type::Time, "when it began"),
    column(
        "epoch",
        Type::U32,
        "its number; gaps are epochs that could not be recorded",
    ),
    column(
        "start_ns",
        Type::I64,
        "when it began, CLOCK_MONOTONIC nanoseconds",
    ),
    column(
        "end_ns",
        Type::I64,
        "when it ended, CLOCK_MONOTONIC nanoseconds",
    ),
    column(
        "cost_ns",
        Type::I64,
        "how much of the program's time tracking took, by estimate, nanoseconds",
    ),
    column(
        "ticks",
        Type::U32,
        "intervals that it lasted; more than one where tracking would have cost too much",
    ),
    column("written", Type::U32, "pages with a write event"),
    column("read", Type::U32, "pages with a read event"),
    column("kernel", Type::U32, "pages with a kernel event"),
    column(
        "touched",
        Type::U32,
        "distinct pages with any event: the working set",
    ),
    column(
        "left_alone",
        Type::U32,
        "pages that were not watched for stores, as they are written in every epoch",
    ),
    column(
        "lost",
        Type::I64,
        "records that this recording lost since the epoch before",
    ),
];

const MAPPINGS: [Column; 11] = [
    column("time", Type::Time, "when the recorder saw it so"),
    column(
        "mapping",
        Type::U32,
        "identity; several rows with the same one: the last one is how it was last",
    ),
    column("start", Type::I64, "first address"),
    column("end", Type::I64, "first address behind it"),
    column("offset", Type::I64, "offset in the mapped file, bytes"),
    column("permissions", Type::Text, "as in /proc/PID/maps: rw-p"),
    column(
        "name",
        Type::Text,
        "file path, [heap] and the like, what the program calls it, or empty",
    ),
    column(
        "class",
        Type::Text,
        "anonymous, file, heap, stack, thread-stack, shared, device or kernel",
    ),
    column("thread", Type::U32, "the thread whose stack it is; else 0"),
    column("born", Type::U32, "epoch in which it came"),
    column(
        "retired",
        Type::U32,
        "epoch in which it went; 0: it is there",
    ),
];

const MARKS: [Column; 5] = [
    column("time", Type::Time, "when"),
    column("time_ns", Type::I64, "when, CLOCK_MONOTONIC nanoseconds"),
    column("name", Type::Text, "what the program said"),
    column("epoch", Type::U32, "the epoch that was running"),
    column("thread", Type::U32, "the thread that said it"),
];

const PROCESSES: [Column; 45] = [
    column(
        "start_ticks",
        Type::I64,
        "when the process started, clock ticks since boot: pid and this name it for good",
    ),
    column(
        "parent_pid",
        Type::U32,
        "the wrapped process that forked it; 0: none",
    ),
    column("parent_start_ticks", Type::I64, "start_ticks of that"),
    column(
        "session_pid",
        Type::U32,
        "the first process of its vmmload run",
    ),
    column("uid", Type::U32, "the user"),
    column(
        "command",
        Type::Text,
        "its arguments, separated by blanks; at most 256 bytes",
    ),
    column("started", Type::Time, "when it was started"),
    column(
        "start_ns",
        Type::I64,
        "the same, CLOCK_MONOTONIC nanoseconds",
    ),
    column(
        "attached_ns",
        Type::I64,
        "when the recorder came to it, CLOCK_MONOTONIC nanoseconds",
    ),
    column(
        "last_ns",
        Type::I64,
        "how far it was recorded, CLOCK_MONOTONIC nanoseconds",
    ),
    column(
        "interval_ns",
        Type::I64,
        "length of an epoch, nanoseconds; 0: as short as can be",
    ),
    column(
        "max_overhead",
        Type::U32,
        "per cent of the program's time that tracking may take",
    ),
    column("buffer", Type::U32, "dirty-ring entries of each vCPU"),
    column(
        "track",
        Type::Text,
        "what was watched: none, write or readwrite",
    ),
    column(
        "end",
        Type::Text,
        "running (when the recording ended), exited, signaled, replaced (executes a wrapped program), native (executes another one), died or truncated",
    ),
    column(
        "status",
        Type::OptionalI32,
        "exit status, or number of the signal",
    ),
    column("epochs", Type::I64, "epochs that were recorded"),
    column("rows", Type::I64, "rows in the table of events"),
    column(
        "events",
        Type::I64,
        "events in them: their counts, added up",
    ),
    column(
        "lost",
        Type::I64,
        "records that were overwritten before the recorder came to them",
    ),
    column("marks_lost", Type::I64, "marks, likewise"),
    column(
        "total_write",
        Type::I64,
        "write events since the process started, by the segment's own count",
    ),
    column("total_read", Type::I64, "read events, likewise"),
    column("total_kernel", Type::I64, "kernel events, likewise"),
    column(
        "total_pages",
        Type::I64,
        "distinct pages touched since the process started",
    ),
    column(
        "ring_records",
        Type::I64,
        "records that the segment's ring holds",
    ),
    column(
        "ring_dropped",
        Type::I64,
        "records for which the ring had no memory",
    ),
    column(
        "heat_dropped",
        Type::I64,
        "events missing from the heat table",
    ),
    column("names_dropped", Type::I64, "names that found no room"),
    column(
        "resident_pages",
        Type::I64,
        "pages of the program in memory at the end, as far as the recorder could see; -1: unknown",
    ),
    column(
        "mapped_pages",
        Type::I64,
        "pages of mappings with any permission at the end",
    ),
    column(
        "most_mapped_pages",
        Type::I64,
        "the most that were mapped at once",
    ),
    column(
        "syscalls_relayed",
        Type::I64,
        "system calls executed with the program's own arguments",
    ),
    column(
        "syscalls_emulated",
        Type::I64,
        "system calls answered by the launcher",
    ),
    column(
        "calls_without_exit",
        Type::I64,
        "of both, those for which the VM was not left",
    ),
    column("vm_exits", Type::I64, "returns from the VM to the launcher"),
    column(
        "page_fault_exits",
        Type::I64,
        "those because of a page fault",
    ),
    column(
        "ring_full_exits",
        Type::I64,
        "those because a dirty ring was full",
    ),
    column("signals", Type::I64, "signals handled"),
    column(
        "threads_started",
        Type::I64,
        "threads, the first one included",
    ),
    column("vcpus", Type::I64, "virtual processors created"),
    column(
        "stretched_ticks",
        Type::I64,
        "intervals by which epochs went on for longer",
    ),
    column(
        "kernel_bytes",
        Type::I64,
        "bytes that the kernel wrote for the program in relayed calls",
    ),
    column(
        "unknown_calls",
        Type::I64,
        "calls of which it is not known what the kernel wrote for them",
    ),
    column(
        "before",
        Type::I64,
        "records that had been overwritten before the recorder came: 0 where it was there from the start",
    ),
];

impl Table {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Events,
        Self::Epochs,
        Self::Mappings,
        Self::Marks,
        Self::Processes,
    ];

    /// Its directory in a recording.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Epochs => "epochs",
            Self::Mappings => "mappings",
            Self::Marks => "marks",
            Self::Processes => "processes",
        }
    }

    /// Its columns, in their order.
    pub(crate) fn columns(self) -> impl Iterator<Item = Column> {
        let own: &'static [Column] = match self {
            Self::Events => &EVENTS,
            Self::Epochs => &EPOCHS,
            Self::Mappings => &MAPPINGS,
            Self::Marks => &MARKS,
            Self::Processes => &PROCESSES,
        };
        COMMON.into_iter().chain(own.iter().copied())
    }

    /// Its schema, as the files have it.
    pub(crate) fn schema(self) -> Arc<Schema> {
        let fields: Vec<Field> = self.columns().map(Column::field).collect();
        Arc::new(Schema::new(fields))
    }
}

impl Column {
    fn field(self) -> Field {
        let kind = match self.kind {
            Type::U32 => DataType::UInt32,
            Type::I64 => DataType::Int64,
            Type::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Type::Text => DataType::Utf8,
            Type::OptionalI32 => DataType::Int32,
        };
        Field::new(self.name, kind, self.kind == Type::OptionalI32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// A table's columns as the documentation has them.
    fn documented(table: Table) -> String {
        let row = |column: Column| {
            let kind = match column.kind {
                Type::U32 => "uint32",
                Type::I64 => "int64",
                Type::Time => "timestamp, ns, UTC",
                Type::Text => "text",
                Type::OptionalI32 => "int32 or null",
            };
            format!("| `{}` | {kind} | {} |\n", column.name, column.about)
        };
        let rows: String = table.columns().skip(COMMON.len()).map(row).collect();
        format!(
            "### {}\n\n| column | type | meaning |\n| --- | --- | --- |\n{rows}\n",
            table.name()
        )
    }

    #[test]
    fn the_documentation_has_exactly_these_columns() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/recordings.md");
        let text = std::fs::read_to_string(path).unwrap();
        for table in Table::ALL {
            let expected = documented(table);
            assert!(
                text.contains(&expected),
                "docs/recordings.md lacks:\n{expected}"
            );
        }
        for column in COMMON {
            let row = format!("| `{}` | ", column.name);
            assert!(text.contains(&row), "{row}");
            assert!(text.contains(column.about), "{}", column.about);
        }
    }

    #[test]
    fn no_column_is_there_twice() {
        for table in Table::ALL {
            let mut names = HashSet::new();
            assert!(table.columns().all(|column| names.insert(column.name)));
        }
    }
}
