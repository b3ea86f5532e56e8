//! The ways in which vmmload serves system calls, for tests that try each.

use crate::Program;

/// How vmmload is told, in the environment.
pub const VARIABLE: &str = "VMMLOAD_CALL_MODE";

/// By leaving the guest for each call, by a thread beside it, or now so and now so.
pub const MODES: [&str; 3] = ["exit", "spin", "auto"];

/// All modes, or the one that the tests' own environment names, to try that one alone. An empty name is what vmmload
/// does if it is told nothing.
#[must_use]
pub fn chosen() -> Vec<String> {
    match std::env::var(VARIABLE) {
        Ok(mode) => vec![mode],
        Err(_) => MODES.map(String::from).to_vec(),
    }
}

/// The program in each mode. It has the variable natively, too: nothing else may differ.
pub fn each(program: &Program) -> impl Iterator<Item = Program> {
    let modes = chosen().into_iter();
    modes.map(|mode| program.clone().env(VARIABLE, mode))
}

/// In each mode the program must succeed, and do exactly as natively.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn compare_success(program: &Program) {
    for program in each(program) {
        program.compare_success();
    }
}

/// Declares one test per guest program and its arguments, like [`crate::guest_tests`], in each mode.
#[macro_export]
macro_rules! call_mode_tests {
    ($($(#[$meta:meta])* $name:ident: $guest:literal $([$($arg:expr),*])? $($link:ident)?;)+) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                let guest = $crate::Guest::new($guest) $(.linked($crate::Link::$link))?;
                $crate::call_modes::compare_success(&guest.program() $($(.arg($arg))*)?);
            }
        )+
    };
}
