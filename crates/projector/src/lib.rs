//! Views: one file each under `views/`, and the generic part that fills them.
//!
//! A view is never a cause: filling or rebuilding one sends nothing and changes nothing else.

mod batch;
mod rebuild;
mod run;
mod view;
pub mod views;

pub use rebuild::{RebuildError, rebuild, rebuild_all};
pub use run::{ProjectorError, run};
pub use view::{DynView, View, ViewFault};
pub use views::VIEWS;
