//! This machine's KVM as the kernel shows it: its module, its parameters, and what it counts.

use std::fs;
use std::ops::Sub;
use std::path::Path;

use serde::Serialize;

/// The module that does the work beneath `kvm`, as in `/sys/module`: `kvm_intel`, `kvm_amd` ...
#[must_use]
pub fn module() -> Option<String> {
    let modules = fs::read_dir("/sys/module").ok()?;
    let mut names: Vec<String> = modules
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("kvm_"))
        .collect();
    names.sort();
    (!names.is_empty()).then(|| names.join(", "))
}

/// A parameter of a module: `parameter("kvm_intel", "pml")`.
#[must_use]
pub fn parameter(module: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/sys/module/{module}/parameters/{name}")).ok()?;
    Some(text.trim().to_owned())
}

/// The machine that a rig emulates, where the tests run in one: `amd` or `intel`.
#[must_use]
pub fn rig() -> Option<String> {
    std::env::var("VMMLOAD_RIG")
        .ok()
        .filter(|name| !name.is_empty())
}

/// What KVM has counted of the VMs of one process, all vCPUs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Times that the processor left the guest, for whatever reason: also for what KVM settles itself.
    pub exits: u64,
    /// Page faults among them that KVM had to look at: for memory that is not mapped yet or armed.
    pub faults: u64,
    /// Those among the exits that an interrupt of the machine caused, as timers do at any time.
    pub interrupts: u64,
}

impl Counters {
    /// Exits that the program itself caused. Where the processor logs pages by itself, fewer than there
    /// would be without interrupts: each exit empties the log, and saves one for a full log.
    #[must_use]
    pub fn own_exits(&self) -> u64 {
        self.exits.saturating_sub(self.interrupts)
    }

    /// Of the process's VMs; `None` where debugfs is not mounted, or this KVM shows nothing in it.
    #[must_use]
    pub fn of(pid: libc::pid_t) -> Option<Self> {
        let prefix = format!("{pid}-");
        let sums = fs::read_dir("/sys/kernel/debug/kvm")
            .ok()?
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .filter_map(|entry| Self::in_directory(&entry.path()));
        sums.reduce(|sum, vm| Self {
            exits: sum.exits + vm.exits,
            faults: sum.faults + vm.faults,
            interrupts: sum.interrupts + vm.interrupts,
        })
    }

    fn in_directory(vm: &Path) -> Option<Self> {
        let number = |name| {
            fs::read_to_string(vm.join(name))
                .ok()?
                .trim()
                .parse::<u64>()
                .ok()
        };
        Some(Self {
            exits: number("exits")?,
            faults: number("pf_taken")?,
            interrupts: number("irq_exits")?,
        })
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            exits: self.exits - earlier.exits,
            faults: self.faults - earlier.faults,
            interrupts: self.interrupts - earlier.interrupts,
        }
    }
}
