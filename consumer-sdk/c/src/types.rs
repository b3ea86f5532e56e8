//! The structs and constants of the header, and how they are made from the Rust crate's types.

use core::ffi::{c_char, c_int};
use sdk::{Counter, End, Kind, ProcessId, Status, Woken};
use std::time::Duration;

/// The number of this interface: the shared library is libvmmload_consumer.so.1.
pub const VMMLOAD_ABI_MAJOR: u32 = 1;

/// Kind of an event: the program stored to the page.
pub const VMMLOAD_KIND_WRITE: u8 = 0;
/// Kind of an event: the program loaded from the page and was not seen to store to it.
pub const VMMLOAD_KIND_READ: u8 = 1;
/// Kind of an event: the kernel filled the page for the program, as read(2) does.
pub const VMMLOAD_KIND_KERNEL: u8 = 2;

/// How an event was seen: an entry of a virtual processor's dirty ring.
pub const VMMLOAD_METHOD_DIRTY_RING: u8 = 0;
/// How an event was seen: an accessed bit in the page tables.
pub const VMMLOAD_METHOD_ACCESSED_BIT: u8 = 1;
/// How an event was seen: the system call that filled the page.
pub const VMMLOAD_METHOD_RELAY: u8 = 2;

/// The process runs.
pub const VMMLOAD_RUNNING: c_int = 0;
/// The process exited; the detail is its status, 0 to 255.
pub const VMMLOAD_EXITED: c_int = 1;
/// A signal killed the process; the detail is its number.
pub const VMMLOAD_SIGNALED: c_int = 2;
/// The process executes another program, in vmmload, too, and goes on with a new segment of the same name: attach again.
pub const VMMLOAD_REPLACED: c_int = 3;
/// The process executes another program, which is not watched.
pub const VMMLOAD_NATIVE: c_int = 4;
/// The process is gone without having said so, as after SIGKILL. The last epoch may be missing.
pub const VMMLOAD_DIED: c_int = 5;
/// Somebody made the segment's file shorter. It cannot be read any more.
pub const VMMLOAD_TRUNCATED: c_int = 6;

/// There is nothing new.
pub const VMMLOAD_TIMED_OUT: c_int = 0;
/// There is something new; vmmload_wait says what that is.
pub const VMMLOAD_NEWS: c_int = 1;
/// The process has ended, and there is nothing new: nothing will come any more.
pub const VMMLOAD_OVER: c_int = 2;

/// In place of the epoch of a page's last event: it is not watched for stores at present, because it was written in many
/// epochs in a row. Take it for written.
pub const VMMLOAD_UNWATCHED: u32 = u32::MAX;

const _: () = assert!(VMMLOAD_UNWATCHED == sdk::UNWATCHED);

/// What is watched: nothing.
pub const VMMLOAD_TRACK_NONE: u32 = 0;
/// What is watched: stores.
pub const VMMLOAD_TRACK_WRITE: u32 = 1;
/// What is watched: stores and loads.
pub const VMMLOAD_TRACK_READWRITE: u32 = 2;
/// What is watched: something that this library does not know.
pub const VMMLOAD_TRACK_UNKNOWN: u32 = u32::MAX;

/// Index into the counters of vmmload_info: system calls executed on the host with the program's own arguments.
pub const VMMLOAD_COUNTER_SYSCALLS_RELAYED: usize = 0;
/// Index: system calls answered by vmmload itself.
pub const VMMLOAD_COUNTER_SYSCALLS_EMULATED: usize = 1;
/// Index: returns from the VM, for any reason.
pub const VMMLOAD_COUNTER_VM_EXITS: usize = 2;
/// Index: exits because of a page fault.
pub const VMMLOAD_COUNTER_PAGE_FAULT_EXITS: usize = 3;
/// Index: exits because a dirty ring was full.
pub const VMMLOAD_COUNTER_RING_FULL_EXITS: usize = 4;
/// Index: signals handled.
pub const VMMLOAD_COUNTER_SIGNALS: usize = 5;
/// Index: threads started, the first one included.
pub const VMMLOAD_COUNTER_THREADS_STARTED: usize = 6;
/// Index: virtual processors created.
pub const VMMLOAD_COUNTER_VCPUS: usize = 7;
/// Index: intervals by which epochs went on, so that tracking keeps within its limit.
pub const VMMLOAD_COUNTER_STRETCHED_TICKS: usize = 8;
/// Index: bytes that the kernel wrote for the program in system calls.
pub const VMMLOAD_COUNTER_KERNEL_BYTES: usize = 9;
/// Index: system calls of which it is not known what the kernel wrote for them.
pub const VMMLOAD_COUNTER_UNKNOWN_CALLS: usize = 10;
/// Index: system calls, relayed or emulated, for which the VM was not left.
pub const VMMLOAD_COUNTER_CALLS_WITHOUT_EXIT: usize = 11;
/// Number of counters of vmmload_info; those behind the last index above are 0.
pub const VMMLOAD_COUNTERS: usize = 16;
/// Room for the command in vmmload_info: at most 256 bytes of it, and at least one NUL behind them.
pub const VMMLOAD_COMMAND_ROOM: usize = 264;

const _: () = assert!(Counter::ALL.len() == VMMLOAD_COUNTER_CALLS_WITHOUT_EXIT + 1);

/// One observation: count accesses to one page, seen in one epoch.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Event {
    /// Address of the 4 KiB page.
    pub addr: u64,
    /// Start of the epoch it was published in, nanoseconds of CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// Number of that epoch.
    pub epoch: u32,
    /// How many events this record stands for.
    pub count: u32,
    /// Identity of what was mapped there at that time (the id of a vmmload_mapping); 0 where nothing is known to have been.
    pub mapping: u32,
    /// Bytes that the kernel wrote in the page, for VMMLOAD_KIND_KERNEL; 0 for the others, since processors do not tell.
    pub bytes: u32,
    /// VMMLOAD_KIND_WRITE, VMMLOAD_KIND_READ or VMMLOAD_KIND_KERNEL. Records of other kinds count as lost.
    pub kind: u8,
    /// VMMLOAD_METHOD_DIRTY_RING, VMMLOAD_METHOD_ACCESSED_BIT or VMMLOAD_METHOD_RELAY.
    pub method: u8,
    /// 0.
    pub reserved: [u8; 6],
}

const _: () = assert!(size_of::<Event>() == 40);

impl From<sdk::Event> for Event {
    fn from(event: sdk::Event) -> Self {
        Self {
            addr: event.addr,
            time_ns: event.time_ns,
            epoch: event.epoch,
            count: event.count,
            mapping: event.mapping,
            bytes: event.bytes,
            kind: event.kind as u8,
            method: event.method as u8,
            reserved: [0; 6],
        }
    }
}

/// One finished epoch, and what tracking did in it. Times are nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Epoch {
    /// When it began.
    pub start_ns: u64,
    /// When it ended. Its events were published by then.
    pub end_ns: u64,
    /// How much of the program's time tracking took, by estimate, nanoseconds.
    pub cost_ns: u64,
    /// Its number. Gaps are epochs that were overwritten before they were read, or that found no memory.
    pub number: u32,
    /// Intervals that it lasted: more than one where tracking would have cost too much, and 0 where the end of the
    /// process cut it short.
    pub ticks: u32,
    /// Pages with a write event in it.
    pub written: u32,
    /// Pages with a read event in it.
    pub read: u32,
    /// Pages with a kernel event in it.
    pub kernel: u32,
    /// Distinct pages with any event in it: the working set.
    pub touched: u32,
    /// Pages that were not watched for stores in it, because they had been written in many epochs in a row.
    pub left_alone: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Epoch>() == 56);

impl From<sdk::Epoch> for Epoch {
    fn from(epoch: sdk::Epoch) -> Self {
        Self {
            start_ns: epoch.start_ns,
            end_ns: epoch.end_ns,
            cost_ns: epoch.cost_ns,
            number: epoch.number,
            ticks: epoch.ticks,
            written: epoch.written,
            read: epoch.read,
            kernel: epoch.kernel,
            touched: epoch.touched,
            left_alone: epoch.left_alone,
            reserved: 0,
        }
    }
}

/// A process, whatever becomes of its pid.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Process {
    /// Its pid; 0: no process.
    pub pid: u32,
    /// 0.
    pub reserved: u32,
    /// When it started, in clock ticks since boot (proc_pid_stat(5), field 22).
    pub start: u64,
}

impl From<ProcessId> for Process {
    fn from(process: ProcessId) -> Self {
        Self {
            pid: process.pid,
            reserved: 0,
            start: process.start,
        }
    }
}

/// A process in vmmload that another one has forked.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Child {
    /// Which; a pid or start of 0 is one that the parent could not tell.
    pub process: Process,
    /// When, nanoseconds of CLOCK_MONOTONIC.
    pub time_ns: u64,
}

impl From<sdk::Child> for Child {
    fn from(child: sdk::Child) -> Self {
        Self {
            process: child.process.into(),
            time_ns: child.time_ns,
        }
    }
}

/// A segment's facts and counts at one moment. Later versions of the library add to its end: always pass its size, as
/// your compiler knows it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Info {
    /// When the process was started, nanoseconds of CLOCK_MONOTONIC; the times of records are on that clock.
    pub start_ns: u64,
    /// When it was started, nanoseconds since 1970.
    pub started_ns: u64,
    /// Time since it was started, nanoseconds.
    pub age_ns: u64,
    /// Length of an epoch as it was asked for, nanoseconds.
    pub interval_ns: u64,
    /// Start of an epoch not older than the field epoch, nanoseconds of CLOCK_MONOTONIC.
    pub epoch_ns: u64,
    /// Write events since the start.
    pub written: u64,
    /// Read events since the start.
    pub read: u64,
    /// Kernel events since the start.
    pub kernel: u64,
    /// Distinct pages with at least one event, of those that the heat table has room for.
    pub pages: u64,
    /// Records published, the lost and dropped ones included.
    pub published: u64,
    /// Records for which the ring had no memory.
    pub ring_dropped: u64,
    /// Events missing from the heat table, but not from written, read and kernel.
    pub heat_dropped: u64,
    /// How often the name of a mapping or a mark did not fit.
    pub names_dropped: u64,
    /// What vmmload counts about its own work; the indices are VMMLOAD_COUNTER_SYSCALLS_RELAYED and those that follow it.
    pub counters: [u64; VMMLOAD_COUNTERS],
    /// The process.
    pub process: Process,
    /// The process in vmmload that forked it; pid 0: none did.
    pub parent: Process,
    /// The first process of the `vmmload run` that it descends from: itself, if it is that one.
    pub session: Process,
    /// The user it was started by.
    pub uid: u32,
    /// VMMLOAD_TRACK_NONE, VMMLOAD_TRACK_WRITE, VMMLOAD_TRACK_READWRITE or VMMLOAD_TRACK_UNKNOWN.
    pub track: u32,
    /// The current epoch.
    pub epoch: u32,
    /// Per cent of the program's time that tracking may take; epochs go on until it does not take more.
    pub max_overhead: u32,
    /// Entries of each virtual processor's dirty ring.
    pub buffer: u32,
    /// Bytes of the command.
    pub command_len: u32,
    /// 0.
    pub reserved: [u32; 2],
    /// The command's arguments with a NUL between them, and NULs to the end.
    pub command: [c_char; VMMLOAD_COMMAND_ROOM],
}

impl Info {
    pub(crate) fn new(process: ProcessId, info: &sdk::Info) -> Self {
        let nanoseconds = |time: std::time::Duration| time.as_nanos() as u64;
        let mut counters = [0; VMMLOAD_COUNTERS];
        for counter in Counter::ALL {
            counters[counter as usize] = info.counter(counter);
        }
        let mut command = [0; VMMLOAD_COMMAND_ROOM];
        let bytes = info.command.iter().take(VMMLOAD_COMMAND_ROOM - 1);
        let command_len = bytes.len() as u32;
        let slots = command.iter_mut();
        slots
            .zip(bytes)
            .for_each(|(to, &from)| *to = from as c_char);
        Self {
            start_ns: info.start_ns,
            started_ns: nanoseconds(info.started),
            age_ns: nanoseconds(info.age),
            interval_ns: nanoseconds(info.interval),
            epoch_ns: info.epoch_ns,
            written: info.total(Kind::Write),
            read: info.total(Kind::Read),
            kernel: info.total(Kind::Kernel),
            pages: info.pages,
            published: info.published,
            ring_dropped: info.ring_dropped,
            heat_dropped: info.heat_dropped,
            names_dropped: info.names_dropped,
            counters,
            process: process.into(),
            parent: info.parent.map(Process::from).unwrap_or_default(),
            session: info.session.into(),
            uid: info.uid,
            track: info
                .track
                .map_or(VMMLOAD_TRACK_UNKNOWN, |track| track as u32),
            epoch: info.epoch,
            max_overhead: info.max_overhead,
            buffer: info.buffer,
            command_len,
            reserved: [0; 2],
            command,
        }
    }
}

/// The total of one page and kind since the process started.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Heat {
    /// Address of the 4 KiB page.
    pub addr: u64,
    /// Number of events; it counts up to 2^32 - 1.
    pub count: u64,
    /// Epoch of the last one, or later, when the page's contents were given back to the system; VMMLOAD_UNWATCHED while
    /// stores there go unseen, for a page that is written all the time.
    pub epoch: u32,
    /// VMMLOAD_KIND_WRITE, VMMLOAD_KIND_READ or VMMLOAD_KIND_KERNEL.
    pub kind: u8,
    /// 0.
    pub reserved: [u8; 3],
}

impl From<sdk::Heat> for Heat {
    fn from(heat: sdk::Heat) -> Self {
        Self {
            addr: heat.addr,
            count: heat.count,
            epoch: heat.epoch,
            kind: heat.kind as u8,
            reserved: [0; 3],
        }
    }
}

/// A status in numbers: what it is, and the detail.
pub(crate) fn status_and_detail(status: Status) -> (c_int, c_int) {
    match status {
        Status::Running => (VMMLOAD_RUNNING, 0),
        Status::Ended(End::Exited(code)) => (VMMLOAD_EXITED, c_int::from(code)),
        Status::Ended(End::Signaled(signal)) => (VMMLOAD_SIGNALED, c_int::from(signal)),
        Status::Ended(End::Replaced) => (VMMLOAD_REPLACED, 0),
        Status::Ended(End::Native) => (VMMLOAD_NATIVE, 0),
        Status::Died => (VMMLOAD_DIED, 0),
        Status::Truncated => (VMMLOAD_TRUNCATED, 0),
    }
}

/// A limit in nanoseconds; none where it is negative.
pub(crate) fn timeout(nanoseconds: i64) -> Option<Duration> {
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

pub(crate) fn woken(woken: Woken) -> c_int {
    match woken {
        Woken::TimedOut => VMMLOAD_TIMED_OUT,
        Woken::News => VMMLOAD_NEWS,
        Woken::Over => VMMLOAD_OVER,
    }
}
