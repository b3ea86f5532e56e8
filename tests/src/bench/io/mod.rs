//! Rows about what system calls cost: by exits and in shared memory, with a free core and with none. Single calls,
//! two threads or processes that wait for each other, programs that do little else, and servers under load.
//!
//! `subject` runs something at each place in turn and makes rows of it, `place` knows the places, `calls`, `programs`
//! and `servers` what is run there.

mod calls;
mod load;
mod place;
mod programs;
mod servers;
mod subject;

use super::options::Options;
use super::row::Row;
use super::runner::Runner;

use subject::Bench;

/// Runs the group's rows.
pub(crate) fn measure(runner: &Runner, options: &Options, add: &mut dyn FnMut(Row)) {
    let mut bench = Bench::new(runner, options, add);
    calls::measure(&mut bench);
    programs::measure(&mut bench);
    servers::measure(&mut bench);
    bench.add_all();
}
