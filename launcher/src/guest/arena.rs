//! The guest-physical memory that belongs to the launcher: page tables and system pages.
//!
//! It grows by regions, each a memory slot of its own, and never shrinks or moves, so that a frame's
//! host address holds for the life of the process.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use vm_memory::{Address, GuestAddress, MmapRegion, VolatileMemory};

use super::layout::{ARENA_BASE, CHUNKS_BASE, PAGE};
use crate::kvm::vm::Vm;

/// Bytes of one region: 4,096 tables, which map 8 GiB.
const REGION: u64 = 16 << 20;
/// The last place is the spare page's.
const REGIONS: usize = (CHUNKS_BASE.0 / REGION) as usize - 1;

/// Frames of the arena. One thread at a time grows it (the caller's lock), any number read it.
pub(crate) struct Arena {
    regions: [OnceLock<MmapRegion>; REGIONS],
    next: AtomicU64,
}

impl Arena {
    /// An arena without memory; frame 0 is never handed out, so that address 0 can mean "none".
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            regions: [const { OnceLock::new() }; REGIONS],
            next: AtomicU64::new(PAGE),
        })
    }

    /// Number of memory slots in use; the chunks' slots count from [`Arena::MAX_SLOTS`].
    pub(crate) const MAX_SLOTS: u32 = REGIONS as u32 + 1;

    /// The memory slot that is left out, and its guest-physical address: see `kvm/spare_slot.rs`.
    pub(crate) const SPARE: (u32, GuestAddress) =
        (REGIONS as u32, GuestAddress(REGIONS as u64 * REGION));

    /// A zeroed frame. Callers hold the lock of the page tables.
    ///
    /// # Errors
    /// ENOMEM when the guest-physical range or the host's memory is used up, or what KVM says.
    pub(crate) fn allocate(&self, vm: &Vm) -> io::Result<GuestAddress> {
        let gpa = self.next.load(Ordering::Relaxed);
        let index = (gpa / REGION) as usize;
        let cell = self
            .regions
            .get(index)
            .ok_or(io::Error::from_raw_os_error(libc::ENOMEM))?;
        if cell.get().is_none() {
            let region = MmapRegion::new(REGION as usize)
                .map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
            let base = GuestAddress(ARENA_BASE.0 + index as u64 * REGION);
            // A forked child makes tables of its own, and few of these frames are ever used.
            for advice in [libc::MADV_DONTFORK, libc::MADV_NOHUGEPAGE] {
                // SAFETY: the advice changes no content.
                unsafe { libc::madvise(region.as_ptr().cast(), REGION as usize, advice) };
            }
            // SAFETY: the region is the arena's own and holds nothing but what the guest's
            // processor must read; only supervisor entries ever map it, but for the stub page.
            unsafe {
                vm.add_slot(index as u32, base, region.as_ptr() as u64, REGION, false)?;
            }
            let _ = cell.set(region);
        }
        self.next.store(gpa + PAGE, Ordering::Relaxed);
        Ok(GuestAddress(gpa))
    }

    /// The eight-byte word at `gpa`, shared with the guest's processor.
    ///
    /// # Panics
    /// If `gpa` is not an aligned address within a frame that [`Arena::allocate`] gave.
    pub(crate) fn word(&self, gpa: GuestAddress) -> &AtomicU64 {
        let (index, offset) = (gpa.raw_value() / REGION, gpa.raw_value() % REGION);
        self.regions[index as usize]
            .get()
            .and_then(|region| region.get_atomic_ref::<AtomicU64>(offset as usize).ok())
            .expect("an address within the arena")
    }

    /// The first words of the frame at `gpa`. See [`Arena::word`].
    pub(crate) fn words<const N: usize>(&self, gpa: GuestAddress) -> [&AtomicU64; N] {
        std::array::from_fn(|i| self.word(gpa.unchecked_add(8 * i as u64)))
    }

    /// Copies `bytes` to `gpa`, which must lie within the arena (see [`Arena::word`]).
    pub(crate) fn write(&self, gpa: GuestAddress, bytes: &[u8]) {
        for (i, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(gpa.unchecked_add(8 * i as u64))
                .store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }
}
