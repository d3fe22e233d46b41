//! Views: one file each under `views/`, and the generic part that fills them.
//!
//! A view is never a cause: filling or rebuilding one sends nothing and changes nothing else.

mod batch;
mod fill;
mod lane;
mod open;
mod rebuild;
mod run;
mod session;
mod share;
mod standing;
mod view;
pub mod views;

pub use fill::FillError;
pub use rebuild::{RebuildError, rebuild, rebuild_all};
pub use run::{ProjectorError, run};
pub use standing::Standing;
pub use view::{Changes, DynView, View, ViewFault};
pub use views::VIEWS;
