//! One file per figure.

pub mod appends;
pub mod bytes;
pub mod commands;
pub mod eligibility;
pub mod followers;
pub mod history;
pub mod http;
pub mod lanes;
pub mod list;
pub mod memory;
pub mod readings;
pub mod rebuild;
pub mod relay;
pub mod single;
pub mod start;
pub mod volume;
