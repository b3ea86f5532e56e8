//! Host memory that a probe's guest may load from and store to, as a program's memory.

use std::io;

use memmap2::{Advice, MmapMut};

use crate::guest::layout::PAGE;
use crate::guest::page_tables::Access;
use crate::machine::Machine;

/// Pages between two that are used: KVM may make the neighbours of a page present along with it.
const STRIDE: u64 = 16;

/// Bytes from one page that is used to the next.
pub(super) const STRIDE_BYTES: u64 = STRIDE * PAGE;

/// Some pages, [`STRIDE_BYTES`] apart, present in the guest's page tables.
pub(super) struct Pages {
    map: MmapMut,
    count: u64,
}

impl Pages {
    /// Makes `count` pages.
    ///
    /// # Errors
    /// What mmap(2), the memory slot or growing the page tables says.
    pub(super) fn new(machine: &Machine, count: u64) -> io::Result<Self> {
        let map = MmapMut::map_anon((count * STRIDE_BYTES) as usize)?;
        // One entry of KVM's tables for each page. Without huge pages there is nothing to refuse.
        let _ = map.advise(Advice::NoHugePage);
        let pages = Self { map, count };
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

    /// Makes KVM drop its own entries for the pages, which keep their contents and their place in
    /// the guest's tables: what a change of the host's protection does.
    ///
    /// # Errors
    /// What mprotect(2) says.
    pub(super) fn drop_from_kvm(self) -> io::Result<Self> {
        let map = self.map.make_read_only()?.make_mut()?;
        Ok(Self { map, ..self })
    }
}
