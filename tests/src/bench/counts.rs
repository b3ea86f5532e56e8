//! `--counts`: exits, faults and write events instead of times, where this KVM counts.

use std::path::Path;

use serde::Serialize;
use vmmload_tests::counts::{self, Calls, Cost, Rewrite};
use vmmload_tests::kvm;

use super::bare_exit::ExitMeter;
use super::machine::Machine;
use super::options::Options;
use super::report;

/// Everything that is told.
#[derive(Serialize)]
struct Counts {
    machine: Machine,
    /// As in `/sys/module`.
    kvm_module: Option<String>,
    /// The machine that is emulated, where one is.
    rig: Option<String>,
    calls: Calls,
    rewrite: Rewrite,
    /// Seconds of the same rewrite with tracking off.
    untracked_seconds: f64,
    /// Nanoseconds of the bare exit of this KVM, measured beside the rewrite.
    bare_exit_ns: f64,
}

/// Measures, prints the table, and writes the JSON.
pub(crate) fn run(machine: Machine, options: &Options) -> Result<(), String> {
    let pages = options.pages.unwrap_or(options.size(100_000, 4_000));
    let counts = Counts {
        machine,
        kvm_module: kvm::module(),
        rig: kvm::rig(),
        calls: counts::calls(),
        rewrite: counts::rewrite(pages),
        untracked_seconds: counts::untracked_rewrite_seconds(pages),
        bare_exit_ns: ExitMeter::new()?.port_write_ns()?,
    };
    let to_stderr = options.json.as_deref() == Some(Path::new("-"));
    for line in counts.table() {
        match to_stderr {
            true => eprintln!("{line}"),
            false => println!("{line}"),
        }
    }
    match &options.json {
        Some(path) => report::write_json(&counts, path),
        None => Ok(()),
    }
}

impl Counts {
    fn table(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "{}, Linux {}, {}{}",
                self.machine.cpu,
                self.machine.kernel,
                self.kvm_module.as_deref().unwrap_or("no KVM module"),
                self.rig
                    .as_ref()
                    .map_or(String::new(), |rig| format!(", emulated for the rig {rig}")),
            ),
            self.calls_line(),
        ];
        lines.extend(self.rewrite_lines());
        lines.push(line(
            "write events of the rewrite",
            &self.rewrite.armed.events.to_string(),
            &format!("of {} pages, counted by vmmload", self.rewrite.pages),
        ));
        lines
    }

    fn calls_line(&self) -> String {
        let Calls { calls, with, .. } = self.calls;
        let by = match with.kvm {
            Some(_) => "counted by KVM",
            None => "exits to user space, counted by vmmload: KVM counts nothing",
        };
        let exits = self.calls.exits();
        line(
            "exits per system call",
            &per(exits, calls),
            &format!("{exits} for {calls} calls; {by}"),
        )
    }

    fn rewrite_lines(&self) -> Vec<String> {
        let Rewrite { pages, armed, .. } = &self.rewrite;
        let Some(kvm) = armed.kvm else {
            return vec![self.time_line(armed)];
        };
        vec![
            line(
                "exits per rewritten page",
                &per(kvm.own_exits(), *pages),
                &format!(
                    "{} for {pages} pages, and {} for interrupts; counted by KVM",
                    kvm.own_exits(),
                    kvm.interrupts
                ),
            ),
            line(
                "page faults per rewritten page",
                &per(kvm.faults, *pages),
                &format!("{} for {pages} pages; counted by KVM", kvm.faults),
            ),
        ]
    }

    /// Instead of a count: what a page's store costs when it is armed, beyond one that is not.
    fn time_line(&self, armed: &Cost) -> String {
        let ns = (armed.seconds - self.untracked_seconds) * 1e9 / self.rewrite.pages as f64;
        line(
            "time per rewritten page, in bare exits",
            &format!("{:.3}", ns / self.bare_exit_ns),
            &format!(
                "{:.2} us, where an exit to user space takes {:.2} us; measured, as KVM counts nothing",
                ns / 1e3,
                self.bare_exit_ns / 1e3
            ),
        )
    }
}

fn per(count: u64, of: u64) -> String {
    format!("{:.4}", count as f64 / of as f64)
}

fn line(name: &str, figure: &str, how: &str) -> String {
    format!("  {name:<40} {figure:>10}  ({how})")
}
