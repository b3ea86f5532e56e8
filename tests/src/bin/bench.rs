//! Native against vmmload on this machine, in one run: `cargo run --release -p vmmload-tests --bin bench`.
//!
//! Every row alternates a native run and a run inside, so that a machine that grows slower or faster
//! meanwhile does so for both. `--help` lists the options.

use std::process::ExitCode;

#[path = "../bench/mod.rs"]
mod bench;

fn main() -> ExitCode {
    bench::main()
}
