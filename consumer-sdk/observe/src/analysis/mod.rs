//! Turns a recording into numbers: what the report and the comparison are made of.

pub(crate) mod model;
