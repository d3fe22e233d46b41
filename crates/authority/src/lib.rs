//! Who may do and read what.
//!
//! Tokens say who somebody is; what they may do is in the log: an [`Account`] holds grants of roles, each
//! with a scope. Which role has which duty and reads which area is data: [`matrix`]. Commands are decided with
//! the account as one of their facts (crate `domain`), answers are cut to what is in sight (crate `query-api`);
//! both ask here, so that they cannot differ (docs/adr/0033-authority-is-decided-with-the-command.md).

mod account;
mod area;
mod identity;
pub mod matrix;
mod places;
mod sight;
pub mod signing;

pub use account::{Account, Grant, Holder, Standing};
pub use area::Area;
pub use identity::Identity;
pub use places::{PatientPlaces, Places};
pub use sight::Sight;
