//! The way of a patient into and through a trial.

pub mod eligibility;
pub mod enrolment_process;
pub mod ledger;
pub mod subject;
pub mod withdrawal_process;
