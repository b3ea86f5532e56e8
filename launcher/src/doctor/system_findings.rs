//! Findings about everything around KVM: what programs get, limits, shared memory, the kernel.

use super::facts::{Facts, ring_entries};
use super::findings::{Section, display_bytes};
use super::surroundings::Limits;

/// Room that a segment takes before the first page is written: header, records, index.
const SEGMENT_BYTES: u64 = 2 << 20;

/// Less than this is used up by a few programs that write a gigabyte each.
const LITTLE_SHARED_MEMORY: u64 = 64 << 20;

/// Bytes of the file that a program's segment is, nearly all of it a hole, rounded up.
const SEGMENT_FILE_BYTES: u64 = 261 << 20;

/// Fewer descriptors or threads than this are soon used up.
const FEW: u64 = 256;

/// Components of XCR0: Intel SDM volume 1, section 13.1.
const COMPONENTS: [(u64, &str); 6] = [
    (1 << 0, "x87"),
    (1 << 1, "SSE"),
    (1 << 2, "AVX"),
    (3 << 3, "MPX"),
    (7 << 5, "AVX-512"),
    (3 << 17, "AMX"),
];

/// Parameters of KVM's modules that change what vmmload costs.
const TELLING: [&str; 8] = [
    "ept",
    "eptad",
    "pml",
    "npt",
    "tdp_mmu",
    "halt_poll_ns",
    "nested",
    "nx_huge_pages",
];

/// What programs see of the processor.
pub(super) fn programs(facts: &Facts) -> Section {
    let mut section = Section::new("Programs");
    let Some(vm) = &facts.vm else {
        return section;
    };
    let state = vm.cpu.xstate;
    match state.features {
        0 => section.note(
            "vectors",
            "x87 and SSE only: this KVM does not show XSAVE",
            "Programs that need AVX do not run here. For a VM, have its host pass XSAVE on",
        ),
        features => {
            let has = |component: &&(u64, &str)| features & component.0 == component.0;
            let names: Vec<&str> = COMPONENTS.iter().filter(has).map(|c| c.1).collect();
            let what = format!("{} ({} bytes of XSAVE)", names.join(", "), state.size);
            section.ok("vectors", what);
        }
    }
    let fsgsbase = match vm.cpu.fsgsbase {
        true => "programs may use RDFSBASE and its kin",
        false => "none: programs set the bases by system call, as on older processors",
    };
    section.ok("FSGSBASE", fsgsbase);
    section
}

/// Kernel, shared memory and limits.
pub(super) fn system(facts: &Facts) -> Section {
    let mut section = Section::new("System");
    kernel(&mut section, facts);
    for (module, parameters) in &facts.modules {
        let telling = TELLING
            .iter()
            .filter_map(|&name| Some(format!("{name}={}", parameters.get(name)?)));
        let shown: Vec<String> = telling.collect();
        section.ok("module", format!("{module} {}", shown.join(" ")).trim_end());
    }
    shared_memory(&mut section, &facts.shared_memory);
    limits(&mut section, &facts.limits);
    section
}

fn kernel(section: &mut Section, facts: &Facts) {
    let what = format!("Linux {}", facts.kernel);
    let has_ring = facts.caps.is_some_and(|caps| ring_entries(&caps) > 0);
    match has_ring || version(&facts.kernel) >= Some((6, 1)) {
        true => section.ok("kernel", what),
        false => section.note("kernel", what, "Tracking needs Linux 6.1 or later"),
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

fn shared_memory(section: &mut Section, room: &Result<u64, String>) {
    match room {
        Ok(bytes) => {
            let what = format!("{} left", display_bytes(*bytes));
            let remedy = "Remove segments of killed processes (vmmload ls names them), or as root: \
                          mount -o remount,size=1G /dev/shm. In a container: --shm-size 1g";
            match *bytes {
                0..SEGMENT_BYTES => section.problem("/dev/shm", what, remedy),
                SEGMENT_BYTES..LITTLE_SHARED_MEMORY => section.note("/dev/shm", what, remedy),
                _ => section.ok("/dev/shm", what),
            }
        }
        Err(reason) => section.problem(
            "/dev/shm",
            format!("this user can make no file there: {reason}"),
            "As root: mount -t tmpfs -o mode=1777 tmpfs /dev/shm",
        ),
    }
}

fn limits(section: &mut Section, limits: &Limits) {
    let before = section.len();
    if let Some(most) = limits.descriptors.filter(|&most| most < FEW) {
        section.note(
            "limits",
            format!("{most} descriptors: each thread of a program takes one for its vCPU"),
            "Raise the hard limit (ulimit -Hn, or LimitNOFILE= of the service)",
        );
    }
    if let Some(most) = limits.threads.filter(|&most| most < FEW) {
        section.note(
            "limits",
            format!("{most} threads of this user: each program takes one more than natively"),
            "Raise the limit (ulimit -u, or the cgroup's pids.max)",
        );
    }
    if let Some(most) = limits.address_space {
        section.note(
            "limits",
            format!("{} of address space", display_bytes(most)),
            "vmmload's own tables take part of it, and counters cover less written memory. Without \
             need for it: ulimit -v unlimited",
        );
    }
    if let Some(most) = limits.file_size.filter(|&most| most < SEGMENT_FILE_BYTES) {
        section.problem(
            "limits",
            format!("files of at most {}", display_bytes(most)),
            "A segment is a larger file, though nearly empty: raise the hard limit (ulimit -Hf)",
        );
    }
    if section.len() == before {
        section.ok("limits", "none in the way");
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::testing::{about, good};
    use super::super::findings::{Finding, State};
    use super::*;

    #[test]
    fn a_full_or_missing_shared_memory_is_a_problem() {
        let mut facts = good();
        let state = |facts: &Facts| about(system(facts), "/dev/shm").state;
        facts.shared_memory = Ok(1 << 20);
        assert_eq!(state(&facts), State::Problem);
        facts.shared_memory = Ok(16 << 20);
        assert_eq!(state(&facts), State::Note);
        facts.shared_memory = Err("No such file or directory".into());
        assert_eq!(state(&facts), State::Problem);
    }

    #[test]
    fn low_limits_are_named_each() {
        let mut facts = good();
        assert_eq!(about(system(&facts), "limits").what, "none in the way");
        facts.limits = Limits {
            descriptors: Some(64),
            address_space: Some(1 << 30),
            threads: Some(20),
            file_size: None,
        };
        let mut notes: Vec<Finding> = system(&facts).into_findings();
        notes.retain(|finding| finding.topic == "limits");
        assert_eq!(notes.len(), 3);
        assert!(notes.iter().all(|f| f.state == State::Note));
        facts.limits.descriptors = Some(524_288);
        assert_eq!(system(&facts).len() + 1, system(&good()).len() + 2);
    }

    #[test]
    fn an_old_kernel_is_named_unless_its_kvm_has_the_ring() {
        let mut facts = good();
        facts.kernel = "5.15.0-1-amd64".into();
        assert_eq!(about(system(&facts), "kernel").state, State::Ok);
        facts.caps = None;
        assert_eq!(about(system(&facts), "kernel").state, State::Note);
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("garbage"), None);
    }

    #[test]
    fn components_are_named() {
        let mut facts = good();
        let vectors = about(programs(&facts), "vectors").what;
        assert_eq!(vectors, "x87, SSE, AVX, AVX-512 (2696 bytes of XSAVE)");
        facts.vm.as_mut().unwrap().cpu.xstate.features = 0;
        assert_eq!(about(programs(&facts), "vectors").state, State::Note);
    }

    #[test]
    fn modules_show_what_matters() {
        let mut facts = good();
        let parameters = [("pml", "Y"), ("dump_invalid_vmcs", "N")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        facts.modules.insert("kvm_intel".into(), parameters.into());
        assert_eq!(about(system(&facts), "module").what, "kvm_intel pml=Y");
    }
}
