//! The vocabulary in which decisions are written and carried out.
//!
//! A decision is a pure function from a command and folded streams to new
//! events. It asks for a stream by [`Facts::get`]; where the stream is not
//! loaded yet the decision halts with [`Halt::Needs`], whoever runs it loads
//! the stream and decides again. A command that knows from its fields what it
//! will read says so by [`Command::reads`], so that all of it is loaded at once
//! and the decision usually runs a single time. All streams that were loaded are guarded by
//! the version that was seen, so a rule over several streams holds however many
//! commands pass each other.
//!
//! Both the domain and the log speak it and neither may know the other, so it
//! is a crate of its own (docs/adr/0002-decider-vocabulary.md).

mod aggregate;
mod command;
mod decision;
mod facts;
mod refusal;

pub use aggregate::{Aggregate, Recorded, State, StreamFold};
pub use command::{Command, Context, Decide, Inquire, SearchKeys};
pub use decision::{Decision, StreamWrite};
pub use facts::{Fact, Facts, Halt, Need};
pub use refusal::{Fault, Reason, Refusal, RefusalKind};
