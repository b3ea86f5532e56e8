//! Gathers the facts. Nothing here fails: what cannot be found out is a fact as well.

use std::fmt::Display;

use super::surroundings::{self, Limits, Modules};
use crate::guest::boot::{self, CpuFeatures};
use crate::kvm::caps::{self, Caps};
use crate::kvm::dirty_ring::{DirtyRing, ENTRY_BYTES};
use crate::kvm::tsc as tsc_control;
use crate::kvm::vcpu::Vcpu;
use crate::kvm::vm::CreateVmError;
use crate::machine::{Machine, Tracking};
use crate::probes::paging::Paging;
use crate::probes::port_exit::PortExitRip;
use crate::probes::syscall_entry::SyscallEntry;
use crate::probes::tsc::GuestTsc;
use crate::probes::{exit_cost, paging, port_exit, rearm, syscall_entry, tsc, write_log};

/// Dirty-ring entries that `run` asks for unless told otherwise.
pub(crate) const DEFAULT_RING: u32 = 65_536;

/// A fact, or the reason why there is none.
pub(crate) type Found<T> = Result<T, String>;

/// All facts.
pub(crate) struct Facts {
    /// As `uname -r` has it.
    pub kernel: String,
    /// Why no program can run, if KVM gives a reason; with what to do.
    pub problem: Option<String>,
    /// What KVM offers; None where it cannot be opened.
    pub caps: Option<Caps>,
    /// What a VM shows; None where there can be none.
    pub vm: Option<VmFacts>,
    /// KVM's modules and their parameters.
    pub modules: Modules,
    /// Resource limits.
    pub limits: Limits,
    /// Bytes left in /dev/shm.
    pub shared_memory: Found<u64>,
}

/// What a VM with one vCPU shows.
#[derive(Debug, Clone)]
pub(crate) struct VmFacts {
    /// Whether the offset of a vCPU's time-stamp counter can be set.
    pub tsc_offset: bool,
    /// What programs see of the processor.
    pub cpu: CpuFeatures,
    /// Guest-physical address bits.
    pub physical_bits: u32,
    /// See `probes::syscall_entry`.
    pub syscall_entry: Found<SyscallEntry>,
    /// See `probes::exit_cost`.
    pub exit_ns: Found<u64>,
    /// See `probes::write_log`.
    pub write_log: Found<write_log::Outcome>,
    /// See `probes::rearm`.
    pub reads: Found<rearm::Outcome>,
    /// See `probes::paging`.
    pub paging: Found<Paging>,
    /// See `probes::port_exit`.
    pub port_exit_rip: Found<PortExitRip>,
    /// See `probes::tsc`.
    pub tsc: Found<GuestTsc>,
}

/// Entries of the largest dirty ring.
pub(crate) fn ring_entries(caps: &Caps) -> u32 {
    caps.max_ring_bytes / ENTRY_BYTES
}

/// Finds out everything.
pub(crate) fn gather() -> Facts {
    let mut facts = Facts {
        kernel: surroundings::kernel_release(),
        problem: None,
        caps: None,
        vm: None,
        modules: surroundings::modules(),
        limits: surroundings::limits(),
        shared_memory: said(surroundings::shared_memory()),
    };
    let (kvm, caps) = match caps::open() {
        Ok(opened) => opened,
        Err(e) => {
            facts.problem = Some(e.to_string());
            return facts;
        }
    };
    facts.caps = Some(caps);
    let tracking = Tracking {
        ring_entries: ring_entries(&caps).min(DEFAULT_RING),
        reads: true,
    };
    match Machine::create(&kvm, caps, tracking, None) {
        Ok(machine) => match Vcpu::create(machine, 0) {
            Ok((vcpu, ring)) => facts.vm = Some(probe(machine, vcpu, ring)),
            Err(e) => {
                facts.problem = Some(format!(
                    "a vCPU cannot be set up: {e}. Check the kernel log (dmesg) for what KVM says"
                ));
            }
        },
        Err(e) => facts.problem = Some(CreateVmError::to_string(&e)),
    }
    facts
}

fn probe(machine: &'static Machine, mut vcpu: Vcpu, ring: Option<DirtyRing>) -> VmFacts {
    let vcpu = &mut vcpu;
    // First, as in `run`: the vCPU then knows how to return from a call, and has run once.
    let entry = said(syscall_entry::find(vcpu));
    if let Ok(entry) = entry {
        let _ = machine.entry.set(entry);
    }
    VmFacts {
        tsc_offset: tsc_control::has_offset(vcpu),
        cpu: machine.cpu(),
        physical_bits: boot::physical_bits(machine.vm.cpuid()),
        syscall_entry: entry,
        exit_ns: said(exit_cost::measure(vcpu)),
        write_log: match ring {
            Some(mut ring) => said(write_log::find(vcpu, &mut ring)),
            None => Err("this KVM has no dirty ring".to_owned()),
        },
        reads: said(rearm::find(vcpu)),
        paging: said(paging::find(vcpu)),
        port_exit_rip: said(port_exit::find(vcpu)),
        tsc: said(tsc::find(vcpu)),
    }
}

fn said<T, E: Display>(result: Result<T, E>) -> Found<T> {
    result.map_err(|e| e.to_string())
}
