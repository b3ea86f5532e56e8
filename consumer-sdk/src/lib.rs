//! Reads, while it happens, which memory pages a process started with `vmmload run` touches.
//!
//! vmmload publishes into a segment of shared memory, one for each process, that any number of
//! [`Consumer`]s follow, each at its own pace. A consumer maps the segment read-only: it cannot slow,
//! block or disturb the process. One that is too slow is told exactly how many records it lost.
//!
//! ```no_run
//! use vmmload_consumer::{Consumer, Event, Woken};
//!
//! let mut consumer = Consumer::attach(4711)?;
//! let mut events = [Event::default(); 4096];
//! while consumer.wait(None) == Woken::News {
//!     let batch = consumer.read(&mut events);
//!     println!("{} records, {} lost", batch.read, batch.lost);
//! }
//! println!("hottest pages: {:?}", consumer.hottest(10));
//! # Ok::<(), vmmload_consumer::AttachError>(())
//! ```
//!
//! # What there is
//!
//! - Records of pages that were touched, one for each page, kind and epoch: [`Consumer::read`] many at a time,
//!   [`Consumer::next`] one by one, [`Consumer::wait`] to sleep until there are more.
//! - Totals of every page since the start, for those who come late: [`Consumer::heat`] in place,
//!   [`Consumer::heat_map`] as a copy to compare with a later one, [`Consumer::huge_pages`] by regions of 2 MiB.
//! - The pages that were written since an epoch, exactly: [`Consumer::pages_written_since`].
//! - The working set of each epoch, and what watching it has cost: [`Consumer::next_epoch`].
//! - What lies, and lay, at an address: [`Consumer::mappings`].
//! - What the program itself says it does: [`Consumer::next_mark`].
//! - The processes: [`list()`] those that run, [`Session`] for all of one `vmmload run` as they come and go,
//!   [`Consumer::status`] for what became of one.
//!
//! It takes no rights beyond those of the user who runs the process, or of a group that the process is shared
//! with, and no virtualisation. No part of a segment is trusted, whoever wrote it; the first
//! attach installs a handler for SIGBUS, which [`leave_sigbus_alone`] tells about. A [`Consumer`] is used by one thread at a time;
//! [clone](Clone::clone) it for others. The layout of a segment is documented byte by byte in `ABI.md`.

// The model-checking build replaces the atomics, so only the parts written over them are built.
#![cfg_attr(all(test, loom), allow(dead_code, unused_imports, unused_macros))]

#[cfg(not(all(test, loom)))]
mod attach;
#[cfg(not(all(test, loom)))]
mod consumer;
#[cfg(not(all(test, loom)))]
mod create;
mod heat;
#[cfg(not(all(test, loom)))]
mod heat_map;
#[cfg(not(all(test, loom)))]
mod info;
#[cfg(not(all(test, loom)))]
mod layout;
#[cfg(not(all(test, loom)))]
mod list;
mod mappings;
#[cfg(not(all(test, loom)))]
mod marks;
#[cfg(not(all(test, loom)))]
mod memory;
mod news;
#[cfg(not(all(test, loom)))]
mod place;
#[cfg(not(all(test, loom)))]
mod reader_memory;
#[cfg(not(all(test, loom)))]
mod reclaim;
mod ring;
#[cfg(not(all(test, loom)))]
mod session;
#[cfg(not(all(test, loom)))]
mod sigbus;
mod sync;
#[cfg(not(all(test, loom)))]
mod sys;
mod wire;
mod words;
#[cfg(not(all(test, loom)))]
mod writer;
#[cfg(not(all(test, loom)))]
mod written;

#[cfg(not(all(test, loom)))]
pub use attach::AttachError;
#[cfg(not(all(test, loom)))]
pub use consumer::{Batch, Consumer, HeatWords, Item, Status, Woken};
#[cfg(not(all(test, loom)))]
pub use create::{CreateError, SegmentConfig};
pub use heat::{Heat, HeatIndex, HugePage};
#[cfg(not(all(test, loom)))]
pub use heat_map::HeatMap;
#[cfg(not(all(test, loom)))]
pub use info::Info;
#[cfg(not(all(test, loom)))]
pub use list::{consumers, list, readable_consumers, segment_files, segment_name};
pub use mappings::{
    Mapping, MappingClass, MappingEntry, Mappings, PROT_EXEC, PROT_READ, PROT_SHARED, PROT_WRITE,
};
#[cfg(not(all(test, loom)))]
pub use marks::Mark;
#[cfg(not(all(test, loom)))]
pub use reclaim::{prune, prune_own};
#[cfg(not(all(test, loom)))]
pub use session::{Change, Session};
#[cfg(not(all(test, loom)))]
pub use sigbus::leave_sigbus_alone;
#[cfg(not(all(test, loom)))]
pub use sys::monotonic_ns;
pub use wire::{Child, Epoch, Event, PAGE_SIZE, UNWATCHED};
pub use words::{Counter, End, Kind, Method, ProcessId, Track};
#[cfg(not(all(test, loom)))]
pub use writer::{SegmentWriter, Sighting};
#[cfg(not(all(test, loom)))]
pub use written::{Written, WrittenError};

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
