//! Reads, while it happens, which memory pages a process started with `vmmload run` touches.
//!
//! vmmload publishes into a segment of shared memory, one for each process, that any number of
//! [`Consumer`]s follow, each at its own pace. A consumer maps the segment read-only: it cannot slow,
//! block or disturb the process. One that is too slow is told exactly how many records it lost.
//!
//! ```no_run
//! use vmmload_consumer::{Consumer, Item};
//!
//! let mut consumer = Consumer::attach(4711)?;
//! while let Some(item) = consumer.next() {
//!     match item {
//!         Item::Event(event) => println!("{:#x} {} {}", event.addr, event.kind.name(), event.count),
//!         Item::Lost(records) => println!("{records} records lost"),
//!     }
//! }
//! println!("hottest page: {:?}", consumer.hottest(1));
//! # Ok::<(), vmmload_consumer::AttachError>(())
//! ```
//!
//! [`Consumer::heat`] has the totals of every page since the start, for those who come late, and
//! [`Consumer::huge_pages`] how they are spread over regions of 2 MiB. [`Consumer::next_epoch`] has the working
//! set of each epoch, and what watching it has cost.
//! [`Consumer::mappings`] names what lies at an address. [`list()`] finds the processes. The layout of a
//! segment is documented byte by byte in `ABI.md`.

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
pub use list::{consumers, list, readable_consumers, segment_name};
pub use mappings::{
    Mapping, MappingClass, MappingEntry, Mappings, PROT_EXEC, PROT_READ, PROT_SHARED, PROT_WRITE,
};
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
