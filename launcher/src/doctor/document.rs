//! The facts as JSON, for programs. Tests and scripts rely on the names.

use serde_json::{Map, Value, json};

use super::facts::{Facts, Found, VmFacts, ring_entries};
use crate::probes::paging::Paging;
use crate::probes::port_exit::PortExitRip;
use crate::probes::rearm::Rearm;
use crate::probes::syscall_entry::SyscallEntry;
use crate::probes::tsc::GuestTsc;
use crate::probes::write_log::{ARMED_PAGES, Evidence, WriteLog};

/// The members that hold facts.
pub(crate) fn of(facts: &Facts) -> Map<String, Value> {
    let caps = facts.caps.as_ref();
    let vm = facts.vm.as_ref();
    let members = json!({
        "kernel": facts.kernel,
        "kvm": {
            "problem": facts.problem,
            "max_vcpus": caps.map(|caps| caps.max_vcpus),
            "max_slots": caps.map(|caps| caps.max_slots),
            "dirty_ring_entries": caps.map(ring_entries),
            "tsc_offset": vm.map(|vm| vm.tsc_offset),
        },
        "modules": facts.modules,
        "probes": probes(vm),
        "limits": {
            "descriptors": facts.limits.descriptors,
            "address_space": facts.limits.address_space,
            "threads": facts.limits.threads,
            "file_size": facts.limits.file_size,
            "shared_memory_free": facts.shared_memory.as_ref().ok(),
        },
        "features": vm.map(features),
    });
    match members {
        Value::Object(members) => members,
        _ => unreachable!("an object was written"),
    }
}

fn features(vm: &VmFacts) -> Value {
    json!({
        "xcr0": format!("{:#x}", vm.cpu.xstate.features),
        "xsave_bytes": vm.cpu.xstate.size,
        "fsgsbase": vm.cpu.fsgsbase,
        "physical_address_bits": vm.physical_bits,
    })
}

fn probes(vm: Option<&VmFacts>) -> Value {
    fn found<T: Copy>(
        vm: Option<&VmFacts>,
        probe: impl Fn(&VmFacts) -> &Found<T>,
        shown: impl Fn(T) -> Value,
    ) -> Value {
        let outcome = vm.and_then(|vm| probe(vm).as_ref().ok().copied());
        outcome.map_or(Value::Null, shown)
    }
    json!({
        "syscall_entry": found(vm, |vm| &vm.syscall_entry, |entry| match entry {
            SyscallEntry::Ring0 => "ring0".into(),
            SyscallEntry::Ring3 => "ring3".into(),
        }),
        "write_log": found(vm, |vm| &vm.write_log, |outcome| match outcome.log {
            WriteLog::Hardware => "hardware".into(),
            WriteLog::Fault => "fault".into(),
        }),
        "write_log_evidence": found(vm, |vm| &vm.write_log, |outcome| match outcome.evidence {
            Evidence::Count(_) => "count".into(),
            Evidence::Time => "time".into(),
        }),
        "paging": found(vm, |vm| &vm.paging, |paging| match paging {
            Paging::Nested => "nested".into(),
            Paging::Shadow => "shadow".into(),
        }),
        "rearm_reads": found(vm, |vm| &vm.reads, |outcome| match outcome.rearm {
            Rearm::Flush => "flush".into(),
            Rearm::Drop => "drop".into(),
        }),
        "armed_load_ns": found(vm, |vm| &vm.reads, |outcome| outcome.access_ns.into()),
        "port_exit_rip": found(vm, |vm| &vm.port_exit_rip, |rip| match rip {
            PortExitRip::At => "at".into(),
            PortExitRip::Behind => "behind".into(),
        }),
        "tsc": found(vm, |vm| &vm.tsc, |tsc| match tsc {
            GuestTsc::Host => "host".into(),
            GuestTsc::Other => "other".into(),
        }),
        "exit_ns": found(vm, |vm| &vm.exit_ns, Value::from),
        "exits_per_armed_store": found(vm, |vm| &vm.write_log, |outcome| match outcome.evidence {
            Evidence::Count(exits) => (exits as f64 / ARMED_PAGES as f64).into(),
            Evidence::Time => Value::Null,
        }),
        "armed_store_ns": found(vm, |vm| &vm.write_log, |outcome| outcome.armed_store_ns.into()),
    })
}
