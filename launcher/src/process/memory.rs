//! The program's memory: the table of its mappings, and the guest entries made from it.
//!
//! Rights are taken away in this order: leaf entries first, then the host call, whose MMU notifier
//! flushes every vCPU, then the table. Rights are granted in the opposite order. The table's lock is
//! held for writing throughout, and for reading while a fault fills entries, so no entry ever
//! outlives its mapping.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::call_sites::CallSites;
use super::mappings::{Backing, Mapping, Mappings, Prot, host_prot};
use super::{resident, stack};
use crate::guest::layout::{PAGE, USER_END};
use crate::guest::page_tables::{Access, LEAF_SPAN};
use crate::host::relay;
use crate::machine::Machine;

// Page-fault error code: Intel SDM volume 3A, section 4.7.
const ERROR_WRITE: u64 = 1 << 1;
const ERROR_RESERVED: u64 = 1 << 3;
const ERROR_FETCH: u64 = 1 << 4;

/// Most mappings that a forked child is offered at once: some hundred microseconds of work.
const OFFERED_AGAIN: usize = 256;

/// Why an access cannot be allowed, as a signal says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// SIGSEGV, SEGV_MAPERR: nothing is mapped there.
    NotMapped,
    /// SIGSEGV, SEGV_ACCERR: the mapping does not allow it.
    Rights,
    /// SIGBUS, BUS_ADRERR: there is no page behind the mapping.
    NoPage,
    /// SIGBUS, BUS_MCEERR_AR: the memory is broken.
    Poisoned,
    /// The entry itself is malformed: the launcher's own fault.
    Malformed,
}

/// How a fault is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// All pages of the mapping around the address are offered at once.
    Around,
    /// One page, after the host has proved that it can provide it.
    OnePage,
}

/// Where brk(2) stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Break {
    /// Lowest value.
    pub start: u64,
    /// Present value, not necessarily page-aligned.
    pub end: u64,
}

/// The program's memory. One for the process, shared by its threads.
pub(crate) struct Memory {
    machine: &'static Machine,
    table: RwLock<Mappings>,
    heap: Mutex<Break>,
    /// Host memory set aside for the first stack; what the table shows of it follows
    /// RLIMIT_STACK.
    stack: Range<u64>,
    read_implies_exec: AtomicBool,
    /// Inaccessible pages between the program's mappings and the launcher's.
    guards: Mutex<BTreeSet<u64>>,
    call_sites: CallSites,
}

/// On which side of a fork(2) this is.
pub(crate) enum Forked<'a> {
    /// The parent, with the child's id.
    Parent(i32),
    /// The child.
    Child(Copied<'a>),
}

/// What a child knows of the memory that it was given a copy of.
pub(crate) struct Copied<'a> {
    table: Mappings,
    heap: Break,
    of: &'a Memory,
}

impl Copied<'_> {
    /// The child's memory, in a VM of its own.
    pub(crate) fn into_memory(self, machine: &'static Machine) -> Memory {
        Memory {
            machine,
            table: RwLock::new(self.table),
            heap: Mutex::new(self.heap),
            stack: self.of.stack.clone(),
            read_implies_exec: AtomicBool::new(personality_reads_execute()),
            guards: Mutex::new(self.of.guards().clone()),
            call_sites: self.of.call_sites.clone(),
        }
    }
}

/// Rounds up to whole pages; None past the end of the address space.
pub(crate) fn page_up(value: u64) -> Option<u64> {
    Some(value.checked_add(PAGE - 1)? & !(PAGE - 1))
}

/// Rounds down to whole pages.
pub(crate) fn page_down(value: u64) -> u64 {
    value & !(PAGE - 1)
}

fn access(prot: Prot) -> Access {
    Access {
        write: prot.writable(),
        execute: prot.executable(),
    }
}

impl Memory {
    /// The memory of a program whose loader has made `table`.
    pub(crate) fn new(
        machine: &'static Machine,
        table: Mappings,
        heap_start: u64,
        stack: Range<u64>,
    ) -> Self {
        Self {
            machine,
            table: RwLock::new(table),
            heap: Mutex::new(Break {
                start: heap_start,
                end: heap_start,
            }),
            stack,
            read_implies_exec: AtomicBool::new(personality_reads_execute()),
            guards: Mutex::default(),
            call_sites: CallSites::default(),
        }
    }

    /// Runs `fork` while no mapping changes, and in the child (where it returns 0) gives the memory of the
    /// child, whose VM is `machine`'s: the same mappings, of which the guest has no entries yet.
    pub(crate) fn fork(&self, fork: impl FnOnce() -> io::Result<i32>) -> io::Result<Forked<'_>> {
        let table = self.write();
        let heap = self.heap();
        Ok(match fork()? {
            0 => Forked::Child(Copied {
                table: table.clone(),
                heap: *heap,
                of: self,
            }),
            pid => Forked::Parent(pid),
        })
    }

    /// The table, to look at. While it is held, no mapping comes or goes.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Mappings> {
        self.table.read().unwrap_or_else(|e| e.into_inner())
    }

    /// The table, to change it together with the host's mappings.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Mappings> {
        self.table.write().unwrap_or_else(|e| e.into_inner())
    }

    /// Where brk(2) stands.
    pub(crate) fn heap(&self) -> MutexGuard<'_, Break> {
        self.heap.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Takes the pages of `range` away from the guest; the caller makes the host call next.
    pub(crate) fn drop_entries(&self, range: &Range<u64>) {
        self.machine.tables.clear(range.start, range.end);
    }

    /// Has KVM drop its translations of `range`, whose host mapping stays, with the rights `prot`: after this, the
    /// guest's entries are looked at again. KVM does so for any change of rights, and that to execute
    /// matters to the guest's tables only.
    pub(crate) fn drop_translations(&self, range: &Range<u64>, prot: Prot) {
        if !prot.readable() {
            return;
        }
        let rights = host_prot(prot.bits().into());
        for rights in [rights ^ libc::PROT_EXEC as u64, rights] {
            let args = [range.start, range.end - range.start, rights, 0, 0, 0];
            // Where the kernel refuses, stores that follow count as if they were earlier ones.
            // SAFETY: the range is the program's, and stays as readable and writable as it is.
            unsafe { relay::raw(libc::SYS_mprotect, args) };
        }
    }

    /// Brings the existing entries of `range` to the writing and executing rights of `prot`. They
    /// stay readable: where that ends too, they are dropped instead.
    pub(crate) fn protect_entries(&self, range: &Range<u64>, prot: Prot) {
        self.machine
            .tables
            .protect(range.start, range.end, access(prot));
    }

    /// `prot` as the kernel will take it: under READ_IMPLIES_EXEC, reading allows executing.
    pub(crate) fn effective_prot(&self, prot: u64) -> Prot {
        let implied =
            prot & libc::PROT_READ as u64 != 0 && self.read_implies_exec.load(Ordering::Relaxed);
        Prot::from_bits(if implied {
            prot | libc::PROT_EXEC as u64
        } else {
            prot
        })
    }

    /// Looks at the personality again, after the program changed it.
    pub(crate) fn personality_changed(&self) {
        self.read_implies_exec
            .store(personality_reads_execute(), Ordering::Relaxed);
    }

    /// Makes the access at `addr` possible, or says why it is not allowed.
    ///
    /// `error` is the page fault's error code.
    ///
    /// # Errors
    /// See [`Denied`].
    pub(crate) fn fault(&self, addr: u64, error: u64, care: Care) -> Result<(), Denied> {
        if error & ERROR_RESERVED != 0 {
            return Err(Denied::Malformed);
        }
        if addr >= USER_END {
            return Err(Denied::NotMapped);
        }
        match self.fill(addr, error, care) {
            Err(Denied::NotMapped) if self.grow_down(addr) => self.fill(addr, error, care),
            Err(Denied::NotMapped)
                if error & ERROR_WRITE == 0 && self.call_sites.is_thunk(addr) =>
            {
                self.fill_thunks(page_down(addr))
                    .map_err(|_| Denied::NoPage)
            }
            outcome => outcome,
        }
    }

    fn fill(&self, addr: u64, error: u64, care: Care) -> Result<(), Denied> {
        let table = self.read();
        let (range, mapping) = table.at(addr).ok_or(Denied::NotMapped)?;
        let prot = mapping.prot;
        let write = error & ERROR_WRITE != 0;
        if !prot.readable()
            || (write && !prot.writable())
            || (error & ERROR_FETCH != 0 && !prot.executable())
        {
            return Err(Denied::Rights);
        }
        let window = match care {
            Care::Around => {
                let start = addr & !(LEAF_SPAN - 1);
                start.max(range.start)..(start + LEAF_SPAN).min(range.end).min(USER_END)
            }
            Care::OnePage => {
                populate(addr, write, mapping)?;
                page_down(addr)..page_down(addr) + PAGE
            }
        };
        if care == Care::Around && mapping.may_fail() {
            resident::map(&window);
        }
        self.fill_window(&window, prot)
            // Slots, tables or the host's memory are used up: what a kernel says without a page.
            .map_err(|_| Denied::NoPage)
    }

    /// Makes the entries of a small new mapping at once, which costs less than the fault that would
    /// come for them. Failure is no harm: the fault comes.
    pub(crate) fn offer(&self, range: &Range<u64>, mapping: &Mapping) {
        if !mapping.prot.readable() || range.end - range.start > LEAF_SPAN {
            return;
        }
        if mapping.may_fail() {
            resident::map(range);
        }
        self.fill_all(range, mapping.prot);
    }

    fn fill_all(&self, range: &Range<u64>, prot: Prot) {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min((start | (LEAF_SPAN - 1)) + 1);
            let _ = self.fill_window(&(start..end), prot);
            start = end;
        }
    }

    /// Offers a forked child the small mappings that its parent had, and its stack: what it is about to
    /// use. Files stay as they are on the host, which maps them when they are used.
    pub(crate) fn offer_again(&self, stack_pointer: u64) {
        let table = self.read();
        let small = table.iter().filter(|(range, mapping)| {
            mapping.prot.readable() && range.end - range.start <= LEAF_SPAN
        });
        for (range, mapping) in small.take(OFFERED_AGAIN) {
            self.fill_all(range, mapping.prot);
        }
        drop(table);
        let _ = self.fill(stack_pointer, ERROR_WRITE, Care::OnePage);
    }

    /// Offers what the loader has mapped, and the top of the first stack.
    pub(crate) fn offer_all(&self) {
        let table = self.read();
        for (range, mapping) in table.iter() {
            self.offer(range, mapping);
        }
        let _ = self.fill(self.stack.end - 1, ERROR_WRITE, Care::Around);
    }

    fn fill_window(&self, window: &Range<u64>, prot: Prot) -> io::Result<()> {
        let (vm, tables) = (&self.machine.vm, &self.machine.tables);
        let gpa = self.machine.chunks.ensure(vm, window.start)?;
        tables.fill(vm, window.start, window.end, gpa, access(prot))
    }

    fn fill_thunks(&self, page: u64) -> io::Result<()> {
        let (vm, tables) = (&self.machine.vm, &self.machine.tables);
        tables.fill_unwatched(vm, page, self.machine.chunks.ensure(vm, page)?)
    }

    /// The call sites of the program in it.
    pub(crate) fn call_sites(&self) -> &CallSites {
        &self.call_sites
    }

    /// The VM that it is seen in.
    pub(super) fn machine(&self) -> &'static Machine {
        self.machine
    }

    /// Lets the mapping above `addr` grow down to it, if it is of the kind that does.
    fn grow_down(&self, addr: u64) -> bool {
        let mut table = self.write();
        let page = page_down(addr);
        if self.stack.contains(&addr) {
            let lowest = self
                .stack
                .end
                .saturating_sub(stack::rlimit(libc::RLIMIT_STACK))
                .max(self.stack.start);
            let Some((range, mapping)) = table.above(addr) else {
                return false;
            };
            if page < page_down(lowest) || mapping.backing != Backing::Stack {
                return false;
            }
            let (end, mapping) = (range.start, mapping.clone());
            table.insert(page_down(lowest)..end, mapping);
            return true;
        }
        match table.above(addr) {
            Some((range, mapping)) if mapping.grows_down => {
                let (end, mapping) = (range.start, mapping.clone());
                // The host's kernel applies the guard gap and the limit to its own mapping.
                if !host_can_read(addr) {
                    return false;
                }
                table.insert(page..end, mapping);
                true
            }
            _ => false,
        }
    }

    /// After the host could not provide some page that the guest's tables offer: takes the
    /// offers back, so that the access faults with its address. `all`: not only files.
    pub(crate) fn drop_suspects(&self, all: bool) {
        let table = self.write();
        for (range, mapping) in table.iter() {
            if all || mapping.may_fail() {
                self.machine.tables.clear(range.start, range.end);
            }
        }
    }

    /// Makes sure that a fixed mapping at `range` hits nothing but the program's own memory: the
    /// parts that are not in the table are reserved, which fails where the launcher's memory is.
    ///
    /// # Errors
    /// ENOMEM where the launcher is; else what mmap(2) says.
    pub(crate) fn claim(
        &self,
        table: &Mappings,
        range: &Range<u64>,
    ) -> io::Result<Vec<Range<u64>>> {
        let mut claimed = Vec::new();
        for gap in table.gaps(range.clone()) {
            if let Err(e) = reserve(&gap) {
                self.release(claimed);
                return Err(match e.raw_os_error() {
                    Some(libc::EEXIST) => io::Error::from_raw_os_error(libc::ENOMEM),
                    _ => e,
                });
            }
            claimed.push(gap);
        }
        Ok(claimed)
    }

    fn guards(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.guards.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Whether the page at `addr`, which is not the program's, holds memory of the launcher's.
    pub(crate) fn is_against_ours(&self, addr: u64) -> bool {
        if self.guards().contains(&addr) {
            return false;
        }
        match reserve(&(addr..addr + PAGE)) {
            Ok(()) => {
                self.release(std::iter::once(addr..addr + PAGE));
                false
            }
            Err(e) => e.raw_os_error() == Some(libc::EEXIST),
        }
    }

    /// Notes an inaccessible page that stays where it is.
    pub(crate) fn add_guard(&self, addr: u64) {
        self.guards().insert(addr);
    }

    /// Gives up what [`Memory::claim`] reserved.
    pub(crate) fn release(&self, claimed: impl IntoIterator<Item = Range<u64>>) {
        for gap in claimed {
            let call = [gap.start, gap.end - gap.start, 0, 0, 0, 0];
            // SAFETY: the range was reserved by `claim` and nothing has been mapped there since.
            unsafe { relay::raw(libc::SYS_munmap, call) };
        }
    }
}

/// Reserves a range of addresses that must be free.
///
/// # Errors
/// EEXIST where something is mapped; else what mmap(2) says.
pub(crate) fn reserve(range: &Range<u64>) -> io::Result<()> {
    let flags =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let args = [
        range.start,
        range.end - range.start,
        0,
        flags as u64,
        u64::MAX,
        0,
    ];
    // SAFETY: NOREPLACE never touches an existing mapping.
    let got = relay::check(unsafe { relay::raw(libc::SYS_mmap, args) })
        .map_err(io::Error::from_raw_os_error)?;
    if got == range.start {
        return Ok(());
    }
    // A kernel before 4.17 takes the address as a hint only.
    // SAFETY: the mapping at `got` was made just now, by this call.
    unsafe { relay::raw(libc::SYS_munmap, [got, args[1], 0, 0, 0, 0]) };
    Err(io::Error::from_raw_os_error(libc::EEXIST))
}

/// Asks the host for one page, without the signal that touching it could raise.
fn populate(addr: u64, write: bool, mapping: &Mapping) -> Result<(), Denied> {
    let advice = if write {
        libc::MADV_POPULATE_WRITE
    } else {
        libc::MADV_POPULATE_READ
    };
    let args = [page_down(addr), PAGE, advice as u64, 0, 0, 0];
    // SAFETY: the page is the program's, and populating changes no content.
    match unsafe { relay::raw(libc::SYS_madvise, args) } {
        e if e == -i64::from(libc::EHWPOISON) => Err(Denied::Poisoned),
        e if e == -i64::from(libc::EFAULT) && mapping.may_fail() => Err(Denied::NoPage),
        e if e == -i64::from(libc::EFAULT) => Err(Denied::Rights),
        e if e == -i64::from(libc::ENOMEM) => Err(Denied::NoPage),
        // An interrupted or unknown advice is no verdict: the access itself will show.
        _ => Ok(()),
    }
}

/// Whether the host's kernel can read at `addr`, its own fault handling included: rt_sigaction
/// copies its argument before it looks at the signal number, and there is no signal 0.
fn host_can_read(addr: u64) -> bool {
    // SAFETY: with signal number 0 the call only reads, and always fails.
    let answer = unsafe { relay::raw(libc::SYS_rt_sigaction, [0, page_down(addr), 0, 8, 0, 0]) };
    answer == -i64::from(libc::EINVAL)
}

fn personality_reads_execute() -> bool {
    // SAFETY: 0xffffffff asks and changes nothing.
    unsafe { libc::personality(0xffff_ffff) & libc::READ_IMPLIES_EXEC != 0 }
}
