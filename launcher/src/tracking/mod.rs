//! The data path, from the dirty rings to shared memory, in reading order.

pub(crate) mod harvester;
pub(crate) mod pace;
pub(crate) mod settle;
mod ticks;
pub(crate) mod vcpu_log;
