//! What every process shares.

pub mod accounts;
pub mod auth;
pub mod connections;
pub mod cors;
pub mod health;
pub mod incidents;
pub mod identity;
pub mod interface;
mod jwt;
mod key;
pub mod lifecycle;
pub mod limits;
pub mod listen;
pub mod metrics;
pub mod problem;
pub mod server;
pub mod settings;
pub mod supervise;
pub mod telemetry;
pub mod trace;
