//! Judges the facts: what is well, what could be better, what stands in the way, and what to do.

use super::facts::Facts;
use super::{kvm_findings, system_findings};

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// Programs run, but something costs more or shows less than it could.
    Note,
    /// `vmmload run` does not work, or not rightly.
    Problem,
}

/// One judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Heading that it belongs under.
    pub section: &'static str,
    /// What it is about, in a word or two.
    pub topic: String,
    /// What was found.
    pub what: String,
    /// How to take it.
    pub state: State,
    /// What to do, where something can be done.
    pub remedy: Option<String>,
}

/// Findings under one heading, as they are made.
pub(super) struct Section {
    name: &'static str,
    findings: Vec<Finding>,
}

impl Section {
    /// An empty one.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            findings: Vec::new(),
        }
    }

    /// Something is as it should be.
    pub(super) fn ok(&mut self, topic: &str, what: impl Into<String>) {
        self.add(topic, what.into(), State::Ok, None);
    }

    /// Something could be better.
    pub(super) fn note(&mut self, topic: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(topic, what.into(), State::Note, Some(remedy.into()));
    }

    /// Something stands in the way.
    pub(super) fn problem(
        &mut self,
        topic: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(topic, what.into(), State::Problem, Some(remedy.into()));
    }

    /// A probe came to nothing. `state` says whether `run` needs its outcome.
    pub(super) fn failed(&mut self, topic: &str, reason: &str, state: State) {
        let remedy = "Check the kernel log (dmesg) for what KVM says".to_owned();
        let what = format!("could not be found out: {reason}");
        self.add(topic, what, state, Some(remedy));
    }

    fn add(&mut self, topic: &str, what: String, state: State, remedy: Option<String>) {
        self.findings.push(Finding {
            section: self.name,
            topic: topic.to_owned(),
            what,
            state,
            remedy,
        });
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.findings.len()
    }

    /// All of them.
    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

/// All findings, section by section.
pub(super) fn of(facts: &Facts) -> Vec<Finding> {
    let sections = [
        kvm_findings::kvm(facts),
        kvm_findings::tracking(facts),
        system_findings::programs(facts),
        system_findings::system(facts),
    ];
    sections
        .into_iter()
        .flat_map(Section::into_findings)
        .collect()
}

/// Nanoseconds for people, three digits at least where there are as many.
pub(super) fn display_ns(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..100_000 => format!("{:.1} us", ns as f64 / 1e3),
        100_000..1_000_000 => format!("{} us", ns / 1_000),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

/// Bytes for people.
pub(super) fn display_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Values written once for all tests of findings.
#[cfg(test)]
pub(super) mod testing {
    use super::super::facts::{Facts, VmFacts};
    use super::super::surroundings::{Limits, Modules};
    use super::{Finding, Section};
    use crate::guest::boot::{CpuFeatures, XState};
    use crate::kvm::caps::Caps;
    use crate::probes::paging::Paging;
    use crate::probes::port_exit::PortExitRip;
    use crate::probes::rearm::{self, Rearm};
    use crate::probes::syscall_entry::SyscallEntry;
    use crate::probes::tsc::GuestTsc;
    use crate::probes::write_log::{Evidence, Outcome, WriteLog};

    /// A machine on which nothing could be better.
    pub(in super::super) fn good() -> Facts {
        let xstate = XState {
            features: 0xe7,
            size: 2696,
        };
        let vm = VmFacts {
            tsc_offset: true,
            cpu: CpuFeatures {
                xstate,
                fsgsbase: true,
            },
            physical_bits: 46,
            syscall_entry: Ok(SyscallEntry::Ring0),
            exit_ns: Ok(1_200),
            write_log: Ok(Outcome {
                log: WriteLog::Hardware,
                evidence: Evidence::Count(0),
                armed_store_ns: 90,
            }),
            reads: Ok(rearm::Outcome {
                rearm: Rearm::Flush,
                access_ns: 60,
            }),
            paging: Ok(Paging::Nested),
            port_exit_rip: Ok(PortExitRip::At),
            tsc: Ok(GuestTsc::Host),
        };
        Facts {
            kernel: "6.1.0-28-amd64".into(),
            problem: None,
            caps: Some(Caps {
                max_vcpus: 1024,
                max_slots: 32_764,
                max_ring_bytes: 1 << 20,
                spared_exits: 0,
            }),
            vm: Some(vm),
            modules: Modules::new(),
            limits: Limits::default(),
            shared_memory: Ok(1 << 30),
        }
    }

    /// The one finding about `topic`.
    pub(in super::super) fn about(section: Section, topic: &str) -> Finding {
        let mut found: Vec<Finding> = section.into_findings();
        found.retain(|finding| finding.topic == topic);
        assert_eq!(found.len(), 1, "{topic}: {found:?}");
        found.remove(0)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::good;
    use super::*;

    #[test]
    fn nothing_is_said_against_a_good_machine() {
        for finding in of(&good()) {
            assert_eq!(finding.state, State::Ok, "{finding:?}");
            assert_eq!(finding.remedy, None);
        }
    }

    #[test]
    fn quantities_are_short() {
        assert_eq!(display_ns(90), "90 ns");
        assert_eq!(display_ns(25_349), "25.3 us");
        assert_eq!(display_ns(250_000), "250 us");
        assert_eq!(display_ns(2_500_000), "2.5 ms");
        assert_eq!(display_bytes(512), "0.5 KiB");
        assert_eq!(display_bytes(64 << 20), "64 MiB");
        assert_eq!(display_bytes(8 << 40), "8.0 TiB");
    }
}
