//! The harness of vmmload's tests: runs a program natively and inside vmmload, and compares.
//!
//! A test builds a [`Program`] (or compiles a [`Guest`], a small C program that checks itself) and
//! calls [`Program::compare`]. The native half always runs, so a guest that is itself wrong shows at
//! once. Where no VM can be had the other half is skipped aloud, or fails in CI: see [`machine`].

mod binary;
pub mod c_library;
pub mod call_modes;
pub mod counts;
pub mod data;
mod diff;
mod doing;
pub mod dump;
mod guest;
pub mod guest_library;
pub mod http;
pub mod kvm;
pub mod machine;
pub mod metrics;
mod needs;
pub mod oracle;
mod outcome;
pub mod packages;
pub mod preload;
mod program;
pub mod python;
pub mod recorded;
pub mod ring;
pub mod scratch;
pub mod script;
pub mod segment;
mod session;
pub mod shells;
pub mod stressors;
pub mod terminal;
pub mod watched;

pub use binary::{consumer_library, example, observe, preload_library, vmmload};
pub use guest::{Guest, Link};
pub use outcome::Outcome;
pub use program::Program;
pub use session::Session;

/// Declares one test per guest program: `sentence: "directory/guest" [arguments] [linkage];`
///
/// Each such guest must succeed natively, and do exactly the same inside.
#[macro_export]
macro_rules! guest_tests {
    ($($(#[$meta:meta])* $name:ident: $guest:literal $([$($arg:expr),*])? $($link:ident)?;)+) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                let guest = $crate::Guest::new($guest) $(.linked($crate::Link::$link))?;
                guest.program() $($(.arg($arg))*)? .compare_success();
            }
        )+
    };
}
