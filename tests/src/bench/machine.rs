//! What the figures depend on: processor, kernel, memory, and how this KVM behaves.

use std::fs;
use std::thread;

use serde::Serialize;

use super::bare_exit::ExitMeter;
use super::runner::Runner;

/// The facts printed above the table and kept in the JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) kernel: String,
    pub(crate) memory_mib: u64,
    pub(crate) transparent_huge_pages: String,
    pub(crate) load_average: String,
    pub(crate) vmmload: String,
    pub(crate) kvm: KvmBehaviour,
}

/// KVM by what it does, as no name says how an exit is made.
#[derive(Debug, Serialize)]
pub(crate) struct KvmBehaviour {
    /// After the exit of a port write.
    pub(crate) rip_is_behind_port_write: Option<bool>,
    /// Where `syscall` arrives at LSTAR: 0 on hardware, 3 where ring 0 is emulated.
    pub(crate) ring_of_call_stub: Option<u8>,
    /// Why nothing is known.
    pub(crate) error: Option<String>,
}

/// Looks at this machine.
pub(crate) fn facts(runner: &Runner) -> Machine {
    let kib = field("/proc/meminfo", "MemTotal")
        .and_then(|line| number(&line))
        .unwrap_or(0);
    Machine {
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
        cpus: thread::available_parallelism().map_or(1, usize::from),
        kernel: read("/proc/sys/kernel/osrelease"),
        memory_mib: kib / 1024,
        transparent_huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled"),
        load_average: read("/proc/loadavg"),
        vmmload: runner.vmmload.display().to_string(),
        kvm: behaviour().unwrap_or_else(|error| KvmBehaviour {
            rip_is_behind_port_write: None,
            ring_of_call_stub: None,
            error: Some(error),
        }),
    }
}

fn behaviour() -> Result<KvmBehaviour, String> {
    let mut meter = ExitMeter::new()?;
    Ok(KvmBehaviour {
        rip_is_behind_port_write: Some(meter.rip_is_behind_port_write()?),
        ring_of_call_stub: Some(meter.ring_of_call_stub()?),
        error: None,
    })
}

impl KvmBehaviour {
    /// In words.
    pub(crate) fn describe(&self) -> String {
        match (
            &self.error,
            self.rip_is_behind_port_write,
            self.ring_of_call_stub,
        ) {
            (Some(error), ..) => format!("unknown, {error}"),
            (None, Some(behind), Some(ring)) => {
                let place = if behind { "behind" } else { "at" };
                format!("syscall stub in ring {ring}; RIP {place} a port write after its exit")
            }
            _ => "unknown".into(),
        }
    }
}

/// The trimmed text of a small file, or nothing.
fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// What follows `name` and a colon in a file of such lines.
pub(crate) fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The number that a text begins with ("123 kB").
pub(crate) fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}
