//! The log: its port, its engines, and what is stored beside it.

pub mod checkpoints;
pub mod clock;
pub mod execute;
mod installation;
mod keys;
pub mod leases;
pub mod log;
mod migrations;
mod portion;
pub mod postgres;
pub mod readings;
pub mod sagas;
mod sealer;
pub mod sqlite;
mod store;
pub mod views;

pub use installation::{Installation, InstallationError, NotOpen};
pub use sealer::{Document, SealError, Sealer, may_hold_sealed};
pub use sqlite::{BackedUp, BackupError};
pub use store::{ConnectionUse, OpenError, Said, Store, StoreOptions, migrate};
