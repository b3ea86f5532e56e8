//! From dirty-ring entries to counts.
//!
//! An entry of the ring says that KVM made a page writable, which it may do on a mere read. The dirty
//! bit of the guest's own page table says that the program stored to it. An event needs both, and
//! costs neither an exit nor a lost store, if the order is kept:
//!
//! 1. take entries out of the rings (their pages stay writable);
//! 2. take the dirty bits: set means an event. Stores until step 3 belong to the same event;
//! 3. re-arm: KVM write-protects the pages, or clears its own dirty bits, and flushes the TLBs;
//! 4. look again where the bit was clear: a store between 2 and 3 is found here.

use vmmload_consumer::{HeatIndex, Kind, Method, SegmentWriter, Sighting};

use super::vcpu_log::{Take, VcpuLog};
use crate::guest::layout::PAGE;
use crate::machine::Machine;

/// Entries settled at a time: enough to make the ioctl cheap, few enough to stay in the cache.
const BATCH: usize = 4096;

/// The pages of one 2 MiB region that were already counted: an epoch, then a bit for each page. An
/// array of words, because memory for zeroed words stays untouched until it is used.
type Seen = [u64; 9];

/// Turns entries into events, one at most for each page and epoch.
pub(super) struct Settler {
    batch: Vec<u64>,
    undecided: Vec<u64>,
    /// Indexed by the region's counter page. Untouched until used.
    seen: Vec<Seen>,
}

impl Settler {
    /// Room for `regions` regions.
    pub(super) fn new(regions: usize) -> Self {
        Self {
            batch: Vec::with_capacity(BATCH),
            undecided: Vec::with_capacity(BATCH),
            seen: vec![[0; 9]; regions],
        }
    }

    /// Settles what may be taken of the logs; counts it in `epoch`, which is never 0. Returns how
    /// many pages that were of one vCPU, at most.
    pub(super) fn drain<'a>(
        &mut self,
        machine: &Machine,
        logs: impl Iterator<Item = &'a mut VcpuLog>,
        take: Take,
        writer: &mut SegmentWriter,
        epoch: u32,
    ) -> u64 {
        let mut most = 0;
        for log in logs {
            let mut pages = 0;
            log.harvest(take, |page| {
                pages += 1;
                if let Some(va) = machine.chunks.va_of(page.slot, page.offset) {
                    self.batch.push(va);
                }
                if self.batch.len() == BATCH {
                    self.settle(machine, writer, epoch);
                }
            });
            most = most.max(pages);
        }
        self.settle(machine, writer, epoch);
        most
    }

    fn settle(&mut self, machine: &Machine, writer: &mut SegmentWriter, epoch: u32) {
        if self.batch.is_empty() {
            return;
        }
        for i in 0..self.batch.len() {
            let va = self.batch[i];
            if machine.tables.take_dirty(va) {
                self.count(writer, va, epoch);
            } else {
                self.undecided.push(va);
            }
        }
        self.batch.clear();
        // Fails only for a VM without rings, which has no entries either.
        let _ = machine.vm.reset_dirty_rings();
        while let Some(va) = self.undecided.pop() {
            if machine.tables.take_dirty(va) {
                self.count(writer, va, epoch);
            }
        }
    }

    /// One write event, unless the page has had its event in this epoch.
    fn count(&mut self, writer: &mut SegmentWriter, va: u64, epoch: u32) {
        let region = writer.region(va, Kind::Write);
        if !region.is_some_and(|region| self.was_seen(region, va, epoch)) {
            writer.record(region, Sighting::new(va, Kind::Write, Method::DirtyRing));
        }
    }

    fn was_seen(&mut self, region: HeatIndex, va: u64, epoch: u32) -> bool {
        let Some(seen) = self.seen.get_mut(region.get()) else {
            return false;
        };
        if seen[0] != u64::from(epoch) {
            *seen = [u64::from(epoch), 0, 0, 0, 0, 0, 0, 0, 0];
        }
        let page = (va / PAGE % 512) as usize;
        let bit = 1 << (page % 64);
        let word = &mut seen[1 + page / 64];
        let was = *word & bit != 0;
        *word |= bit;
        was
    }
}
