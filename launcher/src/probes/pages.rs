//! Host memory that a probe's guest may load from and store to, as a program's memory.

use std::io;

use kvm_bindings::kvm_regs;
use memmap2::{Advice, MmapMut};

use super::run_guest;
use crate::guest::layout::PAGE;
use crate::guest::page_tables::Access;
use crate::host::clock;
use crate::kvm::vcpu::Vcpu;
use crate::machine::Machine;

/// Pages between two that are used: KVM may make the neighbours of a page present along with it.
const STRIDE: u64 = 16;

/// Bytes from one page that is used to the next.
pub(super) const STRIDE_BYTES: u64 = STRIDE * PAGE;

/// A guest that loads from pages. rdi: the first, rsi: bytes from one to the next, ebx: how many.
const LOADS: [u8; 11] = [
    0x8a, 0x07, // next: mov al, [rdi]
    0x48, 0x01, 0xf7, // add rdi, rsi
    0xff, 0xcb, // dec ebx
    0x75, 0xf7, // jnz next
    0x0f, 0x05, // syscall
];

/// Some pages, [`STRIDE_BYTES`] apart, present in the guest's page tables.
pub(super) struct Pages {
    machine: &'static Machine,
    map: MmapMut,
    count: u64,
}

impl Drop for Pages {
    fn drop(&mut self) {
        // The host's memory goes next, and with it what KVM has of it. No bit may stay: the program's memory
        // can come to lie at these addresses, and has not been touched then.
        let end = self.start() + self.map.len() as u64;
        self.machine.tables.retire(self.start(), end, |_, _| {});
    }
}

impl Pages {
    /// Makes `count` pages.
    ///
    /// # Errors
    /// What mmap(2), the memory slot or growing the page tables says.
    pub(super) fn new(machine: &'static Machine, count: u64) -> io::Result<Self> {
        let map = MmapMut::map_anon((count * STRIDE_BYTES) as usize)?;
        // One entry of KVM's tables for each page. Without huge pages there is nothing to refuse.
        let _ = map.advise(Advice::NoHugePage);
        let pages = Self {
            machine,
            map,
            count,
        };
        let access = Access {
            write: true,
            execute: false,
        };
        for va in pages.addresses() {
            let gpa = machine.chunks.ensure(&machine.vm, va)?;
            let tables = &machine.tables;
            tables.fill(&machine.vm, va, va + PAGE, gpa, access)?;
        }
        Ok(pages)
    }

    /// How many they are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Address of the first.
    pub(super) fn start(&self) -> u64 {
        self.map.as_ptr() as u64
    }

    /// The address of each.
    pub(super) fn addresses(&self) -> impl Iterator<Item = u64> + use<> {
        let start = self.start();
        (0..self.count).map(move |i| start + i * STRIDE_BYTES)
    }

    /// Has the guest load from each page, and returns the nanoseconds that takes.
    ///
    /// # Errors
    /// As [`run_guest`].
    pub(super) fn load_all(&self, vcpu: &mut Vcpu) -> io::Result<u64> {
        let regs = kvm_regs {
            rdi: self.start(),
            rsi: STRIDE_BYTES,
            rbx: self.count(),
            ..Default::default()
        };
        let start = clock::monotonic_ns();
        run_guest(vcpu, &LOADS, regs)?;
        Ok(clock::monotonic_ns() - start)
    }

    /// How many were accessed since this was last asked.
    pub(super) fn take_accessed(&self) -> u64 {
        let accessed = |va: &u64| self.machine.tables.take_accessed(*va);
        self.addresses().filter(accessed).count() as u64
    }

    /// Makes KVM drop its own entries for the pages, which keep their contents and their place in
    /// the guest's tables: what a change of the host's protection does.
    ///
    /// # Errors
    /// What mprotect(2) says.
    pub(super) fn drop_from_kvm(&self) -> io::Result<()> {
        let (start, len) = (self.map.as_ptr().cast_mut(), self.map.len());
        for prot in [libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE] {
            // SAFETY: the pages are this map's, and nobody writes to them meanwhile.
            if unsafe { libc::mprotect(start.cast(), len, prot) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}
