//! `vmmload doctor`: what this machine offers, what is missing, and what to do about it.
//!
//! `facts` and `surroundings` gather, `findings` judges (with a file for each side), `document` writes the facts down for programs. How it looks
//! is the command line's affair (`cli/doctor.rs`).

mod document;
mod facts;
mod findings;
mod kvm_findings;
mod surroundings;
mod system_findings;

pub(crate) use findings::{Finding, State};

/// All that there is to tell.
pub(crate) struct Report {
    /// The judgements, in the order to show them in.
    pub findings: Vec<Finding>,
    /// The facts, as members of a JSON object.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

impl Report {
    /// Whether `vmmload run` works here.
    pub(crate) fn usable(&self) -> bool {
        self.findings.iter().all(|f| f.state != State::Problem)
    }
}

/// Looks at the machine: takes a VM for a moment, and some milliseconds.
pub(crate) fn examine() -> Report {
    let facts = facts::gather();
    Report {
        findings: findings::of(&facts),
        facts: document::of(&facts),
    }
}
