//! Patient-reported outcomes.

pub mod report;
