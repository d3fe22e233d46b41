//! Running the process managers of `domain::process`.
//!
//! Each process manager stands on its own: a lease, a cursor in the log,
//! instances (documents of the view `sagas`) and steps that have not come to an
//! end. What a stretch of the log does to them is stored in one transaction. A
//! step is sent until it comes to an end; its command's id is derived and the
//! log remembers what became of it, so that whoever throws all of this away
//! gets the same from the log and sends nothing twice (docs/adr/0028).

mod fold;
mod follow;
mod instance;
mod lane;
mod letters;
mod process;
mod run;
mod settle;
mod standing;
mod steps;

pub use instance::{Instance, SCHEMA, StepRecord};
pub use process::{DynProcess, Erased, Folded, PROCESSES};
pub use run::{Options, Runner};
pub use standing::Standing;
