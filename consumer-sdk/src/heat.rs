//! The heat table: per-page counters, so that a late reader has the totals without the history.
//!
//! Each pair of a 2 MiB region and a [`Kind`] that was ever touched has one page of 512 cells. The
//! segment holds a dense list of these regions, in the order of allocation, and the pages of cells beside
//! it: entry `i` names the region and kind of page `i`. Both only ever grow. The hash table that
//! finds a region's index is the writer's own, in private memory.
//!
//! A cell is one word, so that no reader sees half of it: how many events its page has had, and in which
//! epoch it may have changed last. Entries of the list say the latter of their whole region.

use crate::mappings::{Mapping, Mappings};
use crate::sync::{AtomicU64, Ordering, load_acquire};
use crate::wire::{PAGE_SIZE, PAGES_PER_REGION, REGION_WORDS, UNWATCHED, WORD, halves, pair};
use crate::words::Kind;
use core::ops::Range;
use std::collections::BTreeMap;

/// Bits of an address below its 2 MiB region.
const REGION_SHIFT: u32 = 21;
const PAGE_SHIFT: u32 = 12;
/// Keys whose slots lie side by side: eight neighbouring regions of four kinds. A small program thus
/// touches few pages of the hash table.
const GROUP: usize = 32;
/// Slots looked at before the table counts as full; keeps `region` bounded.
const MAX_PROBES: usize = 512;
/// Entries in one page of the list of regions.
const REGIONS_PER_PAGE: usize = PAGE_SIZE / (REGION_WORDS * WORD);

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
    /// Number of regions, and of pages of cells, in use.
    pub(crate) used: &'a AtomicU64,
    /// [`REGION_WORDS`] for each region: its key, and the last epoch of any of its cells.
    pub(crate) regions: &'a [AtomicU64],
    /// [`PAGES_PER_REGION`] cells for each region.
    pub(crate) cells: &'a [AtomicU64],
}

impl<'a> HeatMemory<'a> {
    fn page(&self, index: usize) -> Option<&'a [AtomicU64; PAGES_PER_REGION]> {
        self.cells
            .get(index.checked_mul(PAGES_PER_REGION)?..)?
            .first_chunk()
    }

    fn region(&self, index: usize) -> Option<&'a [AtomicU64; REGION_WORDS]> {
        self.regions
            .get(index.checked_mul(REGION_WORDS)?..)?
            .first_chunk()
    }

    /// How many regions are there, all of whose words may be read.
    pub(crate) fn used(&self) -> usize {
        // Pairs with the store of `used` in `insert`.
        let used = usize::try_from(load_acquire(self.used)).unwrap_or(usize::MAX);
        used.min(self.regions.len() / REGION_WORDS)
            .min(self.cells.len() / PAGES_PER_REGION)
    }
}

/// Region number and kind in one word: `addr >> 21 << 2 | kind`.
fn key_of(addr: u64, kind: Kind) -> u64 {
    addr >> REGION_SHIFT << 2 | kind as u64
}

/// The parts of the table that need memory before they can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// This page of the list of regions.
    Regions(usize),
    /// This page of cells.
    Cells(usize),
}

/// The writer's private half of the heat table.
#[derive(Debug)]
pub(crate) struct HeatWriter {
    /// Open addressing: `(key + 1) << 16 | index`; zero is an empty slot. Keys have at most 45 bits.
    slots: Vec<u64>,
    used: usize,
    capacity: usize,
    region_pages: usize,
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
            region_pages: 0,
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
        let region_page = index / REGIONS_PER_PAGE;
        if region_page == self.region_pages {
            self.starved = !back(Backing::Regions(region_page));
            self.region_pages += usize::from(!self.starved);
        }
        self.starved = self.starved || !back(Backing::Cells(index));
        if self.starved {
            return None;
        }
        heat.region(index)?[0].store(key, Ordering::Relaxed);
        self.slots[slot] = (key + 1) << 16 | index as u64;
        self.used += 1;
        // Pairs with the load in `HeatMemory::used`: who sees the count sees the key.
        heat.used.store(self.used as u64, Ordering::Release);
        Some(HeatIndex(index as u32))
    }

    /// Adds to a page's count, in this epoch. Returns whether this is the first event of any kind for that
    /// page.
    #[inline]
    pub(crate) fn add(
        &self,
        heat: HeatMemory<'_>,
        index: HeatIndex,
        addr: u64,
        count: u32,
        epoch: u32,
    ) -> bool {
        let (Some(page), Some(region)) = (heat.page(index.get()), heat.region(index.get())) else {
            return false;
        };
        let cell = &page[page_in_region(addr)];
        // One writer: a plain load and store are enough, and readers want no order between cells.
        let (before, last) = halves(cell.load(Ordering::Relaxed));
        // An event from before the page was left alone may come later.
        let last = if last == UNWATCHED { last } else { epoch };
        cell.store(pair(before.saturating_add(count), last), Ordering::Relaxed);
        raise(&region[1], epoch);
        before == 0 && count > 0 && !self.touched_otherwise(heat, index, addr)
    }

    /// Says when a page that has had write events was written last: in this epoch, or in each, while stores there
    /// go unseen ([`UNWATCHED`]).
    pub(crate) fn set_epoch(&self, heat: HeatMemory<'_>, addr: u64, epoch: u32) {
        let Some(index) = self.known_region(addr, Kind::Write).map(HeatIndex::get) else {
            return;
        };
        if let (Some(page), Some(region)) = (heat.page(index), heat.region(index)) {
            let cell = &page[page_in_region(addr)];
            let (count, _) = halves(cell.load(Ordering::Relaxed));
            cell.store(pair(count, epoch), Ordering::Relaxed);
            // Not only upwards: all pages are watched again at the same time.
            region[1].store(epoch.into(), Ordering::Relaxed);
        }
    }

    /// The contents of `pages` were given back: those of them that had events may differ from this epoch on.
    pub(crate) fn discard(&self, heat: HeatMemory<'_>, pages: &Range<u64>, epoch: u32) {
        if pages.is_empty() {
            return;
        }
        let (first, last) = (pages.start >> REGION_SHIFT, (pages.end - 1) >> REGION_SHIFT);
        // By the size of the range or by that of the table, whichever is less: a reservation of terabytes is
        // given back in one call, too.
        if (last - first) < self.used as u64 {
            for key in first << 2..(last + 1) << 2 {
                if let Some(Ok(index)) = self.find(key) {
                    discard_in(heat, index.get(), pages, epoch);
                }
            }
        } else {
            (0..self.used).for_each(|index| discard_in(heat, index, pages, epoch));
        }
    }

    /// Whether the page has events of another kind than that of `index`.
    fn touched_otherwise(&self, heat: HeatMemory<'_>, index: HeatIndex, addr: u64) -> bool {
        Kind::ALL
            .iter()
            .any(|&kind| match self.find(key_of(addr, kind)) {
                Some(Ok(other)) if other != index => heat.page(other.get()).is_some_and(|page| {
                    halves(page[page_in_region(addr)].load(Ordering::Relaxed)).0 > 0
                }),
                _ => false,
            })
    }
}

/// See [`HeatWriter::discard`], for one region.
fn discard_in(heat: HeatMemory<'_>, index: usize, pages: &Range<u64>, epoch: u32) {
    let (Some(region), Some(page)) = (heat.region(index), heat.page(index)) else {
        return;
    };
    let base = region[0].load(Ordering::Relaxed) >> 2 << REGION_SHIFT;
    let end = pages.end.min(base.saturating_add(HugePage::BYTES));
    let start = pages.start.max(base);
    if start >= end {
        return;
    }
    let inside = (start - base) >> PAGE_SHIFT..(end - base).div_ceil(PAGE_SIZE as u64);
    for cell in &page[inside.start as usize..inside.end as usize] {
        let (count, before) = halves(cell.load(Ordering::Relaxed));
        if count > 0 && before < epoch {
            cell.store(pair(count, epoch), Ordering::Relaxed);
            raise(&region[1], epoch);
        }
    }
}

/// The last epoch of a region grows, but for the end of a time when a page of it was not watched.
#[inline]
fn raise(last: &AtomicU64, epoch: u32) {
    if last.load(Ordering::Relaxed) < u64::from(epoch) {
        last.store(epoch.into(), Ordering::Relaxed);
    }
}

pub(crate) fn page_in_region(addr: u64) -> usize {
    (addr >> PAGE_SHIFT) as usize % PAGES_PER_REGION
}

/// The total of one page and kind since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heat {
    /// Address of the 4 KiB page.
    pub addr: u64,
    /// Who touched it.
    pub kind: Kind,
    /// Number of events; a segment counts up to `u32::MAX`.
    pub count: u64,
    /// Epoch of the last one, or later, when the page's contents were given back to the system;
    /// [`UNWATCHED`](crate::UNWATCHED) while stores there go unseen, for a page that is written all the time.
    pub epoch: u32,
}

/// Region and kind of an entry of the list: its first address. `None` for a kind that is not known.
pub(crate) fn region_of(key: u64) -> Option<(u64, Kind)> {
    Some((key >> 2 << REGION_SHIFT, Kind::from_bits(key & 3)?))
}

/// What a cell says of its page, if that had any events.
pub(crate) fn heat_of(base: u64, kind: Kind, offset: usize, cell: u64) -> Option<Heat> {
    let (count, epoch) = halves(cell);
    let addr = base | (offset as u64) << PAGE_SHIFT;
    (count > 0).then_some(Heat {
        addr,
        kind,
        count: count.into(),
        epoch,
    })
}

/// The regions and their cells, in the order in which they were first touched, of those whose last epoch is
/// above `since`.
pub(crate) fn regions(
    heat: HeatMemory<'_>,
    since: Option<u32>,
) -> impl Iterator<Item = (u64, Kind, &[AtomicU64; PAGES_PER_REGION])> {
    (0..heat.used()).filter_map(move |index| {
        let [key, last] = heat.region(index)?;
        if since.is_some_and(|since| last.load(Ordering::Relaxed) <= u64::from(since)) {
            return None;
        }
        let (base, kind) = region_of(key.load(Ordering::Relaxed))?;
        Some((base, kind, heat.page(index)?))
    })
}

/// Every page with events, in the order in which the regions were first touched.
pub(crate) fn cells(heat: HeatMemory<'_>) -> impl Iterator<Item = Heat> + '_ {
    regions(heat, None).flat_map(|(base, kind, page)| {
        page.iter().enumerate().filter_map(move |(offset, cell)| {
            heat_of(base, kind, offset, cell.load(Ordering::Relaxed))
        })
    })
}

/// Addresses of the pages that were written, by the program or for it, or given back, after the end of epoch
/// `since`: in order, each once.
pub(crate) fn written_since(heat: HeatMemory<'_>, since: u32) -> Vec<u64> {
    let mut pages = Vec::new();
    for (base, kind, page) in regions(heat, Some(since)) {
        if kind == Kind::Read {
            continue;
        }
        for (offset, cell) in page.iter().enumerate() {
            let heat = heat_of(base, kind, offset, cell.load(Ordering::Relaxed));
            pages.extend(heat.filter(|heat| heat.epoch > since).map(|heat| heat.addr));
        }
    }
    pages.sort_unstable();
    pages.dedup();
    pages
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
