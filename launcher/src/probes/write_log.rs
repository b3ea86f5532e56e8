//! Settles who notes the first store to an armed page: the processor, which goes on (Page
//! Modification Logging), or KVM, after a fault.
//!
//! Processors with PML write the page's address into a buffer that KVM empties at the next exit;
//! all others take a write-protection fault into KVM. `doctor` shows the outcome and what an armed
//! store costs, since that is the price of tracking for each page and epoch.
//!
//! By count: where KVM counts the exits of a vCPU, storing to N armed pages takes at least N more of
//! them than storing to the same pages again, or next to none.
//!
//! By time, where it does not count: the yardstick is a fault that KVM is sure to take, the load from
//! a page whose entry it had to drop. A write-protection fault goes the same way through KVM and takes
//! about as long (0.8 to 1.3 times, with nested and with shadow paging). A store that the processor
//! logs takes a walk of the tables and one write more: hundreds of cycles at most, against thousands.
//! The bar is a fifth of the yardstick, far from both. The bare exit to user space is no yardstick: it
//! is as long as two faults on some KVMs and as ten on others. The shortest time of all pages counts,
//! so that an interrupt, or another thread on the only processor, does not.

use std::io;

use kvm_bindings::kvm_regs;

use super::pages::{Pages, STRIDE_BYTES};
use super::run_guest;
use crate::host::processor;
use crate::kvm::dirty_ring::DirtyRing;
use crate::kvm::stats::Counter;
use crate::kvm::vcpu::Vcpu;

/// The guest: r9d is the shortest time of one access in cycles. rdi: the first page, rsi: bytes from
/// one to the next, ebx: how many.
const GUEST: [u8; 46] = [
    0x41, 0xb9, 0xff, 0xff, 0xff, 0xff, // mov r9d, -1
    0x0f, 0xae, 0xe8, // next: lfence
    0x0f, 0x31, // rdtsc
    0x0f, 0xae, 0xe8, // lfence
    0x41, 0x89, 0xc0, // mov r8d, eax
    STORE[0], STORE[1], // the access
    0x0f, 0xae, 0xf0, // mfence
    0x0f, 0xae, 0xe8, // lfence
    0x0f, 0x31, // rdtsc
    0x44, 0x29, 0xc0, // sub eax, r8d
    0x44, 0x39, 0xc8, // cmp eax, r9d
    0x44, 0x0f, 0x42, 0xc8, // cmovb r9d, eax
    0x48, 0x01, 0xf7, // add rdi, rsi
    0xff, 0xcb, // dec ebx
    0x75, 0xda, // jnz next
    0x0f, 0x05, // syscall
];
const ACCESS_AT: usize = 17;
const STORE: [u8; 2] = [0x88, 0x07]; // mov [rdi], al
const LOAD: [u8; 2] = [0x8a, 0x07]; // mov al, [rdi]

/// Pages that are armed and stored to.
pub(crate) const ARMED_PAGES: u64 = 32;

/// Pages by which the price is measured at every start.
const FEW_PAGES: u64 = 4;

/// How many times longer a certain fault is than a store that the processor logs, at least.
const FAULT_TO_LOGGED: u64 = 5;

/// Pages are armed again if the process was stopped meanwhile, but not for ever.
const MOST_STOPS: u32 = 100;

/// Who notes the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteLog {
    /// The processor.
    Hardware,
    /// KVM, after a fault.
    Fault,
}

/// What the outcome rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// KVM's own counter: so many exits more for the first stores to `ARMED_PAGES` armed pages than for
    /// the next stores to the same pages.
    Count(u64),
    /// How long the stores took.
    Time,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Who notes the store.
    pub log: WriteLog,
    /// How that was found.
    pub evidence: Evidence,
    /// Nanoseconds of the first store to an armed page.
    pub armed_store_ns: u64,
}

/// Times in cycles, exits as far as KVM counts them.
#[derive(Debug, Clone, Copy)]
struct Measured {
    armed_cycles: u64,
    fault_cycles: u64,
    armed_exits: u64,
    dirty_exits: u64,
}

/// Finds out, in a vCPU with a dirty ring that nobody else empties.
///
/// # Errors
/// As [`run_guest`], and when the pages cannot be armed.
pub(crate) fn find(vcpu: &mut Vcpu, ring: &mut DirtyRing) -> io::Result<Outcome> {
    let measured = measure(vcpu, ring)?;
    let (log, evidence) = decide(&measured);
    Ok(Outcome {
        log,
        evidence,
        armed_store_ns: processor::cycles_to_ns(measured.armed_cycles),
    })
}

fn decide(measured: &Measured) -> (WriteLog, Evidence) {
    let (faults, evidence) = match measured.dirty_exits {
        // The pass over dirty pages ends in an exit, if in nothing else.
        0 => {
            let bar = measured.fault_cycles / FAULT_TO_LOGGED;
            (measured.armed_cycles >= bar, Evidence::Time)
        }
        dirty => {
            let more = measured.armed_exits.saturating_sub(dirty);
            (more >= ARMED_PAGES / 2, Evidence::Count(more))
        }
    };
    let log = if faults {
        WriteLog::Fault
    } else {
        WriteLog::Hardware
    };
    (log, evidence)
}

/// Nanoseconds of the first store to an armed page, by a few pages only: what `run` needs to know, and
/// waits for.
///
/// # Errors
/// As [`find`].
pub(crate) fn store_ns(vcpu: &mut Vcpu, ring: &mut DirtyRing) -> io::Result<u64> {
    let pages = Pages::new(vcpu.machine(), FEW_PAGES)?;
    arm(vcpu, ring, &pages)?;
    let cycles = access_all(vcpu, &pages, STORE)?;
    // The program's ring begins empty.
    vcpu.machine().rearm_writes(ring.take_all())?;
    Ok(processor::cycles_to_ns(cycles))
}

/// Has every page stored to, and armed again: by the ring, and not because KVM has no translation of it.
fn arm(vcpu: &mut Vcpu, ring: &mut DirtyRing, pages: &Pages) -> io::Result<()> {
    for _ in 0..MOST_STOPS {
        access_all(vcpu, pages, STORE)?;
        let taken = ring.take_all();
        if u64::from(taken) < pages.count() {
            return Err(io::Error::other(format!(
                "of {} pages that were written, {taken} were logged",
                pages.count()
            )));
        }
        if vcpu.machine().rearm_writes(taken)? {
            return Ok(());
        }
    }
    Err(io::Error::other(format!(
        "this process was stopped {MOST_STOPS} times meanwhile"
    )))
}

fn measure(vcpu: &mut Vcpu, ring: &mut DirtyRing) -> io::Result<Measured> {
    let pages = Pages::new(vcpu.machine(), ARMED_PAGES)?;
    let exits = Counter::open(vcpu, "exits").ok();
    let count = || exits.as_ref().map_or(Ok(0), Counter::read);

    arm(vcpu, ring, &pages)?;
    let before = count()?;
    let armed_cycles = access_all(vcpu, &pages, STORE)?;
    let between = count()?;
    access_all(vcpu, &pages, STORE)?;
    let dirty_exits = count()?.saturating_sub(between);

    pages.drop_from_kvm()?;
    let fault_cycles = access_all(vcpu, &pages, LOAD)?;
    Ok(Measured {
        armed_cycles,
        fault_cycles,
        armed_exits: between.saturating_sub(before),
        dirty_exits,
    })
}

/// Has the guest access each page, and returns the cycles of the shortest access.
fn access_all(vcpu: &mut Vcpu, pages: &Pages, access: [u8; 2]) -> io::Result<u64> {
    let mut guest = GUEST;
    guest[ACCESS_AT..][..access.len()].copy_from_slice(&access);
    let regs = kvm_regs {
        rdi: pages.start(),
        rsi: STRIDE_BYTES,
        rbx: pages.count(),
        ..Default::default()
    };
    run_guest(vcpu, &guest, regs)?;
    Ok(vcpu.regs().r9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::signals::testing::disturbed;
    use crate::kvm::caps;
    use crate::machine::{Machine, Tracking};

    fn measured(armed_cycles: u64, armed_exits: u64, dirty_exits: u64) -> Measured {
        Measured {
            armed_cycles,
            fault_cycles: 10_000,
            armed_exits,
            dirty_exits,
        }
    }

    #[test]
    fn a_counter_that_counts_decides() {
        let by_count = |log, more| (log, Evidence::Count(more));
        assert_eq!(
            decide(&measured(10, ARMED_PAGES + 1, 1)),
            by_count(WriteLog::Fault, ARMED_PAGES)
        );
        assert_eq!(
            decide(&measured(9_000, 3, 1)),
            by_count(WriteLog::Hardware, 2)
        );
        // Timer interrupts are exits as well.
        assert_eq!(
            decide(&measured(9_000, 60, 55)),
            by_count(WriteLog::Hardware, 5)
        );
    }

    #[test]
    fn without_one_a_store_is_measured_against_a_fault() {
        let by_time = |log| (log, Evidence::Time);
        assert_eq!(decide(&measured(4_000, 0, 0)), by_time(WriteLog::Fault));
        assert_eq!(decide(&measured(600, 0, 0)), by_time(WriteLog::Hardware));
    }

    #[test]
    fn the_access_is_where_it_is_replaced() {
        assert_eq!(GUEST[ACCESS_AT..][..2], STORE);
    }

    /// Set where a test has a process to itself, as one that makes a VM needs.
    const ALONE: &str = "VMMLOAD_TEST_ALONE";

    #[test]
    fn every_page_is_armed_again_whatever_signals_come() {
        if std::env::var_os(ALONE).is_some() {
            return arm_while_signals_come();
        }
        if let Err(cause) = caps::open() {
            assert!(
                std::env::var_os("CI").is_none(),
                "cannot run in CI: {cause}"
            );
            eprintln!("SKIPPED: {cause}");
            return;
        }
        let name = "probes::write_log::tests::every_page_is_armed_again_whatever_signals_come";
        let test = std::env::current_exe().unwrap();
        let mut alone = std::process::Command::new(test);
        let alone = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1");
        let ended = alone.output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }

    fn arm_while_signals_come() {
        let (kvm, caps) = caps::open().unwrap();
        let tracking = Tracking {
            ring_entries: 4096,
            reads: false,
        };
        let machine = Machine::create(&kvm, caps, tracking, None).unwrap();
        let (mut vcpu, ring) = Vcpu::create(machine, 0).unwrap();
        let (mut ring, pages) = (ring.unwrap(), Pages::new(machine, 500).unwrap());
        for _ in 0..20 {
            access_all(&mut vcpu, &pages, STORE).unwrap();
            let taken = ring.take_all();
            assert_eq!(u64::from(taken), pages.count());
            let (armed, signals) = disturbed(|| machine.vm.reset_dirty_rings(taken).unwrap());
            assert!(armed, "after {signals} signals");
        }
    }
}
