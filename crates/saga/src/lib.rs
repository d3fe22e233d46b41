//! Running the process managers of `domain::process`.
//!
//! An instance is a document of the view `sagas`; its steps are rows beside
//! it. Both, and the position up to which events were folded, change in one
//! transaction. A step is sent until it comes to an end; its command id is
//! derived, so sending it twice does nothing twice.

mod fold;
mod instance;
mod process;
mod run;
mod steps;

pub use instance::{Instance, SCHEMA};
pub use run::{Options, run};
