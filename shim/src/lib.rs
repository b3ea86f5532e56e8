//! Preload library of vmmload: `LD_PRELOAD=libvmmload_shim.so COMMAND` is `vmmload run COMMAND`.
//!
//! Its constructor runs inside somebody else's program before that program's own first instruction. It has the
//! kernel execute the launcher in the program's place, which then wraps that program as the kernel has started
//! it. In a program that is wrapped already it asks one question, and that is all.
//!
//! Where that cannot be, it says so in one line and lets the program run natively, with nothing changed. It is without
//! any library, so that it changes nothing by being loaded, and runs before the C library has set itself up.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    test,
    allow(
        dead_code,
        reason = "the constructor would run in the test runner itself"
    )
)]

mod environment;
mod handover;
mod kernel;
mod launcher;
mod problem;
#[cfg(not(test))]
mod symbols;

use environment::{Environment, Required};
use kernel::{AT_SECURE, Auxv};
use launcher::Library;
use problem::Problem;
use vmmload_guest::protocol;

/// Runs when the library is loaded.
///
/// # Safety
/// Called once by the dynamic loader, while the program has no other thread.
#[cfg_attr(not(test), ctor::ctor(unsafe))]
fn on_load() {
    if protocol::ask() == 0 {
        hand_over();
    }
}

/// Does so, or tells why not.
fn hand_over() {
    let auxv = match Auxv::read() {
        Ok(auxv) => auxv,
        Err(errno) => return Problem::Proc("auxv", errno).settle(Required::No),
    };
    // Such a program must not do anything on behalf of a variable of its user's.
    if auxv.value(AT_SECURE) != 0 {
        return;
    }
    match Environment::read() {
        Ok(environment) => hand_over_from(&environment, &auxv),
        Err(errno) => {
            Problem::reading_own("environ", errno).settle(environment::required_on_stack(&auxv));
        }
    }
}

fn hand_over_from(environment: &Environment, auxv: &Auxv) {
    if environment.was_handed_over(kernel::process_id()) {
        return;
    }
    let required = environment.required();
    let settle = |problem: Problem| problem.settle(required.unwrap_or(Required::No));
    let library = match Library::containing(on_load as fn() as usize) {
        Ok(library) => library,
        Err(problem) => return settle(problem),
    };
    match environment.preloads(&library) {
        Ok(true) => {}
        Ok(false) => return,
        Err(errno) => return settle(Problem::Memory(errno)),
    }
    let launcher = match launcher::find(environment, &library) {
        Ok(launcher) => launcher,
        Err(problem) => return settle(problem),
    };
    let launcher = launcher::string(&launcher);
    if launcher::is_running(launcher) {
        return;
    }
    settle(match required {
        Ok(_) => handover::hand_over(launcher, environment, auxv.execfn()),
        Err(problem) => problem,
    });
}

/// An error of this library's own: the program it is in cannot go on from here.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    kernel::say([b"vmmload: internal error in the preload library. Please report this line, and unset LD_PRELOAD\n"]);
    kernel::exit(125)
}
