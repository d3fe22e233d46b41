//! What the project's own tasks share with its tests: private, throw-away servers.
//!
//! Standard library only, so that `cargo xtask` builds in seconds.

pub mod install;
pub mod process;
pub mod servers;
pub mod tools;
