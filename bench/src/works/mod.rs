//! One file per figure.

pub mod appends;
pub mod commands;
pub mod single;
