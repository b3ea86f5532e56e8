//! vmmload: runs any Linux x86-64 command in a minimal VM and publishes which pages it writes.
//!
//! Two paths go through this crate. Control: `process` and `syscalls` turn the program's
//! exceptions and calls into the host's. Data: `kvm::dirty_ring` and `tracking` turn its stores into
//! records. `session` is where they meet.

#![cfg_attr(not(test), no_main)]
#![cfg_attr(
    test,
    allow(dead_code, reason = "the test harness brings its own entry point")
)]

mod cli;
mod doctor;
mod entry;
mod guest;
mod hold;
mod host;
mod kvm;
mod links;
mod machine;
mod natively;
mod nested;
mod observe;
mod preloaded;
mod probes;
mod process;
mod session;
mod syscalls;
mod tracking;

#[cfg(not(test))]
use std::ffi::{c_char, c_int};

#[cfg(not(test))]
use {entry::Inherited, process::handover, process::lifecycle::OWN_FAILURE};

/// The C entry point: see [`entry`] for why it is not Rust's.
///
/// # Safety
/// Called by the C library's start-up code, once.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(
    argc: c_int,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    // SAFETY: these are the arguments of a C main on Linux.
    let inherited = unsafe { Inherited::collect(argc, argv, envp) };
    // One heap for all threads: arenas of their own would only spread over the address space.
    // SAFETY: called before any other thread exists.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    std::panic::set_hook(Box::new(|panic| {
        host::messages::say(&format!(
            "internal error in vmmload {}: {panic}. Please report this line, with the command that you ran",
            env!("CARGO_PKG_VERSION")
        ));
        // SAFETY: ends the process without running anything of ours.
        unsafe { libc::_exit(OWN_FAILURE) }
    }));
    if let Some(descriptor) = handover::descriptor(&inherited.args) {
        return session::failed(&session::resume(descriptor, &inherited));
    }
    // Before links: VMMLOAD_LAUNCHER may name vmmload by a link of any name.
    if let Some(descriptor) = preloaded::descriptor(&inherited.args) {
        return preloaded::go_on(descriptor, &inherited);
    }
    if let Some(called) = links::called(&inherited) {
        return links::run(&called, &inherited);
    }
    if let Some(typed) = observe::asked(&inherited.args) {
        return observe::execute(&typed, &inherited);
    }
    match cli::parse(&inherited.args) {
        Ok(cli::Command::Run(request)) => session::failed(&session::run(request, &inherited)),
        Ok(cli::Command::Ls(config)) => cli::run_ls(&config),
        Ok(cli::Command::Dump(config)) => cli::run_dump(&config),
        Ok(cli::Command::Link(config)) => cli::run_link(&config),
        Ok(cli::Command::Doctor(config)) => cli::run_doctor(&config, &doctor::examine()),
        Ok(cli::Command::Alias(config)) => cli::run_alias(&config),
        Ok(cli::Command::Completions(shell)) => cli::run_completions(shell),
        Ok(cli::Command::Man) => cli::run_man(),
        Err(status) => status,
    }
}
