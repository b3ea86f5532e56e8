//! What `handover` writes: numbers in the processor's order; a string is its length and its bytes, a list its
//! length and its strings.

use std::ffi::CString;
use std::sync::Arc;

use kvm_bindings::{CpuId, kvm_cpuid_entry2};
use vmmload_consumer::ProcessId;
use zerocopy::{FromBytes, IntoBytes};

use super::seccomp::bpf::{Instruction, Program};
use super::seccomp::{Filter, Mode, Setting};
use crate::machine::{Arming, Known};
use crate::probes::rearm::{self, Rearm};
use crate::probes::syscall_entry::SyscallEntry;

/// Stands for what is not there.
pub(super) const NONE: u64 = u64::MAX;

pub(super) fn put_known(out: &mut Vec<u8>, known: Option<&Known>) {
    let Some(known) = known else {
        return put_number(out, NONE);
    };
    put_number(out, u64::from(known.entry == SyscallEntry::Ring0));
    put_arming(out, known.arming);
    let mut entries = Vec::new();
    for e in known.cpuid.as_slice() {
        for register in [e.function, e.index, e.flags, e.eax, e.ebx, e.ecx, e.edx] {
            entries.extend(register.to_ne_bytes());
        }
    }
    put_string(out, &entries);
}

fn put_arming(out: &mut Vec<u8>, arming: Option<Arming>) {
    put_number(out, arming.map_or(NONE, |arming| arming.store_ns));
    let reads = arming.and_then(|arming| arming.reads);
    put_number(out, reads.map_or(NONE, |reads| reads.access_ns));
    let drops = reads.is_some_and(|reads| reads.rearm == Rearm::Drop);
    put_number(out, u64::from(drops));
}

pub(super) fn put_seccomp(out: &mut Vec<u8>, setting: &Setting) {
    put_number(out, setting.mode as u64);
    put_number(out, setting.filters.len() as u64);
    for filter in setting.filters.iter() {
        put_number(out, filter.flags.map_or(NONE, u64::from));
        put_string(out, filter.program.code().as_bytes());
    }
}

pub(super) fn put_process(out: &mut Vec<u8>, process: Option<ProcessId>) {
    put_number(out, process.map_or(0, |process| process.pid.into()));
    put_number(out, process.map_or(0, |process| process.start));
}

pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_ne_bytes());
}

pub(super) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    put_number(out, string.len() as u64);
    out.extend(string);
}

/// Reads in the order of writing; `None` for what is cut off or malformed.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*number))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(string)
    }

    pub(super) fn c_string(&mut self) -> Option<CString> {
        CString::new(self.string()?).ok()
    }

    pub(super) fn list(&mut self) -> Option<Vec<CString>> {
        let len = self.number()?;
        (0..len).map(|_| self.c_string()).collect()
    }

    pub(super) fn seccomp(&mut self) -> Option<Setting> {
        let mode = match self.number()? {
            0 => Mode::Off,
            1 => Mode::Strict,
            2 => Mode::Filter,
            _ => return None,
        };
        let len = self.number()?;
        let filters = (0..len).map(|_| self.filter().map(Arc::new));
        Some(Setting {
            mode,
            filters: Arc::new(filters.collect::<Option<_>>()?),
        })
    }

    /// Nothing at all for what is malformed, `Some(None)` where nothing is known.
    pub(super) fn known(&mut self) -> Option<Option<Known>> {
        let entry = match self.number()? {
            NONE => return Some(None),
            0 => SyscallEntry::Ring3,
            _ => SyscallEntry::Ring0,
        };
        let arming = self.arming()?;
        let (entries, rest) = self.string()?.as_chunks::<{ 4 * CPUID_REGISTERS }>();
        let entries: Vec<_> = entries.iter().map(cpuid_entry).collect();
        let known = Known {
            cpuid: CpuId::from_entries(&entries).ok()?,
            entry,
            arming,
        };
        rest.is_empty().then_some(Some(known))
    }

    fn arming(&mut self) -> Option<Option<Arming>> {
        let (store_ns, access_ns) = (self.number()?, self.number()?);
        let rearm = match self.number()? {
            0 => Rearm::Flush,
            _ => Rearm::Drop,
        };
        let reads = (access_ns != NONE).then_some(rearm::Outcome { rearm, access_ns });
        Some((store_ns != NONE).then_some(Arming { store_ns, reads }))
    }

    /// Nothing at all for what is malformed, `Some(None)` for no process.
    pub(super) fn process(&mut self) -> Option<Option<ProcessId>> {
        let pid = u32::try_from(self.number()?).ok()?;
        let start = self.number()?;
        Some((pid != 0).then_some(ProcessId { pid, start }))
    }

    fn filter(&mut self) -> Option<Filter> {
        let flags = match self.number()? {
            NONE => None,
            flags => Some(flags.try_into().ok()?),
        };
        let code = self.string()?.chunks(size_of::<Instruction>());
        let code = code.map(|bytes| Instruction::read_from_bytes(bytes).ok());
        let program = Program::check(code.collect::<Option<_>>()?).ok()?;
        Some(Filter { program, flags })
    }
}

/// Numbers of one entry of CPUID.
const CPUID_REGISTERS: usize = 7;

fn cpuid_entry(bytes: &[u8; 4 * CPUID_REGISTERS]) -> kvm_cpuid_entry2 {
    let (numbers, _) = bytes.as_chunks::<4>();
    let [function, index, flags, eax, ebx, ecx, edx] =
        std::array::from_fn(|i| u32::from_ne_bytes(numbers[i]));
    kvm_cpuid_entry2 {
        function,
        index,
        flags,
        eax,
        ebx,
        ecx,
        edx,
        ..Default::default()
    }
}
