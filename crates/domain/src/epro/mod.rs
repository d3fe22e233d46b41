//! Patient-reported outcomes.

pub mod instruments;
pub mod report;
pub mod scoring;
