//! Pure arithmetic: what a statistician can review alone. Each file names its source.
//!
//! Nothing here knows events, streams, time or randomness; exactness matters, so
//! numbers are decimal and rounding is said.

pub mod score;
pub mod unit;
