//! The guest's page tables: leaf entries made from the program's mappings, lazily.
//!
//! Upper-level entries are only ever added. Leaf entries come and go; their accessed and dirty bits
//! outlive them (the processor ignores a non-present entry), because the harvester asks them: the dirty
//! bit, whether a page in the dirty log was really stored to, since KVM also logs a page that it merely
//! mapped writable on a read; the accessed bit, whether a page was read.
//!
//! All vCPUs share these tables, but for the way to the window, where each has pages of its own (`roots`).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vm_memory::{Address, GuestAddress};

use super::arena::Arena;
use super::layout::{PAGE, USER_END};
use super::roots::{Places, Root, Roots, index};
use crate::kvm::vm::Vm;

// Bits of an entry: Intel SDM volume 3A, section 4.5, table 4-20.
const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const TOUCHED: u64 = ACCESSED | DIRTY;
/// One that the processor leaves to software.
const UNWATCHED: u64 = 1 << 9;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Bytes that one leaf table maps.
pub(crate) const LEAF_SPAN: u64 = 512 * PAGE;

/// What a leaf entry allows. Presence implies reading, as on the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Stores are allowed.
    pub write: bool,
    /// Instruction fetches are allowed.
    pub execute: bool,
}

impl Access {
    fn bits(self) -> u64 {
        let write = if self.write { WRITABLE } else { 0 };
        let execute = if self.execute { 0 } else { NO_EXECUTE };
        write | execute
    }
}

/// The tables of one address space.
pub(crate) struct PageTables {
    arena: Box<Arena>,
    root: GuestAddress,
    /// Locked while tables are added, so that two faults never add the same one twice.
    roots: Mutex<Roots>,
    /// Bits with which leaf entries start out, since nobody will ask for them: that saves the processor
    /// from setting them.
    preset: u64,
}

/// Which bits somebody will ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watched {
    /// The dirty bit.
    pub writes: bool,
    /// The accessed bit.
    pub reads: bool,
}

/// What became of a page since its bits were last taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Loaded from, stored to, or executed.
    pub accessed: bool,
    /// Stored to.
    pub written: bool,
}

/// The leaf tables that [`PageTables::scan_accessed`] found accessed last, each with the first address
/// that it maps.
pub(crate) type Accessed = Vec<(GuestAddress, u64)>;

impl PageTables {
    /// Empty tables in a fresh arena. `window`: the first address of the leaf table's span in which each vCPU has
    /// pages of its own.
    ///
    /// # Errors
    /// As [`Arena::allocate`].
    pub(crate) fn new(vm: &Vm, window: u64, watched: Watched) -> io::Result<Self> {
        let unless = |watched, bit| if watched { 0 } else { bit };
        let arena = Arena::new();
        let root = arena.allocate(vm)?;
        Ok(Self {
            arena,
            root,
            roots: Mutex::new(Roots::new(window)),
            preset: unless(watched.writes, DIRTY) | unless(watched.reads, ACCESSED),
        })
    }

    fn roots(&self) -> MutexGuard<'_, Roots> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the tables of one vCPU: they show what all share, and from the window's first address on the system
    /// pages `window`, for which ring 3 has the right to execute and, with true, the right to store. Returns the
    /// guest-physical address of the root, for CR3.
    ///
    /// # Errors
    /// As [`Arena::allocate`].
    pub(crate) fn add_root(
        &self,
        vm: &Vm,
        window: &[(GuestAddress, bool)],
    ) -> io::Result<GuestAddress> {
        let mut roots = self.roots();
        let start = roots.window();
        let leaf = self.arena.allocate(vm)?;
        for (i, &(frame, write)) in window.iter().enumerate() {
            let rights = if write { WRITABLE } else { 0 };
            let entry = frame.raw_value() | PRESENT | USER | ACCESSED | DIRTY | rights;
            let at = leaf.unchecked_add(8 * (index(start, 0) + i as u64));
            self.arena.word(at).store(entry, Ordering::Relaxed);
        }
        let mut root = Root {
            tables: [GuestAddress(0); 3],
        };
        let mut below = leaf;
        for level in 1..=3 {
            let table = self.arena.allocate(vm)?;
            if let Ok(shared) = self.table_of(start, level) {
                for at in (0..PAGE).step_by(8) {
                    let entry = self.arena.word(shared.unchecked_add(at));
                    let copy = self.arena.word(table.unchecked_add(at));
                    copy.store(entry.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
            self.entry(table, start, level)
                .store(upper_entry(below), Ordering::Relaxed);
            root.tables[level as usize - 1] = table;
            below = table;
        }
        roots.add(root);
        Ok(below)
    }

    /// The memory behind the tables, for system pages.
    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    fn entry(&self, table: GuestAddress, va: u64, level: u32) -> &AtomicU64 {
        self.arena.word(table.unchecked_add(8 * index(va, level)))
    }

    /// The leaf table of `va`, or the level (1 to 3) at which the walk ended.
    fn walk(&self, va: u64) -> Result<GuestAddress, u32> {
        self.table_of(va, 0)
    }

    /// The shared table that holds the entry of `lowest` (0 to 3) for `va`, or the level at which the walk ended.
    fn table_of(&self, va: u64, lowest: u32) -> Result<GuestAddress, u32> {
        let mut table = self.root;
        for level in (lowest + 1..=3).rev() {
            // Pairs with the Release store in `grow_to`: a table is seen only once it is zeroed.
            match self.entry(table, va, level).load(Ordering::Acquire) {
                e if e & PRESENT == 0 => return Err(level),
                e => table = GuestAddress(e & ADDRESS),
            }
        }
        Ok(table)
    }

    fn grow_to(&self, vm: &Vm, va: u64) -> io::Result<GuestAddress> {
        let roots = self.roots();
        let mut table = self.root;
        for level in (1..=3).rev() {
            let entry = self.entry(table, va, level);
            let mut value = entry.load(Ordering::Acquire);
            if value & PRESENT == 0 {
                value = upper_entry(self.arena.allocate(vm)?);
                entry.store(value, Ordering::Release);
                for copy in roots.places(va, level).copies() {
                    self.arena.word(copy).store(value, Ordering::Release);
                }
            }
            table = GuestAddress(value & ADDRESS);
        }
        Ok(table)
    }

    /// Makes leaf entries for the pages `[start, end)`, which lie in one leaf table's span, with
    /// `start` at guest-physical `gpa`. Present entries are brought up to date.
    ///
    /// # Errors
    /// As [`Arena::allocate`], for the tables.
    pub(crate) fn fill(
        &self,
        vm: &Vm,
        start: u64,
        end: u64,
        gpa: GuestAddress,
        access: Access,
    ) -> io::Result<()> {
        debug_assert_eq!(start / LEAF_SPAN, (end - 1) / LEAF_SPAN);
        let table = match self.walk(start) {
            Ok(table) => table,
            Err(_) => self.grow_to(vm, start)?,
        };
        let bits = PRESENT | USER | self.preset | access.bits();
        for (i, va) in (start..end).step_by(PAGE as usize).enumerate() {
            let value = bits | gpa.unchecked_add(i as u64 * PAGE).raw_value();
            let entry = self.entry(table, va, 0);
            let mut old = entry.load(Ordering::Relaxed);
            // The processor may set these bits at any moment: they must not get lost.
            while old & !TOUCHED != value & !TOUCHED {
                let new = value | (old & TOUCHED);
                match entry.compare_exchange_weak(old, new, Ordering::Release, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(now) => old = now,
                }
            }
        }
        Ok(())
    }

    /// A zeroed page for [`PageTables::add_root`].
    ///
    /// # Errors
    /// As [`Arena::allocate`].
    pub(crate) fn system_page(&self, vm: &Vm) -> io::Result<GuestAddress> {
        let _roots = self.roots();
        self.arena.allocate(vm)
    }

    /// Makes a supervisor entry for one system page.
    ///
    /// # Errors
    /// As [`Arena::allocate`].
    pub(crate) fn map_system(&self, vm: &Vm, va: u64) -> io::Result<GuestAddress> {
        let table = self.grow_to(vm, va)?;
        let frame = self.system_page(vm)?;
        let bits = PRESENT | WRITABLE | ACCESSED | DIRTY;
        self.entry(table, va, 0)
            .store(frame.raw_value() | bits, Ordering::Release);
        Ok(frame)
    }

    /// Calls `f` with the address and the entry of the pages in `[start, end)` that have one.
    fn for_each(&self, start: u64, end: u64, mut f: impl FnMut(u64, &AtomicU64)) {
        let mut va = start;
        while va < end {
            match self.walk(va) {
                Ok(table) => {
                    let stop = end.min((va | (LEAF_SPAN - 1)) + 1);
                    for page in (va..stop).step_by(PAGE as usize) {
                        f(page, self.entry(table, page, 0));
                    }
                    va = stop;
                }
                Err(level) => {
                    let span = 1u64 << (12 + 9 * level);
                    va = (va | (span - 1)) + 1;
                }
            }
        }
    }

    /// Gives the page at `va`, if it is present at `from`, another guest-physical address of the same host
    /// memory. Translations that are in use stay so.
    pub(crate) fn readdress(&self, va: u64, from: GuestAddress, to: GuestAddress) -> bool {
        let Ok(table) = self.walk(va) else {
            return false;
        };
        let entry = self.entry(table, va, 0);
        let mut old = entry.load(Ordering::Relaxed);
        while old & PRESENT != 0 && old & ADDRESS == from.raw_value() {
            let new = (old & !ADDRESS) | to.raw_value();
            match entry.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
        false
    }

    /// Makes the entry of a page of code that is none of the program's: nobody hears of what becomes of it.
    ///
    /// # Errors
    /// As [`Arena::allocate`], for the tables.
    pub(crate) fn fill_unwatched(&self, vm: &Vm, va: u64, gpa: GuestAddress) -> io::Result<()> {
        let table = match self.walk(va) {
            Ok(table) => table,
            Err(_) => self.grow_to(vm, va)?,
        };
        let bits = PRESENT | USER | ACCESSED | DIRTY | UNWATCHED;
        self.entry(table, va, 0)
            .store(gpa.raw_value() | bits, Ordering::Release);
        Ok(())
    }

    /// Takes the pages `[start, end)` away from the guest. Only what the host's MMU notifiers do
    /// afterwards makes it final: the caller makes the host call next.
    pub(crate) fn clear(&self, start: u64, end: u64) {
        self.for_each(start, end, |_, entry| {
            if entry.load(Ordering::Relaxed) != 0 {
                entry.fetch_and(TOUCHED, Ordering::AcqRel);
            }
        });
    }

    /// Takes the pages `[start, end)` away for good, and calls `f` with the address of each that was touched
    /// since its bits were last taken. See [`PageTables::clear`].
    pub(crate) fn retire(&self, start: u64, end: u64, mut f: impl FnMut(u64, Touched)) {
        self.for_each(start, end, |va, entry| {
            if entry.load(Ordering::Relaxed) == 0 {
                return;
            }
            let old = entry.swap(0, Ordering::AcqRel) & !self.preset;
            if old & TOUCHED != 0 && old & UNWATCHED == 0 {
                f(va, touched(old));
            }
        });
    }

    /// Brings the present entries of `[start, end)` to `access`. See [`PageTables::clear`] for what
    /// makes a restriction final.
    pub(crate) fn protect(&self, start: u64, end: u64, access: Access) {
        let rights = access.bits();
        self.for_each(start, end, |_, entry| {
            let mut old = entry.load(Ordering::Relaxed);
            while old & PRESENT != 0 {
                let new = (old & !(WRITABLE | NO_EXECUTE)) | rights;
                match entry.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(now) => old = now,
                }
            }
        });
    }

    /// Calls `f` with the address of every page that was accessed since the last scan, and whether it
    /// was stored to since that was last asked; clears the accessed bits that it finds, not the dirty ones.
    ///
    /// What it costs grows with what was accessed: it follows the accessed bits of the upper levels, which
    /// the processor sets on its way down. An upper entry that it has cached it may pass by, until the
    /// translations are flushed or dropped; so the tables of `recent` are looked at once more.
    pub(crate) fn scan_accessed(&self, recent: &mut Accessed, mut f: impl FnMut(u64, bool)) {
        let mut found = Accessed::new();
        self.accessed_tables(&self.roots(), self.root, 0, 3, &mut found);
        let again = recent
            .iter()
            .filter(|table| found.binary_search_by_key(&table.1, |seen| seen.1).is_err());
        for &(table, va) in found.iter().chain(again) {
            self.scan_leaf(table, va, &mut f);
        }
        *recent = found;
    }

    /// Whether anything was accessed since the last scan.
    pub(crate) fn is_accessed(&self) -> bool {
        let roots = self.roots();
        // Each access but those to the window goes through an entry of which each vCPU has a copy.
        let copied = roots.copied().filter(|&(va, _)| va < USER_END);
        copied
            .flat_map(|(va, level)| roots.places(va, level).copies())
            .any(|copy| {
                let entry = self.arena.word(copy).load(Ordering::Relaxed);
                entry & (PRESENT | ACCESSED) == PRESENT | ACCESSED
            })
    }

    fn scan_leaf(&self, table: GuestAddress, start: u64, f: &mut impl FnMut(u64, bool)) {
        for index in 0..512 {
            let entry = self.arena.word(table.unchecked_add(8 * index));
            if entry.load(Ordering::Relaxed) & (ACCESSED | UNWATCHED) == ACCESSED {
                let old = entry.fetch_and(!ACCESSED, Ordering::AcqRel);
                f(start + index * PAGE, old & DIRTY != 0);
            }
        }
    }

    /// Adds the accessed leaf tables below `table`, which maps the addresses from `start` on, in order.
    fn accessed_tables(
        &self,
        roots: &Roots,
        table: GuestAddress,
        start: u64,
        level: u32,
        found: &mut Accessed,
    ) {
        // The upper half of the root is the launcher's.
        let entries = if level == 3 { 256 } else { 512 };
        for index in 0..entries {
            let entry = self.arena.word(table.unchecked_add(8 * index));
            let value = entry.load(Ordering::Acquire);
            let va = start + (index << (12 + 9 * level));
            if value & PRESENT == 0 || !self.take_upper(roots.places(va, level), entry) {
                continue;
            }
            let next = GuestAddress(value & ADDRESS);
            match level {
                1 => found.push((next, va)),
                _ => self.accessed_tables(roots, next, va, level - 1, found),
            }
        }
    }

    /// Clears the accessed bit of an entry of an upper level, which lies in `places`, and says whether it was set in
    /// one of them.
    fn take_upper(&self, places: Places<'_>, shared: &AtomicU64) -> bool {
        let take = |entry: &AtomicU64| {
            entry.load(Ordering::Relaxed) & ACCESSED != 0
                && entry.fetch_and(!ACCESSED, Ordering::AcqRel) & ACCESSED != 0
        };
        match places {
            Places::Shared => take(shared),
            Places::Copies { .. } => places
                .copies()
                .fold(false, |taken, copy| take(self.arena.word(copy)) | taken),
            // On the way to the window, which all processors take.
            Places::Own => true,
        }
    }

    /// Whether the page at `va` was stored to since this was last asked.
    pub(crate) fn take_dirty(&self, va: u64) -> bool {
        self.take(va, DIRTY)
    }

    /// Whether the page at `va` was seen accessed since this was last asked. Fresh entries are.
    pub(crate) fn take_accessed(&self, va: u64) -> bool {
        self.take(va, ACCESSED)
    }

    /// Clears `bit` of the leaf entry of `va` and says whether it was set.
    fn take(&self, va: u64, bit: u64) -> bool {
        match self.walk(va) {
            Ok(table) => {
                let entry = self.entry(table, va, 0);
                entry.load(Ordering::Acquire) & bit != 0
                    && entry.fetch_and(!bit, Ordering::AcqRel) & bit != 0
            }
            Err(_) => false,
        }
    }
}

/// An entry that leads to `table`. Upper levels allow everything; the leaves decide.
fn upper_entry(table: GuestAddress) -> u64 {
    table.raw_value() | PRESENT | WRITABLE | USER | ACCESSED
}

fn touched(entry: u64) -> Touched {
    Touched {
        accessed: entry & ACCESSED != 0,
        written: entry & DIRTY != 0,
    }
}
