//! The heat table: per-page counters, so that a late reader has the totals without the history.
//!
//! Each pair of a 2 MiB region and a [`Kind`] that was ever touched has one page of 512 counters. The
//! segment holds a dense array of keys, in the order of allocation, and the counter pages beside it:
//! key `i` names the region and kind of counter page `i`. Both only ever grow. The hash table that
//! finds a key's index is the writer's own, in private memory.

use crate::mappings::{Mapping, Mappings};
use crate::sync::{AtomicU64, Ordering, load_acquire};
use crate::wire::{PAGE_SIZE, PAGES_PER_REGION, WORD};
use crate::words::Kind;
use std::collections::BTreeMap;

/// Bits of an address below its 2 MiB region.
const REGION_SHIFT: u32 = 21;
const PAGE_SHIFT: u32 = 12;
/// Keys whose slots lie side by side: eight neighbouring regions of four kinds. A small program thus
/// touches few pages of the hash table.
const GROUP: usize = 32;
/// Slots looked at before the table counts as full; keeps `region` bounded.
const MAX_PROBES: usize = 512;
/// Keys in one page of the key array.
const KEYS_PER_PAGE: usize = PAGE_SIZE / WORD;

/// Index of a counter page, dense in the order of allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeatIndex(u32);

impl HeatIndex {
    /// The index as a number in `0..heat_pages`.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// The words of one heat table in memory.
#[derive(Clone, Copy)]
pub(crate) struct HeatMemory<'a> {
    /// Number of keys, and of counter pages, in use.
    pub(crate) used: &'a AtomicU64,
    /// One key for each counter page.
    pub(crate) keys: &'a [AtomicU64],
    /// [`PAGES_PER_REGION`] counters for each key.
    pub(crate) counters: &'a [AtomicU64],
}

impl<'a> HeatMemory<'a> {
    fn page(&self, index: usize) -> Option<&'a [AtomicU64; PAGES_PER_REGION]> {
        self.counters
            .get(index.checked_mul(PAGES_PER_REGION)?..)?
            .first_chunk()
    }
}

/// Region number and kind in one word: `addr >> 21 << 2 | kind`.
fn key_of(addr: u64, kind: Kind) -> u64 {
    addr >> REGION_SHIFT << 2 | kind as u64
}

/// The parts of the table that need memory before they can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// This page of the key array.
    Keys(usize),
    /// This counter page.
    Counters(usize),
}

/// The writer's private half of the heat table.
#[derive(Debug)]
pub(crate) struct HeatWriter {
    /// Open addressing: `(key + 1) << 16 | index`; zero is an empty slot. Keys have at most 45 bits.
    slots: Vec<u64>,
    used: usize,
    capacity: usize,
    key_pages: usize,
    /// Memory was refused: not asked for again before the next epoch.
    starved: bool,
    last: Option<(u64, HeatIndex)>,
}

impl HeatWriter {
    /// A table for `heat_pages` counter pages. Allocates two slots for each, zeroed and so untouched.
    pub(crate) fn new(heat_pages: usize) -> Self {
        let slots = (heat_pages * 2).next_power_of_two().max(GROUP);
        Self {
            slots: vec![0; slots],
            used: 0,
            capacity: heat_pages,
            key_pages: 0,
            starved: false,
            last: None,
        }
    }

    /// Allows memory to be asked for again after a refusal.
    pub(crate) fn begin_epoch(&mut self) {
        self.starved = false;
    }

    /// Finds or allocates the counter page of an address, or `None` when the table is full or there is
    /// no memory for another page.
    #[inline]
    pub(crate) fn region(
        &mut self,
        heat: HeatMemory<'_>,
        addr: u64,
        kind: Kind,
        back: impl FnMut(Backing) -> bool,
    ) -> Option<HeatIndex> {
        let key = key_of(addr, kind);
        if let Some((last, index)) = self.last
            && last == key
        {
            return Some(index);
        }
        let index = match self.find(key)? {
            Ok(index) => index,
            Err(slot) => self.insert(heat, slot, key, back)?,
        };
        self.last = Some((key, index));
        Some(index)
    }

    /// The counter page of an address, if there is one.
    #[inline]
    pub(crate) fn known_region(&self, addr: u64, kind: Kind) -> Option<HeatIndex> {
        self.find(key_of(addr, kind))?.ok()
    }

    /// The key's index, or the empty slot where it belongs; `None` when there is neither nearby.
    fn find(&self, key: u64) -> Option<Result<HeatIndex, usize>> {
        let mask = self.slots.len() - 1;
        let group = key / GROUP as u64;
        // Fibonacci hashing: the high bits of the product are the well-mixed ones.
        let home = (group.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize * GROUP;
        let home = home + key as usize % GROUP;
        for probe in 0..MAX_PROBES.min(self.slots.len()) {
            let slot = (home + probe) & mask;
            match self.slots[slot] {
                0 => return Some(Err(slot)),
                entry if entry >> 16 == key + 1 => {
                    return Some(Ok(HeatIndex(u32::from(entry as u16))));
                }
                _ => {}
            }
        }
        None
    }

    #[cold]
    fn insert(
        &mut self,
        heat: HeatMemory<'_>,
        slot: usize,
        key: u64,
        mut back: impl FnMut(Backing) -> bool,
    ) -> Option<HeatIndex> {
        if self.used == self.capacity || self.starved {
            return None;
        }
        let index = self.used;
        let key_page = index / KEYS_PER_PAGE;
        if key_page == self.key_pages {
            self.starved = !back(Backing::Keys(key_page));
            self.key_pages += usize::from(!self.starved);
        }
        self.starved = self.starved || !back(Backing::Counters(index));
        if self.starved {
            return None;
        }
        heat.keys.get(index)?.store(key, Ordering::Relaxed);
        self.slots[slot] = (key + 1) << 16 | index as u64;
        self.used += 1;
        // Pairs with the load of `used` in `cells`: who sees the count sees the key.
        heat.used.store(self.used as u64, Ordering::Release);
        Some(HeatIndex(index as u32))
    }

    /// Adds to a page's counter. Returns whether this is the first event of any kind for that page.
    #[inline]
    pub(crate) fn add(
        &self,
        heat: HeatMemory<'_>,
        index: HeatIndex,
        addr: u64,
        count: u32,
    ) -> bool {
        let offset = page_in_region(addr);
        let Some(page) = heat.page(index.get()) else {
            return false;
        };
        // One writer: a plain load and store are enough, and readers want no order between counters.
        let before = page[offset].load(Ordering::Relaxed);
        page[offset].store(before.wrapping_add(u64::from(count)), Ordering::Relaxed);
        before == 0 && count > 0 && !self.touched_otherwise(heat, index, addr)
    }

    /// Whether the page has events of another kind than that of `index`.
    fn touched_otherwise(&self, heat: HeatMemory<'_>, index: HeatIndex, addr: u64) -> bool {
        Kind::ALL
            .iter()
            .any(|&kind| match self.find(key_of(addr, kind)) {
                Some(Ok(other)) if other != index => heat
                    .page(other.get())
                    .is_some_and(|page| page[page_in_region(addr)].load(Ordering::Relaxed) > 0),
                _ => false,
            })
    }
}

fn page_in_region(addr: u64) -> usize {
    (addr >> PAGE_SHIFT) as usize % PAGES_PER_REGION
}

/// The total of one page and kind since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heat {
    /// Address of the 4 KiB page.
    pub addr: u64,
    /// Who touched it.
    pub kind: Kind,
    /// Number of events.
    pub count: u64,
}

/// Every counter that is not zero, in the order in which the regions were first touched.
pub(crate) fn cells(heat: HeatMemory<'_>) -> impl Iterator<Item = Heat> + '_ {
    // Pairs with the store of `used` in `insert`.
    let used = usize::try_from(load_acquire(heat.used)).unwrap_or(usize::MAX);
    let regions = heat.keys.iter().take(used).enumerate();
    regions.flat_map(move |(index, key)| {
        let key = key.load(Ordering::Relaxed);
        let page: &[AtomicU64] = heat.page(index).map_or(&[], |page| page);
        let kind = Kind::from_bits(key & 3);
        let base = key >> 2 << REGION_SHIFT;
        page.iter()
            .enumerate()
            .filter_map(move |(offset, counter)| {
                let count = counter.load(Ordering::Relaxed);
                let addr = base | (offset as u64) << PAGE_SHIFT;
                (count > 0).then_some(Heat {
                    addr,
                    kind: kind?,
                    count,
                })
            })
    })
}

/// How the program used one aligned 2 MiB of its address space since it started: of the 512 pages that a
/// huge page there holds, how many had an event.
///
/// A region with few touched pages is one for which a huge page would be mostly waste; one with nearly all
/// touched would save 511 entries of the TLB. Whether the host backs the region with a huge page is another
/// question, which the counts do not depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HugePage {
    /// Its first address.
    pub addr: u64,
    /// Pages with an event of any kind.
    pub touched: u32,
    /// Pages that the program stored to.
    pub written: u32,
    /// Pages with a read event. They may have write events, too, from other epochs.
    pub read: u32,
    /// Pages that the kernel wrote for the program.
    pub kernel: u32,
}

impl HugePage {
    /// Bytes of a huge page.
    pub const BYTES: u64 = 1 << REGION_SHIFT;
    /// Pages of 4 KiB in it.
    pub const PAGES: u32 = PAGES_PER_REGION as u32;

    /// The share of its pages that were touched, 0 to 1.
    pub fn utilisation(&self) -> f64 {
        f64::from(self.touched) / f64::from(Self::PAGES)
    }

    /// The mappings that have a part in it: those that are there, by address, or where there are none,
    /// those that were.
    pub fn mappings<'m>(&self, mappings: &'m Mappings) -> Vec<&'m Mapping> {
        let end = self.addr.saturating_add(Self::BYTES);
        let there = &mappings.entries;
        let first = there.partition_point(|mapping| mapping.end <= self.addr);
        let inside = |mapping: &&Mapping| mapping.start < end;
        let found: Vec<_> = there[first..].iter().take_while(inside).collect();
        if !found.is_empty() {
            return found;
        }
        let was_inside = |mapping: &&Mapping| mapping.start < end && self.addr < mapping.end;
        mappings.retired.iter().filter(was_inside).collect()
    }
}

/// A bit for each page of a region, and each kind.
type Touched = [[u64; PAGES_PER_REGION / 64]; Kind::ALL.len()];

/// The regions with a counter that is not zero, by address.
pub(crate) fn huge_pages(heat: HeatMemory<'_>) -> Vec<HugePage> {
    let mut regions: BTreeMap<u64, Touched> = BTreeMap::new();
    for Heat { addr, kind, .. } in cells(heat) {
        let touched = regions.entry(addr >> REGION_SHIFT).or_default();
        let page = page_in_region(addr);
        touched[kind as usize][page / 64] |= 1 << (page % 64);
    }
    regions
        .into_iter()
        .map(|(region, touched)| HugePage {
            addr: region << REGION_SHIFT,
            touched: ones(
                (0..touched[0].len())
                    .map(|word| touched.iter().fold(0, |any, kind| any | kind[word])),
            ),
            written: ones(touched[Kind::Write as usize]),
            read: ones(touched[Kind::Read as usize]),
            kernel: ones(touched[Kind::Kernel as usize]),
        })
        .collect()
}

fn ones(words: impl IntoIterator<Item = u64>) -> u32 {
    words.into_iter().map(u64::count_ones).sum()
}
