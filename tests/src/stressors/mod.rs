//! Debian's stress-ng: its stressors, each run for a second with its own checks of the results, natively
//! and inside.

mod catalogue;
mod run;

pub use catalogue::{known_reason, why_left_out};
pub use run::{Place, Run, Runner, Verdict};
