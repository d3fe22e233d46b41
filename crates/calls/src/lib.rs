//! Calls to others over HTTP: how long they may take, when they are tried again, when somebody is left alone for a while, and
//! which of several addresses is asked.
//!
//! Our own client ([`client`](../client/index.html)) and what the server asks outside are made of the same parts. A call ends with its
//! time, or with the future that makes it: nothing goes on behind it.

mod breaker;
mod endpoint;
mod outgoing;
mod policy;
mod pool;
mod service;

pub use breaker::{Breaker, Try};
pub use endpoint::http;
pub use outgoing::{Failure, Outgoing, Reply};
pub use policy::{Breaking, Budgeting, Policy};
pub use pool::{Address, AddressError, Lookup};
pub use service::{CallError, Service};
