//! One file per figure.

pub mod appends;
pub mod commands;
pub mod history;
pub mod http;
pub mod memory;
pub mod rebuild;
pub mod relay;
pub mod single;
pub mod volume;
