//! What the clinic's rules decide: pure and synchronous.
//!
//! One folder per context, with the same names as in `events` and `views`; one
//! file per aggregate, always in the same order: state, commands, reasons to
//! refuse, decide, evolve. A process manager is a file `<name>_process.rs` of
//! its context. Time and ids come in with the command.

pub mod commands;
pub mod consent;
pub mod enrolment;
pub mod epro;
pub mod messaging;
pub mod operation;
pub mod patient;
pub mod process;
pub mod rules;
pub mod safety;
pub mod site;
pub mod trial;
pub mod validate;
pub mod visit;
