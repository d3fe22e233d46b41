//! What the clinic's rules decide: pure and synchronous.
//!
//! One file per aggregate, always in the same order: state, commands,
//! reasons to refuse, decide, evolve. Time and ids come in with the command.

pub mod adverse_event;
pub mod alert;
pub mod clinical;
pub mod commands;
pub mod consent;
pub mod dead_letter;
pub mod eligibility;
pub mod enrolment;
pub mod instruments;
pub mod notification;
pub mod patient;
pub mod process;
pub mod protocol;
pub mod report;
pub mod scoring;
pub mod site;
pub mod subject;
pub mod trial;
pub mod validate;
pub mod visit;
