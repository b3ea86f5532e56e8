//! What the guest sees: addresses, page tables, descriptor tables, stubs. No host system calls but
//! the mapping of the arena.

pub(crate) mod arena;
pub(crate) mod boot;
pub(crate) mod chunks;
pub(crate) mod layout;
pub(crate) mod page_tables;
pub(crate) mod request;
mod roots;
pub(crate) mod stub_page;
pub(crate) mod stubs;
