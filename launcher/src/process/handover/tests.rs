//! What arrives is what was sent.

use std::sync::Arc;

use kvm_bindings::{CpuId, kvm_cpuid_entry2};
use vmmload_consumer::ProcessId;

use super::*;
use crate::machine::Arming;
use crate::probes::rearm::{self, Rearm};
use crate::probes::syscall_entry::SyscallEntry;
use crate::process::seccomp::Filter;
use crate::process::seccomp::bpf::{Instruction, Program};

fn written(config: &RunConfig, summary: Option<&File>) -> Vec<u8> {
    let file = File::open("/proc/self/exe").unwrap();
    let file = std::mem::ManuallyDrop::new(file);
    encode(&Outgoing {
        config,
        file: &file,
        path: OsStr::new("/bin/a b"),
        execfn: c"./x",
        name: c"x",
        argv: &[c"\xff".into(), c"".into()],
        envp: &[c"A=1".into()],
        mask: 1 << 63,
        seccomp: &filtered(),
        summary,
        known: Some(known()),
        descent: descent(),
        is_typed: true,
    })
}

fn descent() -> Descent {
    Descent {
        session: Some(ProcessId { pid: 5, start: 6 }),
        parent: Some(ProcessId { pid: 7, start: 8 }),
    }
}

fn known() -> Known {
    let entry = kvm_cpuid_entry2 {
        function: 0x8000_0001,
        edx: u32::MAX,
        ..Default::default()
    };
    Known {
        cpuid: CpuId::from_entries(&[entry; 3]).unwrap(),
        entry: SyscallEntry::Ring3,
        arming: Some(Arming {
            store_ns: 5_678,
            reads: Some(rearm::Outcome {
                rearm: Rearm::Drop,
                access_ns: 9,
            }),
        }),
    }
}

fn filtered() -> Setting {
    let end = Instruction {
        code: 6,
        jt: 0,
        jf: 0,
        k: 0x7fff_0000,
    };
    let filter = |flags| {
        let program = Program::check(vec![end; 3]).unwrap();
        Arc::new(Filter { program, flags })
    };
    Setting::default().with(filter(None)).with(filter(Some(4)))
}

fn config() -> RunConfig {
    RunConfig {
        interval: Duration::from_millis(7),
        track: Track::ReadWrite,
        buffer: 2048,
        max_overhead: 7,
        children: Children::Native,
        sharing: Sharing {
            mode: 0o640,
            group: Some(4711),
            namespace: Some(9),
        },
        ring_size: 1024,
        heat_size: Some(16),
        call_mode: CallMode::Spin,
        spin_budget: Some(70),
        summary: Some(SummaryTarget::File("/tmp/s".into())),
    }
}

#[test]
fn everything_arrives_as_it_was_sent() {
    let launch = decode(&written(&config(), None)).unwrap();
    assert_eq!(launch.config, config());
    assert_eq!(launch.program.argv, [CString::from(c"\xff"), c"".into()]);
    assert_eq!(launch.program.execfn.as_c_str(), c"./x");
    assert_eq!(launch.program.path, PathBuf::from("/bin/a b"));
    assert_eq!(launch.envp, [CString::from(c"A=1")]);
    assert_eq!(launch.name.as_c_str(), c"x");
    assert_eq!(launch.mask, 1 << 63);
    assert_eq!(launch.seccomp, filtered());
    assert_eq!(launch.known, Some(known()));
    assert_eq!(launch.descent, descent());
    assert!(launch.is_typed);
    assert!(launch.summary.is_none());
}

#[test]
fn what_is_cut_off_or_too_long_is_refused() {
    let mut whole = written(&config(), None);
    for len in 0..whole.len() {
        assert!(decode(&whole[..len]).is_none(), "{len}");
    }
    whole.push(0);
    assert!(decode(&whole).is_none());
}

#[test]
fn only_the_one_argument_names_a_descriptor() {
    let of = |words: &[&str]| {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        descriptor(&words)
    };
    assert_eq!(of(&["vmmload", "--exec-handover=77"]), Some(77));
    assert_eq!(of(&["vmmload", "run", "--exec-handover=77"]), None);
    assert_eq!(of(&["vmmload", "--exec-handover=x"]), None);
}
