//! What was touched: for each page, or block of `--resolution`, how often and as what; and the same for each mapping.

use super::events::Row;
use super::groups::GroupId;
use rustc_hash::FxHashMap;

/// Units in a chunk, which is allocated as a whole: little enough for memory that is touched here and there.
const UNITS: usize = 64;
/// Bytes of a huge page, as a power of two.
const REGION_SHIFT: u32 = 21;
/// Bytes of a page, as a power of two.
const PAGE_SHIFT: u32 = 12;

/// What became of a unit: a page, or a block.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unit {
    /// Events by kind.
    pub(super) events: [u32; 3],
    /// Pages times epochs in which they were touched in any way.
    pub(super) touched: u32,
    /// The last epoch with an event.
    last: u32,
    /// Whose it was at last.
    pub(super) group: GroupId,
    /// Distinct pages: the most of any row.
    pub(super) pages: u16,
}

impl Unit {
    /// All of its events.
    pub(super) fn all(&self) -> u64 {
        self.events.iter().map(|&events| u64::from(events)).sum()
    }

    fn is_touched(&self) -> bool {
        self.pages > 0
    }
}

/// Totals of the mappings of a group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) events: [u64; 3],
    /// Pages times epochs in which they were touched in any way.
    pub(super) touched: u64,
    /// Distinct pages.
    pub(super) pages: u64,
    /// When the epochs of its first and last event began, CLOCK_MONOTONIC nanoseconds.
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
}

/// A number for each unit that is the same as long as nothing is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Index(pub(super) u32);

/// All units.
#[derive(Debug)]
pub(super) struct Touched {
    /// Bytes of a unit, as a power of two.
    unit_shift: u32,
    /// A row is one page and one epoch.
    exact: bool,
    chunk_of: FxHashMap<u64, u32>,
    /// What a chunk has in front of the bits that tell its units apart.
    keys: Vec<u64>,
    chunks: Vec<[Unit; UNITS]>,
    /// The chunk of the event before: the next one is likely to be in it, too.
    recent: (u64, u32),
    totals: Vec<Totals>,
    /// Which units of a chunk a group has had.
    shares: FxHashMap<(GroupId, u32), u64>,
    /// When the first and the last event's epoch began, CLOCK_MONOTONIC nanoseconds.
    pub(super) time_ns: Option<(i64, i64)>,
    /// Different epochs, one after the other, that had events.
    pub(super) epochs: u64,
    last_epoch: u32,
}

impl Touched {
    /// Nothing yet. A unit has so many bytes, a power of two; with `exact`, each row will be one page and one epoch.
    pub(super) fn new(unit_bytes: u64, exact: bool, groups: usize) -> Self {
        Self {
            unit_shift: unit_bytes.max(1 << PAGE_SHIFT).ilog2(),
            exact,
            chunk_of: FxHashMap::default(),
            keys: Vec::new(),
            chunks: Vec::new(),
            recent: (u64::MAX, 0),
            totals: vec![Totals::default(); groups],
            shares: FxHashMap::default(),
            time_ns: None,
            epochs: 0,
            last_epoch: 0,
        }
    }

    /// Counts a row, which hit a mapping of this group.
    pub(super) fn add(&mut self, row: &Row, group: GroupId) {
        self.add_time(row);
        let (chunk, slot) = self.chunk(row.address);
        let unit = &mut self.chunks[chunk as usize][slot];
        let is_new = !unit.is_touched();
        let counted = &mut unit.events[row.kind];
        *counted = counted.saturating_add(u32::try_from(row.count).unwrap_or(u32::MAX));
        // At least one: a row says that something was touched.
        let pages = row.pages.clamp(1, 1 << (self.unit_shift - PAGE_SHIFT));
        unit.pages = unit.pages.max(pages as u16);
        // Records of an epoch come before those of the next one.
        let touched = u32::from(self.exact && (is_new || unit.last != row.epoch));
        unit.touched += touched;
        unit.last = row.epoch;
        if is_new || unit.group != group {
            unit.group = group;
            *self.shares.entry((group, chunk)).or_default() |= 1 << slot;
        }
        let totals = &mut self.totals[group.0 as usize];
        if totals.events == [0; 3] {
            totals.first_ns = row.time_ns;
        }
        let counted = &mut totals.events[row.kind];
        *counted = counted.saturating_add(row.count);
        totals.touched += u64::from(touched);
        totals.last_ns = row.time_ns;
    }

    fn add_time(&mut self, row: &Row) {
        if self.time_ns.is_none() || row.epoch != self.last_epoch {
            self.epochs += 1;
            self.last_epoch = row.epoch;
            let (first, last) = self.time_ns.unwrap_or((row.time_ns, row.time_ns));
            self.time_ns = Some((first.min(row.time_ns), last.max(row.time_ns)));
        }
    }

    /// The chunk of an address, new if there was none, and which of its units.
    fn chunk(&mut self, address: u64) -> (u32, usize) {
        let unit = address >> self.unit_shift;
        let (key, slot) = (unit / UNITS as u64, (unit % UNITS as u64) as usize);
        if self.recent.0 != key {
            let next = self.chunks.len() as u32;
            let chunk = *self.chunk_of.entry(key).or_insert(next);
            if chunk == next {
                self.keys.push(key);
                self.chunks.push([Unit::default(); UNITS]);
            }
            self.recent = (key, chunk);
        }
        (self.recent.1, slot)
    }

    /// To be called when all rows are in.
    pub(super) fn finish(&mut self) {
        if !self.exact {
            self.estimate();
        }
        for (&(group, chunk), &mask) in &self.shares {
            let units = &self.chunks[chunk as usize];
            let had = (0..UNITS).filter(|slot| mask >> slot & 1 == 1);
            let pages = had.map(|slot| u64::from(units[slot].pages)).sum::<u64>();
            self.totals[group.0 as usize].pages += pages;
        }
        self.shares = FxHashMap::default();
    }

    /// In how many epochs units of rows for several epochs were touched: stores and loads are told for different
    /// epochs, the kernel's for any.
    fn estimate(&mut self) {
        for unit in self.chunks.iter_mut().flatten() {
            let [write, read, kernel] = unit.events;
            unit.touched = write.saturating_add(read).max(kernel);
            if unit.is_touched() {
                self.totals[unit.group.0 as usize].touched += u64::from(unit.touched);
            }
        }
    }

    /// Where the unit of an address is kept. `None`: nothing of it was added.
    pub(super) fn index(&mut self, address: u64) -> Option<Index> {
        let unit = address >> self.unit_shift;
        let (key, slot) = (unit / UNITS as u64, (unit % UNITS as u64) as u32);
        if self.recent.0 != key {
            self.recent = (key, *self.chunk_of.get(&key)?);
        }
        Some(Index(self.recent.1 * UNITS as u32 + slot))
    }

    /// Behind the largest index.
    pub(super) fn indexes(&self) -> usize {
        self.chunks.len() * UNITS
    }

    /// A unit by its index.
    pub(super) fn unit(&self, index: Index) -> &Unit {
        let index = index.0 as usize;
        &self.chunks[index / UNITS][index % UNITS]
    }

    /// All units that were touched, with their first addresses, lowest first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (u64, Index, &Unit)> {
        let mut order: Vec<u32> = (0..self.chunks.len() as u32).collect();
        order.sort_unstable_by_key(|&chunk| self.keys[chunk as usize]);
        let units = move |chunk: u32| {
            let first = self.keys[chunk as usize] * UNITS as u64;
            let slots = 0..UNITS as u32;
            slots.map(move |slot| {
                let address = (first + u64::from(slot)) << self.unit_shift;
                let index = Index(chunk * UNITS as u32 + slot);
                (address, index, self.unit(index))
            })
        };
        let all = order.into_iter().flat_map(units);
        all.filter(|(_, _, unit)| unit.is_touched())
    }

    /// Bytes of a unit.
    pub(super) fn unit_bytes(&self) -> u64 {
        1 << self.unit_shift
    }

    /// Totals of a group.
    pub(super) fn totals(&self, group: GroupId) -> &Totals {
        &self.totals[group.0 as usize]
    }

    /// Events of all units, by kind.
    pub(super) fn events(&self) -> [u64; 3] {
        let mut sums = [0; 3];
        for totals in &self.totals {
            for (sum, events) in sums.iter_mut().zip(totals.events) {
                *sum = events.saturating_add(*sum);
            }
        }
        sums
    }

    /// For each region of 2 MiB that was touched, how many of its pages were.
    pub(super) fn regions(&self) -> Vec<u32> {
        let mut regions: Vec<(u64, u32)> = Vec::new();
        for (address, _, unit) in self.in_order() {
            let region = address >> REGION_SHIFT;
            match regions.last_mut() {
                Some((last, pages)) if *last == region => *pages += u32::from(unit.pages),
                _ => regions.push((region, unit.pages.into())),
            }
        }
        regions.into_iter().map(|(_, pages)| pages).collect()
    }
}
