//! The words for what a segment says: kinds, methods, counters and ends, with their numbers.

/// Who touched the page, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The program stored to the page.
    Write = 0,
    /// The program read the page and was not seen to write it.
    Read = 1,
    /// The host kernel filled the page for the program, as `read(2)` does.
    Kernel = 2,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Write, Self::Read, Self::Kernel];

    /// The word that reports use: `write`, `read` or `kernel`.
    pub fn name(self) -> &'static str {
        ["write", "read", "kernel"][self as usize]
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(bits).ok()?).copied()
    }
}

/// What observed an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Method {
    /// An entry of a vCPU's dirty ring.
    DirtyRing = 0,
    /// An accessed bit found set in the guest's page tables.
    AccessedBit = 1,
    /// The relay of a system call that fills memory.
    Relay = 2,
}

impl Method {
    const ALL: [Self; 3] = [Self::DirtyRing, Self::AccessedBit, Self::Relay];

    /// The word that reports use: `dirty-ring`, `accessed-bit` or `relay`.
    pub fn name(self) -> &'static str {
        ["dirty-ring", "accessed-bit", "relay"][self as usize]
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(bits).ok()?).copied()
    }
}

/// Which accesses the launcher was asked to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Track {
    /// Nothing: the segment has mappings and counters only.
    None = 0,
    /// Stores.
    Write = 1,
    /// Stores and loads.
    ReadWrite = 2,
}

impl Track {
    /// The word that the command line uses: `none`, `write` or `readwrite`.
    pub fn name(self) -> &'static str {
        ["none", "write", "readwrite"][self as usize]
    }

    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        [Self::None, Self::Write, Self::ReadWrite]
            .get(bits as usize)
            .copied()
    }
}

/// What the launcher counts about its own work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Counter {
    /// System calls executed on the host with the program's own arguments.
    SyscallsRelayed = 0,
    /// System calls answered by the launcher.
    SyscallsEmulated = 1,
    /// Returns from the VM to the launcher, for any reason.
    VmExits = 2,
    /// Exits because of a page fault.
    PageFaultExits = 3,
    /// Exits because a dirty ring was full.
    RingFullExits = 4,
    /// Signals handled.
    Signals = 5,
    /// Threads started, the first one included.
    ThreadsStarted = 6,
    /// Virtual processors created.
    Vcpus = 7,
    /// Ticks over which an epoch went on, so that tracking takes no more than a share of the
    /// program's time.
    StretchedTicks = 8,
    /// Bytes that the kernel wrote for the program in relayed calls.
    KernelBytes = 9,
    /// Calls of which it is not known what the kernel wrote for them.
    UnknownCalls = 10,
    /// System calls, relayed or emulated, for which the VM was not left.
    CallsWithoutExit = 11,
}

impl Counter {
    /// Every counter, in the order of their slots.
    pub const ALL: [Self; 12] = [
        Self::SyscallsRelayed,
        Self::SyscallsEmulated,
        Self::VmExits,
        Self::PageFaultExits,
        Self::RingFullExits,
        Self::Signals,
        Self::ThreadsStarted,
        Self::Vcpus,
        Self::StretchedTicks,
        Self::KernelBytes,
        Self::UnknownCalls,
        Self::CallsWithoutExit,
    ];

    /// What reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SyscallsRelayed => "system calls relayed",
            Self::SyscallsEmulated => "system calls emulated",
            Self::VmExits => "vm exits",
            Self::PageFaultExits => "page-fault exits",
            Self::RingFullExits => "ring-full exits",
            Self::Signals => "signals",
            Self::ThreadsStarted => "threads started",
            Self::Vcpus => "vcpus",
            Self::StretchedTicks => "stretched ticks",
            Self::KernelBytes => "bytes written by the kernel",
            Self::UnknownCalls => "calls with unknown writes",
            Self::CallsWithoutExit => "calls without an exit",
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// It exited with this status, 0 to 255.
    Exited(u8),
    /// This signal killed it.
    Signaled(u8),
    /// It executes another program, which is wrapped, too: the process goes on with another segment of the
    /// same name.
    Replaced,
    /// It executes another program, which is not wrapped: one with rights of its own, one that vmmload
    /// cannot wrap, or one that was asked to run natively. The process goes on without a segment.
    Native,
}

/// A process, whatever becomes of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since boot (proc_pid_stat(5), field 22).
    pub start: u64,
}

impl End {
    /// The status a shell would show: the exit status, or 128 plus the signal; `None` where the process goes
    /// on.
    pub fn shell_status(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(i32::from(code)),
            Self::Signaled(signal) => Some(128 + i32::from(signal)),
            Self::Replaced | Self::Native => None,
        }
    }

    pub(crate) fn to_word(self) -> u64 {
        match self {
            Self::Exited(code) => 1 << 32 | u64::from(code),
            Self::Signaled(signal) => 2 << 32 | u64::from(signal),
            Self::Replaced => 3 << 32,
            Self::Native => 4 << 32,
        }
    }

    /// `None` while the process runs. A state this version does not know reads as an exit, since only
    /// an ended process ever leaves zero.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let value = word as u8;
        match word >> 32 {
            0 => None,
            2 => Some(Self::Signaled(value)),
            3 => Some(Self::Replaced),
            4 => Some(Self::Native),
            _ => Some(Self::Exited(value)),
        }
    }
}
