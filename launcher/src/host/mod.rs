//! What the launcher does on the host on its own behalf: descriptors, raw calls, guest memory.

pub(crate) mod clock;
pub(crate) mod credentials;
pub(crate) mod descriptors;
pub(crate) mod execution;
pub(crate) mod filesystem;
pub(crate) mod futex;
pub(crate) mod guest_memory;
pub(crate) mod messages;
pub(crate) mod origin;
pub(crate) mod placement;
pub(crate) mod proc_files;
pub(crate) mod process_view;
pub(crate) mod processes;
pub(crate) mod processor;
pub(crate) mod questions;
pub(crate) mod relay;
pub(crate) mod residency;
pub(crate) mod signals;
pub(crate) mod threads;
