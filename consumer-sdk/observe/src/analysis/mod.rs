//! Turns a recording into numbers: what the report and the comparison are made of.
//!
//! The events of a process are read twice. The first time, `touched` counts for each page and `groups` for each
//! mapping; then `layout` knows which rows the heat map has, and the second time `cells` fills them. What is kept in
//! memory grows with the pages of the program, not with the length of the recording.

mod axis;
mod cells;
mod close;
mod epochs;
mod events;
mod facts;
mod findings;
mod groups;
mod layout;
mod mappings;
mod marks;
pub(crate) mod model;
mod notes;
mod temperature;
#[cfg(test)]
mod tests;
mod touched;

use crate::failure::Failure;
use crate::recording::reader::{ProgramId, Recording};
use model::{Analysis, Facts};

/// What is looked at closely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    /// Only this process.
    pub(crate) pid: Option<u32>,
    /// At most so many, those with the most events first.
    pub(crate) most: usize,
}

/// Analyses a recording.
///
/// # Errors
/// A file that cannot be read or is damaged; a process that the recording does not have.
pub(crate) fn analyse(recording: &Recording, choice: Choice) -> Result<Analysis, Failure> {
    let programs = recording.programs()?;
    let known = programs.iter().map(|&id| facts::read(recording, id));
    let mut processes: Vec<Facts> = known.collect::<Result<_, Failure>>()?;
    processes.sort_by_key(|facts| (std::cmp::Reverse(facts.events), facts.pid, facts.program));
    let chosen = |facts: &&Facts| choice.pid.is_none_or(|pid| pid == facts.pid);
    if let Some(pid) = choice.pid.filter(|_| !processes.iter().any(|f| chosen(&f))) {
        return Err(not_recorded(pid, &processes));
    }
    let close = processes.iter().filter(chosen).take(choice.most);
    let close: Result<Vec<_>, Failure> = close
        .map(|facts| close::look(recording, facts.clone()))
        .collect();
    Ok(Analysis {
        notes: notes::of(recording, &processes),
        manifest: recording.manifest().clone(),
        close: close?,
        processes,
    })
}

fn not_recorded(pid: u32, processes: &[Facts]) -> Failure {
    const MOST: usize = 10;
    let mut pids: Vec<u32> = processes.iter().map(|facts| facts.pid).collect();
    pids.dedup();
    let shown: Vec<String> = pids.iter().take(MOST).map(u32::to_string).collect();
    let more = match pids.len() > MOST {
        true => " and others",
        false => "",
    };
    let has = match shown.is_empty() {
        true => "It has no process at all".into(),
        false => format!("Choose one of {}{more}", shown.join(", ")),
    };
    Failure::Other(format!("the recording has nothing of process {pid}. {has}"))
}

/// The id of a program.
fn id_of(facts: &Facts) -> ProgramId {
    ProgramId {
        pid: facts.pid,
        program: facts.program,
    }
}
