//! Keeps every view of [`views::ALL`] up to date, and makes one again beside the one that is read.
//!
//! A view is never a cause: filling or rebuilding one sends nothing and changes nothing else.

mod batch;
mod rebuild;
mod run;

pub use rebuild::{RebuildError, rebuild, rebuild_all};
pub use run::{ProjectorError, run};
