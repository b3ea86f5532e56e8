//! The parts of the VM that all threads of a process share, for the life of the process.

use std::io;
use std::os::raw::c_void;
use std::sync::OnceLock;

use kvm_bindings::CpuId;
use kvm_ioctls::Kvm;
use vm_memory::{Address, GuestAddress};
use vmmload_consumer::Track;

use crate::cli::RunConfig;
use crate::guest::arena::Arena;
use crate::guest::boot::{self, CpuFeatures};
use crate::guest::chunks::Chunks;
use crate::guest::layout::WINDOW;
use crate::guest::page_tables::{PageTables, Watched};
use crate::guest::stub_page;
use crate::kvm::caps::Caps;
use crate::kvm::spare_slot::SpareSlot;
use crate::kvm::vm::{CreateVmError, Vm};
use crate::probes::rearm::{self, Rearm};
use crate::probes::syscall_entry::SyscallEntry;

/// VM, page tables and chunks. Made once and never dropped.
pub(crate) struct Machine {
    /// The VM.
    pub vm: Vm,
    /// The guest's page tables.
    pub tables: PageTables,
    /// Which host memory has a memory slot.
    pub chunks: Chunks,
    /// What the guest's processor has, once the first vCPU shows it.
    cpu: OnceLock<CpuFeatures>,
    /// Address of the window, reserved on the host so that no mapping lands on it: the stub page.
    pub window: u64,
    /// The memory behind the stub page.
    pub stub_frame: GuestAddress,
    /// How system calls arrive, once the probe has run.
    pub entry: OnceLock<SyscallEntry>,
    /// What arming takes, once it was measured.
    arming: OnceLock<Arming>,
    /// Made when it is first needed.
    spare: OnceLock<SpareSlot>,
}

/// How pages are armed on this KVM, and what that costs the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arming {
    /// Nanoseconds of the first store to an armed page.
    pub store_ns: u64,
    /// For reads, where they are watched.
    pub reads: Option<rearm::Outcome>,
}

/// What is watched in a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tracking {
    /// Entries of each vCPU's dirty ring; 0: no stores are watched.
    pub ring_entries: u32,
    /// Loads are watched, too.
    pub reads: bool,
}

impl Tracking {
    /// What the user asked for.
    pub(crate) fn of(config: &RunConfig) -> Self {
        Self {
            ring_entries: match config.track {
                Track::None => 0,
                Track::Write | Track::ReadWrite => config.buffer,
            },
            reads: config.track == Track::ReadWrite,
        }
    }
}

/// What one VM has found out about this KVM, and is the same in all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    /// What KVM supports.
    pub cpuid: CpuId,
    /// How system calls arrive.
    pub entry: SyscallEntry,
    /// How pages are armed; None where nothing is watched.
    pub arming: Option<Arming>,
}

fn setup_failed(what: &'static str) -> impl FnOnce(io::Error) -> CreateVmError {
    move |source| CreateVmError::Kvm {
        what,
        source,
        remedy: "Check the memory limits (ulimit -v) and the kernel log (dmesg)",
    }
}

impl Machine {
    /// Makes the VM with everything that does not depend on the program.
    ///
    /// # Errors
    /// See [`CreateVmError`].
    pub(crate) fn create(
        kvm: &Kvm,
        caps: Caps,
        tracking: Tracking,
        known: Option<&Known>,
    ) -> Result<&'static Self, CreateVmError> {
        let window = reserve_window().map_err(setup_failed("reserving the stub page"))?;
        Self::create_around(window, kvm, caps, tracking, known)
    }

    /// Makes the VM of a forked child, like its parent's `self`.
    ///
    /// # Errors
    /// See [`CreateVmError`].
    pub(crate) fn create_again(
        &self,
        kvm: &Kvm,
        tracking: Tracking,
    ) -> Result<&'static Self, CreateVmError> {
        let caps = *self.vm.caps();
        Self::create_around(self.window, kvm, caps, tracking, self.known().as_ref())
    }

    /// What another VM need not find out again; None before it is known here.
    pub(crate) fn known(&self) -> Option<Known> {
        Some(Known {
            cpuid: self.vm.cpuid().clone(),
            entry: *self.entry.get()?,
            arming: self.arming(),
        })
    }

    fn create_around(
        window: u64,
        kvm: &Kvm,
        caps: Caps,
        tracking: Tracking,
        known: Option<&Known>,
    ) -> Result<&'static Self, CreateVmError> {
        let cpuid = known.map(|known| &known.cpuid);
        let vm = Vm::create(kvm, caps, tracking.ring_entries, cpuid)?;
        let watched = Watched {
            writes: tracking.ring_entries > 0,
            reads: tracking.reads,
        };
        let tables =
            PageTables::new(&vm, window, watched).map_err(setup_failed("the guest's memory"))?;
        let stub_frame =
            boot::write_shared(&vm, &tables).map_err(setup_failed("the guest's tables"))?;
        let chunks = Chunks::new(boot::physical_bits(vm.cpuid()));
        Ok(Box::leak(Box::new(Self {
            vm,
            tables,
            chunks,
            cpu: OnceLock::new(),
            window,
            stub_frame,
            entry: known.map_or_else(OnceLock::new, |known| known.entry.into()),
            arming: known
                .and_then(|known| known.arming)
                .map_or_else(OnceLock::new, OnceLock::from),
            spare: OnceLock::new(),
        })))
    }
}

impl Machine {
    /// Notes what a vCPU shows; all show the same.
    pub(crate) fn set_cpu(&self, shown: CpuFeatures) -> CpuFeatures {
        *self.cpu.get_or_init(|| shown)
    }

    /// Puts the code of a probe's guest, a few instructions, behind the stubs, where ring 3 may
    /// execute it, and returns its address. One guest at a time: the next takes its place.
    pub(crate) fn place_probe(&self, code: &[u8]) -> u64 {
        let place = self.stub_frame.unchecked_add(stub_page::PROBES);
        self.tables.arena().write(place, code);
        self.window + stub_page::PROBES
    }

    /// Notes how pages are armed.
    pub(crate) fn set_arming(&self, arming: Arming) {
        let _ = self.arming.set(arming);
    }

    /// How pages are armed; None where nothing is watched, or before it was found out.
    pub(crate) fn arming(&self) -> Option<Arming> {
        self.arming.get().copied()
    }

    /// Has stores to pages that were taken out of dirty rings be seen again, `taken` of them; whether by arming alone. If
    /// not, KVM has forgotten some of them, and has no translation of any page now, so that all are seen.
    ///
    /// # Errors
    /// As [`Vm::reset_dirty_rings`], and what changing a memory slot says.
    pub(crate) fn rearm_writes(&self, taken: u32) -> io::Result<bool> {
        let armed = self.vm.reset_dirty_rings(taken)?;
        if !armed {
            self.rearm_reads(Rearm::Drop)?;
        }
        Ok(armed)
    }

    /// Has accessed bits that were cleared appear again at the next access to their pages.
    ///
    /// # Errors
    /// What changing a memory slot says.
    pub(crate) fn rearm_reads(&self, how: Rearm) -> io::Result<()> {
        // One thread at a time comes here: the one that probes, or whoever holds the harvester's lock.
        let spare = match self.spare.get() {
            Some(spare) => spare,
            None => {
                let spare = SpareSlot::add(&self.vm, Arena::SPARE)?;
                self.spare.get_or_init(|| spare)
            }
        };
        match how {
            Rearm::Flush => spare.flush_translations(&self.vm),
            Rearm::Drop => spare.drop_shadow_tables(&self.vm),
        }
    }

    /// Stops logging stores to the page at `va`; false where that cannot be done.
    pub(crate) fn leave_alone(&self, va: u64) -> bool {
        let Some(logged) = self.chunks.lookup(va) else {
            return false;
        };
        let unlogged = self.chunks.ensure_unlogged(&self.vm, va);
        unlogged.is_ok_and(|unlogged| self.tables.readdress(va, logged, unlogged))
    }

    /// Logs stores to the page at `va` again, from when translations that are in use are dropped.
    pub(crate) fn watch_again(&self, va: u64) {
        if let (Some(logged), Ok(unlogged)) = (
            self.chunks.lookup(va),
            self.chunks.ensure_unlogged(&self.vm, va),
        ) {
            self.tables.readdress(va, unlogged, logged);
        }
    }

    /// What the guest's processor has.
    ///
    /// # Panics
    /// Before the first vCPU was made.
    pub(crate) fn cpu(&self) -> CpuFeatures {
        *self
            .cpu
            .get()
            .expect("a vCPU was made before anybody asks for its features")
    }
}

/// Sets a window aside. Only its own span of address space is taken.
fn reserve_window() -> io::Result<u64> {
    let bytes = WINDOW as usize;
    // SAFETY: a fresh, inaccessible mapping at an address of the kernel's choice, of which all but an aligned part is
    // given back.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let base = libc::mmap(
            std::ptr::null_mut(),
            2 * bytes,
            libc::PROT_NONE,
            flags,
            -1,
            0,
        );
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let before = base.align_offset(bytes);
        let window: *mut c_void = base.byte_add(before);
        if before > 0 {
            libc::munmap(base, before);
        }
        if before < bytes {
            libc::munmap(window.byte_add(bytes), bytes - before);
        }
        Ok(window as u64)
    }
}
