//! Findings about KVM: whether a VM can be had, what it costs, how it tells what was written.

use super::facts::{DEFAULT_RING, Facts, VmFacts, ring_entries};
use super::findings::{Section, State, display_bytes, display_ns};
use super::surroundings::Modules;
use crate::guest::arena::Arena;
use crate::guest::layout::{CHUNK, CHUNKS_BASE};
use crate::kvm::caps::Caps;
use crate::probes::paging::Paging;
use crate::probes::port_exit::PortExitRip;
use crate::probes::rearm::{Outcome, Rearm};
use crate::probes::syscall_entry::SyscallEntry;
use crate::probes::tsc::GuestTsc;
use crate::probes::write_log::{ARMED_PAGES, Evidence, WriteLog};

/// An exit that takes longer than this is worth a word: it is several times what hardware needs.
const LONG_EXIT_NS: u64 = 5_000;

/// Fewer threads than this are soon used up.
const FEW_VCPUS: u32 = 64;

/// Whether there can be a VM, and what it is like.
pub(super) fn kvm(facts: &Facts) -> Section {
    let mut section = Section::new("KVM");
    match &facts.problem {
        None => section.ok("/dev/kvm", "this user may make VMs"),
        Some(problem) => {
            // Every such message says what is the matter, and then what to do.
            let (what, remedy) = problem.split_once(". ").unwrap_or((problem, ""));
            section.problem("/dev/kvm", what, remedy);
        }
    }
    if let Some(caps) = &facts.caps {
        vcpus(&mut section, caps);
        slots(&mut section, caps, facts.vm.as_ref());
    }
    if let Some(vm) = &facts.vm {
        calls(&mut section, vm);
        paging(&mut section, vm, &facts.modules);
        reads(&mut section, vm);
        clock(&mut section, vm);
    }
    section
}

fn vcpus(section: &mut Section, caps: &Caps) {
    let most = caps.max_vcpus;
    let what = format!("at most {most} in one program (vCPUs)");
    match most {
        ..FEW_VCPUS => section.note(
            "threads",
            what,
            "Programs with more threads need a host whose KVM allows more vCPUs",
        ),
        _ => section.ok("threads", what),
    }
}

fn slots(section: &mut Section, caps: &Caps, vm: Option<&VmFacts>) {
    let mut chunks = u64::from(caps.max_slots.saturating_sub(Arena::MAX_SLOTS));
    if let Some(vm) = vm {
        let end = 1u64 << vm.physical_bits.min(52);
        chunks = chunks.min(end.saturating_sub(CHUNKS_BASE.0) / CHUNK);
    }
    let what = format!(
        "{} slots, one for each {} touched: {} in one program",
        caps.max_slots,
        display_bytes(CHUNK),
        display_bytes(chunks.saturating_mul(CHUNK))
    );
    section.ok("memory", what);
}

fn calls(section: &mut Section, vm: &VmFacts) {
    match &vm.syscall_entry {
        Ok(entry) => {
            let ring = match entry {
                SyscallEntry::Ring0 => "ring 0, as the manual says, and return by sysretq",
                SyscallEntry::Ring3 => "ring 3, with the program's rights, and return by registers",
            };
            section.ok("system calls", format!("arrive in {ring}"));
        }
        Err(reason) => section.failed("system calls", reason, State::Problem),
    }
    match &vm.exit_ns {
        Ok(ns) => {
            let what = format!(
                "{} to user space and back: the price of a system call",
                display_ns(*ns)
            );
            match *ns {
                0..LONG_EXIT_NS => section.ok("exit", what),
                _ => section.note(
                    "exit",
                    what,
                    "Programs that mostly make system calls run slowly here. It is about 1 us where \
                     KVM has the processor's virtualisation for itself, and not within another VM",
                ),
            }
        }
        Err(reason) => section.failed("exit", reason, State::Problem),
    }
    match &vm.port_exit_rip {
        Ok(PortExitRip::At) => section.ok("port exit", "RIP is at the `out`"),
        Ok(PortExitRip::Behind) => section.ok("port exit", "RIP is behind the `out`"),
        Err(reason) => section.failed("port exit", reason, State::Note),
    }
}

fn paging(section: &mut Section, vm: &VmFacts, modules: &Modules) {
    match &vm.paging {
        Ok(Paging::Nested) => match module_without(modules, "tdp_mmu") {
            None => section.ok("paging", "nested: the processor walks both tables"),
            Some(module) => section.note(
                "paging",
                "nested, but KVM serves one page fault at a time",
                format!("Boot the host with {module}.tdp_mmu=1, or reload its modules with it"),
            ),
        },
        Ok(Paging::Shadow) => section.note(
            "paging",
            "shadow: KVM keeps tables of its own, so each first touch of a page costs more",
            nested_remedy(modules),
        ),
        Err(reason) => section.failed("paging", reason, State::Note),
    }
}

fn reads(section: &mut Section, vm: &VmFacts) {
    match &vm.reads {
        Ok(Outcome {
            rearm: Rearm::Flush,
            access_ns,
        }) => section.ok(
            "reads",
            format!(
                "seen by accessed bits, armed by a flush: {} a page and epoch",
                display_ns(*access_ns)
            ),
        ),
        Ok(Outcome {
            rearm: Rearm::Drop,
            access_ns,
        }) => section.note(
            "reads",
            format!(
                "seen by accessed bits, armed by dropping KVM's tables: {} a page and epoch",
                display_ns(*access_ns)
            ),
            "Watching reads (--track readwrite) slows programs down here; longer epochs (-i 1s) help, \
             and a KVM with nested paging",
        ),
        Err(reason) => section.failed("reads", reason, State::Note),
    }
}

fn nested_remedy(modules: &Modules) -> String {
    let switched_off = ["ept", "npt"].into_iter().find_map(|parameter| {
        let module = module_without(modules, parameter)?;
        Some(format!(
            "{module} has nested paging off. If this processor has it, as root and with no VM \
             running: {}",
            reload(module, &format!("{parameter}=1"))
        ))
    });
    switched_off.unwrap_or_else(|| {
        "A KVM with nested paging (EPT, NPT) avoids it; for a VM, have its host enable nested \
         virtualisation"
            .to_owned()
    })
}

/// The module that says that it runs without `parameter`.
fn module_without<'a>(modules: &'a Modules, parameter: &str) -> Option<&'a str> {
    let off = |value: &String| matches!(value.as_str(), "N" | "0");
    let module = modules
        .iter()
        .find(|(_, parameters)| parameters.get(parameter).is_some_and(off));
    module.map(|(name, _)| name.as_str())
}

fn reload(module: &str, parameters: &str) -> String {
    format!("modprobe -r {module} && modprobe {module} {parameters}")
}

fn clock(section: &mut Section, vm: &VmFacts) {
    let how = match vm.tsc_offset {
        true => "its offset can be set",
        false => "it is not virtualised",
    };
    match &vm.tsc {
        Ok(GuestTsc::Host) => section.ok(
            "clock",
            format!("the guest reads the host's time-stamp counter; {how}"),
        ),
        Ok(GuestTsc::Other) => section.problem(
            "clock",
            "the guest's time-stamp counter is not the host's, so clocks are wrong inside",
            "Use Linux 5.16 or later on the host (KVM_VCPU_TSC_OFFSET), and a processor or host \
             VM that does not scale the counter",
        ),
        Err(reason) => section.failed("clock", reason, State::Note),
    }
}

/// What there is for noting writes.
pub(super) fn tracking(facts: &Facts) -> Section {
    let mut section = Section::new("Tracking");
    if let Some(caps) = &facts.caps {
        ring(&mut section, ring_entries(caps), &facts.kernel);
    }
    match facts.vm.as_ref().map(|vm| &vm.write_log) {
        None => {}
        Some(Ok(outcome)) => {
            let evidence = match outcome.evidence {
                Evidence::Count(exits) => format!("KVM counts {exits} for {ARMED_PAGES} pages"),
                Evidence::Time => "by the time it takes".to_owned(),
            };
            let cost = display_ns(outcome.armed_store_ns);
            match outcome.log {
                WriteLog::Hardware => section.ok(
                    "write log",
                    format!(
                        "the processor's (PML), no fault, {cost} for each page and epoch; {evidence}"
                    ),
                ),
                WriteLog::Fault => section.note(
                    "write log",
                    format!("a fault, {cost} for each page written and epoch; {evidence}"),
                    log_remedy(&facts.modules),
                ),
            }
        }
        Some(Err(reason)) => section.failed("write log", reason, State::Note),
    }
    section
}

fn ring(section: &mut Section, entries: u32, kernel: &str) {
    match entries {
        0 => section.problem(
            "dirty ring",
            format!("this KVM has none (KVM_CAP_DIRTY_LOG_RING_ACQ_REL; Linux {kernel})"),
            "Use Linux 6.1 or later on the host. Without it, programs run with --track none",
        ),
        1..DEFAULT_RING => section.problem(
            "dirty ring",
            format!("at most {entries} entries for each thread, not the usual {DEFAULT_RING}"),
            format!("Run with --buffer {entries}"),
        ),
        _ => section.ok(
            "dirty ring",
            format!("up to {entries} entries for each thread (--buffer)"),
        ),
    }
}

fn log_remedy(modules: &Modules) -> String {
    match module_without(modules, "pml") {
        Some(module) => format!(
            "{module} has pml=N. If this processor has PML (Intel, since Broadwell), as root and \
             with no VM running: {}",
            reload(module, "pml=1 ept=1 eptad=1")
        ),
        None => "Longer epochs cost less (--interval 1s). A processor with PML (Intel, since \
                 Broadwell) takes no fault; for a VM, have its host pass PML on"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Finding;
    use super::super::findings::testing::{about, good};
    use super::*;
    use crate::kvm::caps::OpenKvmError;

    fn vm(facts: &mut Facts) -> &mut VmFacts {
        facts.vm.as_mut().unwrap()
    }

    fn module(name: &str, parameter: &str, value: &str) -> Modules {
        let parameters = [(parameter.to_owned(), value.to_owned())];
        Modules::from([(name.to_owned(), parameters.into())])
    }

    fn remedy(finding: &Finding, state: State) -> &str {
        assert_eq!(finding.state, state, "{finding:?}");
        finding.remedy.as_deref().unwrap()
    }

    #[test]
    fn a_device_that_cannot_be_opened_is_a_problem_with_its_own_remedy() {
        for error in [
            OpenKvmError::Missing,
            OpenKvmError::Denied,
            OpenKvmError::Open(std::io::Error::from_raw_os_error(libc::EBUSY)),
            OpenKvmError::ApiVersion(-1),
        ] {
            let mut facts = good();
            facts.problem = Some(error.to_string());
            (facts.caps, facts.vm) = (None, None);
            let finding = about(kvm(&facts), "/dev/kvm");
            assert!(!remedy(&finding, State::Problem).is_empty());
            assert!(error.to_string().starts_with(&finding.what));
            assert!(tracking(&facts).into_findings().is_empty());
        }
    }

    #[test]
    fn faults_are_a_note_that_names_the_parameter_where_it_is_off() {
        let mut facts = good();
        vm(&mut facts).write_log.as_mut().unwrap().log = WriteLog::Fault;
        let finding = about(tracking(&facts), "write log");
        assert!(remedy(&finding, State::Note).contains("--interval"));
        facts.modules = module("kvm_intel", "pml", "N");
        let finding = about(tracking(&facts), "write log");
        assert!(remedy(&finding, State::Note).contains("modprobe kvm_intel pml=1"));
    }

    #[test]
    fn shadow_paging_is_a_note_that_names_the_parameter_where_it_is_off() {
        let mut facts = good();
        vm(&mut facts).paging = Ok(Paging::Shadow);
        assert!(remedy(&about(kvm(&facts), "paging"), State::Note).contains("EPT"));
        facts.modules = module("kvm", "tdp_mmu", "N");
        assert!(about(kvm(&facts), "paging").what.starts_with("shadow"));
        facts.modules = module("kvm_amd", "npt", "0");
        let finding = about(kvm(&facts), "paging");
        assert!(remedy(&finding, State::Note).contains("modprobe kvm_amd npt=1"));
    }

    #[test]
    fn a_counter_of_its_own_makes_the_clock_wrong() {
        let mut facts = good();
        vm(&mut facts).tsc = Ok(GuestTsc::Other);
        let finding = about(kvm(&facts), "clock");
        assert!(remedy(&finding, State::Problem).contains("KVM_VCPU_TSC_OFFSET"));
    }

    #[test]
    fn a_ring_that_is_missing_or_small_says_which_option_helps() {
        let mut facts = good();
        facts.caps.as_mut().unwrap().max_ring_bytes = 0;
        let finding = about(tracking(&facts), "dirty ring");
        assert!(remedy(&finding, State::Problem).contains("6.1"));
        facts.caps.as_mut().unwrap().max_ring_bytes = 4096 * 16;
        let finding = about(tracking(&facts), "dirty ring");
        assert_eq!(remedy(&finding, State::Problem), "Run with --buffer 4096");
    }

    #[test]
    fn a_failed_probe_is_a_problem_only_where_run_needs_it() {
        let mut facts = good();
        let vm = vm(&mut facts);
        vm.syscall_entry = Err("it hangs".into());
        vm.paging = Err("it hangs".into());
        for (topic, state) in [("system calls", State::Problem), ("paging", State::Note)] {
            let finding = about(kvm(&facts), topic);
            assert_eq!(finding.state, state);
            assert!(finding.what.contains("it hangs"));
        }
    }

    #[test]
    fn memory_is_bounded_by_slots_and_by_physical_addresses() {
        let mut facts = good();
        assert!(about(kvm(&facts), "memory").what.contains("7.9 TiB"));
        vm(&mut facts).physical_bits = 36;
        assert!(about(kvm(&facts), "memory").what.contains("60 GiB"));
    }
}
