//! The log: its port, its engines, and what runs directly on it.

pub mod clock;
pub mod log;
pub mod postgres;
pub mod sqlite;
