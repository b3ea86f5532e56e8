//! The charts as pictures, for documents and repositories.
use crate::analysis::model::Facts;

/// How files and sections of a program are called: `4711`, and `4711-1` for what it executed.
pub(crate) fn prefix(facts: &Facts) -> String {
    match facts.program {
        0 => facts.pid.to_string(),
        program => format!("{}-{program}", facts.pid),
    }
}
