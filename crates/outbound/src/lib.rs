//! What leaves the house: messages to people, and questions about drugs ([`drugs`]).
//!
//! The queue is the log. Whom a notification concerns is looked up in views ([`addressing`]), and a message to each of them is
//! queued by command. For each channel one process holds the lease; it takes what is due from the view of messages, asks the
//! message itself whether it still is to be sent, hands it to the provider and records what became of it ([`lane`]). A view that
//! is behind or made again therefore sends nothing twice, and neither does a process that dies: a provider that knows a message
//! again is given the same id, and of any other it is recorded before that it is being asked.

mod addressing;
mod backlog;
mod callbacks;
mod commands;
pub mod drugs;
mod lane;
mod provider;
mod queue;
mod run;
mod sending;
mod signature;

pub use backlog::watch_backlog;
pub use callbacks::router as callbacks;
pub use provider::{Providers, SetupError, receipt_secret};
pub use run::{Options, Outbound};
pub use signature::{Secret, SignatureError};
