//! Keeps every view of [`views::ALL`] up to date, and makes one again beside the one that is read.
//!
//! A view is never a cause: filling or rebuilding one sends nothing and changes nothing else.

mod batch;
mod fill;
mod lane;
mod open;
mod rebuild;
mod run;
mod sealing;
mod session;
mod share;
mod standing;

pub use fill::FillError;
pub use rebuild::{RebuildError, rebuild, rebuild_all};
pub use run::{ProjectorError, run};
pub use standing::Standing;
