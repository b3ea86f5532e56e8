//! Runs a command in a minimal VM.
fn main() {}
