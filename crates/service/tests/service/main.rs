//! The server, spoken to over sockets by clients that keep to no manners.

mod client;
mod connections;
mod cors;
mod headers;
mod limits;
mod process;
mod server;
mod tls;
