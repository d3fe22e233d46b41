//! What every process shares.

pub mod accounts;
pub mod auth;
mod body;
pub mod connections;
pub mod cors;
pub mod disclosures;
pub mod event_keys;
mod guarded;
pub mod headers;
pub mod health;
pub mod identity;
pub mod incidents;
pub mod interface;
mod jwt;
pub mod lifecycle;
pub mod limits;
pub mod listen;
pub mod metrics;
pub mod problem;
pub mod rate;
pub mod server;
pub mod settings;
pub mod shares;
pub mod supervise;
pub mod telemetry;
pub mod tls;
pub mod trace;
