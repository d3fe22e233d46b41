//! Sealing: who has no key reads nothing, and what is altered or moved is noticed.
//!
//! A value is sealed under the data key of its [`Owner`] (a patient, an account, a trial) and bound to its
//! [`Place`]: the event and the field that it was written into. Data keys are kept in a [`KeyStore`] wrapped by
//! a [`Master`] key, and handed out by a [`Keyring`]. Whoever destroys an owner's keys has made everything that
//! was sealed for it unreadable, wherever it lies (docs/adr/0036). What must be compared without being read is
//! compared by a [`Mac`].
//!
//! This crate knows no database and no event: the store's engines are in `event-store`.

mod key;
mod keyring;
mod mac;
pub mod master;
mod owner;
mod place;
pub mod private_file;
mod sealed;
mod store;

pub use key::{Key, NoRandomness, NotAuthentic};
pub use keyring::{DataKey, KeyError, Keyring, KeyringOptions, OwnerKeys, Rewrapped};
pub use mac::{Mac, Purpose};
pub use master::{Context, Master, MasterError, MasterVersion, Wrapped};
pub use owner::{MalformedOwner, Owner, OwnerKind};
pub use place::{Event, Found, MalformedPlace, Moved, Place, field_path};
pub use sealed::{MalformedSealed, OpenError, Sealed, padded, strip_padding};
pub use store::{KeyStore, KeyStoreError, Standing, StoredKey};
