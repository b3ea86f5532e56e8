//! stress-ng's stressors natively and inside, as a table: `cargo run --release -p vmmload-tests --bin stressors`.
//!
//! `--help` lists the options.

use std::process::ExitCode;

#[path = "../stressor_table/mod.rs"]
mod stressor_table;

fn main() -> ExitCode {
    stressor_table::main()
}
