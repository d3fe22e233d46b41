//! Given, when, then: the rules of the clinic.

mod alert_process;
mod answers;
mod authority;
mod bodies;
mod cast;
mod chains;
mod consents;
mod corrections;
mod course;
mod days;
mod edges;
mod escalation;
mod faults;
mod forms;
mod identity;
mod late;
mod operation;
mod processes;
mod properties;
mod reports;
mod safety;
mod scopes;
mod scoring;
mod times;
mod unblinding;
mod world;
