//! The server, spoken to over sockets by clients that keep to no manners.

mod client;
mod connections;
mod cors;
mod deadline;
mod headers;
mod hostile_tokens;
mod http2;
mod identity;
mod limits;
mod odd_providers;
mod process;
mod server;
mod tls;
