//! Call sites that are replaced: where the `syscall` instruction itself traps, as on a KVM that runs the guest in ring 3,
//! the program's hot call sites jump to a thunk instead, which asks for the call in the request page without a trap.
//!
//! What is changed is the program's own copy of the page: private and from a file, readable and executable, never
//! writable since it was mapped. It stays as it is until its mapping goes, moves or becomes writable, when the instruction
//! is put back; children have it with their memory. Of the
//! thunks the program sees nothing: their pages are the launcher's, and whoever looks at where the program is finds it
//! at the instruction that the thunk stands for ([`CallSites::original`]).

mod form;
pub(crate) mod hot;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use form::{BEFORE, JUMP, Site, THUNK};

use super::mappings::{Backing, Mappings};
use super::memory::{Memory, page_down, reserve};
use crate::guest::layout::PAGE;
use crate::guest::stub_page;
use crate::host::descriptors::{self, Numbers, Parked};
use crate::host::{guest_memory, relay, residency, threads};

/// How far from a call site its thunk may be: less than what a jump reaches, since both are not points.
const REACH: u64 = 1 << 30;

/// Places that are tried for a page of thunks, one after the other, downwards.
const PLACES: u64 = 4096;

/// INT3.
const BREAKPOINT: u8 = 0xcc;

/// A page of thunks: the address that they go on at, then the thunks.
#[derive(Debug, Clone, Copy)]
struct Page {
    at: u64,
    /// Where the next thunk goes.
    free: u64,
}

#[derive(Debug, Clone, Default)]
struct State {
    pages: Vec<Page>,
    /// By the thunks' addresses. They stay, since a thread may be in one.
    thunks: BTreeMap<u64, Site>,
    /// Sites that were looked at, by the ends of their `syscall` instructions, and those of them that are replaced.
    sites: BTreeMap<u64, Option<Site>>,
}

impl State {
    /// Whether a site is replaced whose first byte lies in `range`.
    fn is_replaced(&self, range: Range<u64>) -> bool {
        let near = range.start..range.end + BEFORE as u64;
        let mut sites = self.sites.range(near).filter_map(|(_, site)| *site);
        sites.any(|site| range.contains(&site.start()))
    }
}

/// The call sites of one memory.
#[derive(Default)]
pub(crate) struct CallSites {
    state: Mutex<State>,
    /// Some were looked at.
    any: AtomicBool,
    /// Changes when code goes whose call sites were looked at.
    generation: AtomicU32,
    /// Opened when the first site is replaced.
    files: OnceLock<Option<Files>>,
}

/// The memory as the kernel shows it. They stay open: what opens and closes beside the program's threads would get in the
/// way of its descriptors.
struct Files {
    /// To write to a private copy of a page while its mapping stays what it is, for everyone to see.
    memory: Parked,
    /// To see whether there is such a copy.
    pages: Parked,
    /// The table of descriptors that they are in: a child that shares the memory may have another.
    made_in: Numbers,
}

impl Files {
    fn open() -> io::Result<Self> {
        let memory = || File::options().write(true).open("/proc/thread-self/mem");
        Ok(Self {
            memory: Parked::open(memory)?,
            pages: Parked::open(residency::open)?,
            made_in: descriptors::numbers(),
        })
    }
}

impl Clone for CallSites {
    fn clone(&self) -> Self {
        Self {
            state: Mutex::new(self.lock().clone()),
            any: AtomicBool::new(self.any.load(Ordering::Relaxed)),
            generation: AtomicU32::new(self.generation()),
            // Those are of this process's memory.
            files: OnceLock::new(),
        }
    }
}

impl CallSites {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`hot::HotSites`].
    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Whether `addr` lies in a page of thunks.
    pub(crate) fn is_thunk(&self, addr: u64) -> bool {
        self.any.load(Ordering::Acquire)
            && self
                .lock()
                .pages
                .iter()
                .any(|page| page.at == page_down(addr))
    }

    /// Where in the program's own code a thread is whose instruction pointer is `rip`, and whether that is the
    /// replaced instruction itself; None outside the thunks.
    pub(crate) fn original(&self, rip: u64) -> Option<(u64, bool)> {
        if !self.is_thunk(rip) {
            return None;
        }
        let state = self.lock();
        let (&at, site) = state.thunks.range(..=rip).next_back()?;
        Some((site.original(rip - at), rip == at))
    }

    /// Whether the breakpoint at `addr` was ours: then it is gone by now. The program may have breakpoints of its own,
    /// and the second byte of `int 3` looks like none.
    pub(crate) fn was_changing(&self, addr: u64) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        // Held for as long as code is being changed. Thunks outlive their sites.
        let state = self.lock();
        let is_ours = state.thunks.values().any(|site| site.start() == addr);
        is_ours && guest_memory::read::<u8>(addr) != Ok(BREAKPOINT)
    }

    /// Replaces the first bytes of the instruction at `start`, so that another thread sees either the old or the new one.
    fn change_code(&self, start: u64, code: &[u8], alone: bool) -> io::Result<()> {
        let files = self.files().ok_or(io::ErrorKind::NotFound)?;
        let write = |bytes, at| files.memory.file().write_all_at(bytes, at);
        if alone {
            return write(code, start);
        }
        // As the kernel does with its own code (text_poke_bp): who comes by in between takes a breakpoint, and waits in
        // `was_changing`. An interrupt has processors read their instructions again.
        write(&[BREAKPOINT], start)?;
        threads::disturb_others();
        write(&code[1..], start + 1)?;
        threads::disturb_others();
        write(&code[..1], start)?;
        threads::disturb_others();
        Ok(())
    }

    fn files(&self) -> Option<&Files> {
        let files = self.files.get_or_init(|| Files::open().ok()).as_ref();
        files.filter(|files| files.made_in == descriptors::numbers())
    }

    /// The code in `range` goes, moves, or becomes the program's to write to, which finds it as it was.
    pub(crate) fn forget(&self, range: &Range<u64>) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.lock();
        // A site may begin in the range and end behind it.
        let near = range.start..range.end + BEFORE as u64;
        let gone: Vec<_> = state
            .sites
            .range(near)
            .map(|(&end, &site)| (end, site))
            .collect();
        if gone.is_empty() {
            return;
        }
        for (end, site) in gone {
            if let Some(site) = site {
                // Where that fails, the jump stays, and does what was there.
                let _ = self.change_code(site.start(), &site.replaced(), false);
            }
            state.sites.remove(&end);
        }
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

impl Memory {
    /// Replaces the call site whose `syscall` instruction, with call number `nr`, ends at `end`, if it can be. `alone`:
    /// no other thread runs the program's code.
    pub(crate) fn replace_call_site(&self, end: u64, nr: u64, alone: bool) {
        let table = self.write();
        let sites = self.call_sites();
        let mut state = sites.lock();
        if state.sites.contains_key(&end) {
            return;
        }
        sites.any.store(true, Ordering::Release);
        state.sites.insert(end, None);
        let replacement = self.prepare(&mut state, &table, end, nr);
        let Some((site, jump)) = replacement else {
            return;
        };
        // Before there is a breakpoint, so that who meets it finds the site.
        state.sites.insert(end, Some(site));
        if sites.change_code(site.start(), &jump, alone).is_err() {
            state.sites.insert(end, None);
        }
    }

    /// Writes the thunk of a site that can be replaced; the jump to it is what is left to do.
    fn prepare(
        &self,
        state: &mut State,
        table: &Mappings,
        end: u64,
        nr: u64,
    ) -> Option<(Site, [u8; JUMP])> {
        let mut before = [0; BEFORE];
        guest_memory::read_bytes(end.checked_sub(BEFORE as u64)?, &mut before).ok()?;
        let site = Site::recognise(&before, end, nr)?;
        let start = site.start();
        if !is_code(table, &(start..end)) {
            return None;
        }
        // Not code that the program has written; a page with replaced sites is our own doing.
        let pages = [page_down(start), page_down(end - 1)];
        let files = self.call_sites().files()?;
        let is_original = |&page: &u64| {
            state.is_replaced(page..page + PAGE)
                || residency::is_from_file(files.pages.file(), page)
        };
        if !pages.iter().all(is_original) {
            return None;
        }
        let page = self.page_near(state, table, start)?;
        let (at, thunk) = (page.at, page.free);
        let jump = site.jump(thunk)?;
        write_thunks(thunk, &site.thunk(thunk, at)?)?;
        page.free += THUNK;
        state.thunks.insert(thunk, site);
        Some((site, jump))
    }

    /// A page with room for a thunk, near the code at `near`.
    fn page_near<'a>(
        &self,
        state: &'a mut State,
        table: &Mappings,
        near: u64,
    ) -> Option<&'a mut Page> {
        let fits =
            |page: &Page| page.at.abs_diff(near) < REACH && page.free + THUNK <= page.at + PAGE;
        if !state.pages.iter().any(fits) {
            state.pages.push(self.new_page(table, near)?);
        }
        state.pages.iter_mut().find(|page| fits(page))
    }

    /// A page of thunks below the mappings that the code at `near` lies among.
    fn new_page(&self, table: &Mappings, near: u64) -> Option<Page> {
        let lowest = lowest_neighbour(table, near)?;
        let at = (1..=PLACES)
            .filter_map(|n| lowest.checked_sub(n * PAGE))
            .filter(|&at| near - at < REACH)
            .find(|&at| table.at(at).is_none() && reserve(&(at..at + PAGE)).is_ok())?;
        let goes_on = self.machine().window + stub_page::call_entry();
        write_thunks(at, &goes_on.to_le_bytes())?;
        Some(Page {
            at,
            free: at + THUNK,
        })
    }
}

/// Whether `range` is code that nobody may write to: private and from a file.
fn is_code(table: &Mappings, range: &Range<u64>) -> bool {
    table.at(range.start).is_some_and(|(whole, mapping)| {
        let is_file = matches!(mapping.backing, Backing::File { .. });
        let (prot, private) = (mapping.prot, !mapping.shared);
        let is_code = is_file && private && prot.executable() && !prot.writable();
        is_code && range.end <= whole.end
    })
}

/// Where the mappings begin that lie around `near` without a gap.
fn lowest_neighbour(table: &Mappings, near: u64) -> Option<u64> {
    let (mut range, _) = table.at(near)?;
    while let Some((below, _)) = range.start.checked_sub(1).and_then(|at| table.at(at)) {
        range = below;
    }
    Some(range.start)
}

/// Writes to a page of thunks, which nobody else may do, not even the kernel for the program.
fn write_thunks(at: u64, bytes: &[u8]) -> Option<()> {
    let protect = |rights: libc::c_int| {
        let args = [page_down(at), PAGE, rights as u64, 0, 0, 0];
        // SAFETY: the page is reserved for thunks, which are read by guests alone.
        relay::check(unsafe { relay::raw(libc::SYS_mprotect, args) }).ok()
    };
    protect(libc::PROT_READ | libc::PROT_WRITE)?;
    let written = guest_memory::write_bytes(at, bytes);
    protect(libc::PROT_READ)?;
    written.ok()
}
