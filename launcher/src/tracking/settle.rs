//! From dirty-ring entries and accessed bits to counts.
//!
//! An entry of the ring says that KVM made a page writable, which it may do on a mere read. The dirty
//! bit of the guest's own page table says that the program stored to it. A write event needs both, and
//! costs neither an exit nor a lost store, if the order is kept:
//!
//! 1. take entries out of the rings (their pages stay writable);
//! 2. take the dirty bits: set means an event. Stores until step 3 belong to the same event;
//! 3. re-arm: KVM write-protects the pages, or clears its own dirty bits, and flushes the TLBs;
//! 4. look again where the dirty bit was clear: a store between 2 and 3 is found here.
//!
//! Then, where reads are watched:
//!
//! 5. take the accessed bits: set on a page that was not written means a read event. Not earlier, or a store
//!    found in step 4 would leave its accessed bit for the next epoch;
//! 6. have them appear again at the next access.

use vmmload_consumer::Kind;

use super::book::Book;
use super::vcpu_log::{Take, VcpuLog};
use crate::guest::page_tables::Accessed;
use crate::machine::Machine;
use crate::probes::rearm::Rearm;
use crate::process::mappings::Mappings;

/// Entries settled at a time: enough to make the ioctl cheap, few enough to stay in the cache.
const BATCH: usize = 4096;

/// Whose pages, and where their events go.
pub(super) struct Target<'a> {
    /// The VM.
    pub machine: &'a Machine,
    /// What is mapped where, at this moment.
    pub table: &'a Mappings,
    /// Where events go.
    pub book: &'a mut Book,
}

/// Turns entries and bits into events.
pub(super) struct Settler {
    batch: Vec<u64>,
    undecided: Vec<u64>,
    /// Entries taken out of the rings that are still to be given back, with pages of the program or not.
    taken: u32,
    /// For the next scan.
    accessed: Accessed,
}

impl Settler {
    pub(super) fn new() -> Self {
        Self {
            batch: Vec::with_capacity(BATCH),
            undecided: Vec::with_capacity(BATCH),
            taken: 0,
            accessed: Accessed::new(),
        }
    }

    /// Settles what may be taken of the logs, and with `reads` the accessed bits.
    pub(super) fn drain<'a>(
        &mut self,
        target: &mut Target<'_>,
        logs: impl Iterator<Item = &'a mut VcpuLog>,
        take: Take,
        reads: Option<Rearm>,
    ) {
        for log in logs {
            log.harvest(take, |page| {
                self.taken += 1;
                if let Some(va) = target.machine.chunks.va_of(page.slot, page.offset) {
                    self.batch.push(va);
                }
                if self.batch.len() == BATCH {
                    self.settle(target);
                }
            });
        }
        self.settle(target);
        if let Some(how) = reads
            && self.scan(target)
        {
            // Fails only for want of memory: the pages then show up when something else flushes.
            let _ = target.machine.rearm_reads(how);
        }
    }

    /// Settles the batch.
    fn settle(&mut self, target: &mut Target<'_>) {
        if self.taken == 0 {
            return;
        }
        let tables = &target.machine.tables;
        for i in 0..self.batch.len() {
            let va = self.batch[i];
            if tables.take_dirty(va) {
                target.book.count(target.table, va, Kind::Write, 0);
            } else {
                self.undecided.push(va);
            }
        }
        self.batch.clear();
        // Fails only for a VM without rings, which has no entries either, or for want of memory after a stop.
        let _ = target.machine.rearm_writes(std::mem::take(&mut self.taken));
        while let Some(va) = self.undecided.pop() {
            if tables.take_dirty(va) {
                target.book.count(target.table, va, Kind::Write, 0);
            }
        }
    }

    /// Takes the accessed bits; whether there were any.
    fn scan(&mut self, target: &mut Target<'_>) -> bool {
        let Target {
            machine,
            table,
            book,
        } = target;
        let mut cleared = false;
        let tables = &machine.tables;
        tables.scan_accessed(&mut self.accessed, |va, dirty| {
            cleared = true;
            // A store whose entry is yet to come is a write event of the next epoch.
            if !dirty && !book.was_seen(va, Kind::Write) {
                book.count(table, va, Kind::Read, 0);
            }
        });
        cleared
    }
}
