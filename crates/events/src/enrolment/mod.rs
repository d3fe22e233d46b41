//! The way of a patient into and through a trial.

pub mod ledger;
pub mod subject;
