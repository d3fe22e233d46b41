//! The keys of what is published.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::event_keys::{EventKeyError, load_signing};
use crate::identity::SigningKeys;

/// The keys by which the relay signs what it publishes.
#[derive(Clone, Debug, Args)]
pub struct EventKeySettings {
    /// Ed25519 keys by which the relay signs what it publishes on NATS: each 32 random bytes as 64 hexadecimal digits, or
    /// PKCS #8 in base64; several separated by a blank. The first signs.
    #[arg(
        long,
        env = "ANAMNESIS_EVENT_SIGNING_KEY",
        value_name = "HEX",
        hide_env_values = true,
        conflicts_with = "event_signing_key_file"
    )]
    pub event_signing_key: Option<String>,
    /// PEM file of these keys, mode 0600, as `anamnesis key create-event-key` makes it: the first signs. By default
    /// `event-signing.pem` in the data folder, which `serve` makes where it publishes and there is none.
    #[arg(long, env = "ANAMNESIS_EVENT_SIGNING_KEY_FILE", value_name = "FILE")]
    pub event_signing_key_file: Option<PathBuf>,
}

impl EventKeySettings {
    /// The keys that sign; one is made where none is named, there is none, and `make` allows it.
    ///
    /// # Errors
    /// [`EventKeyError`].
    pub fn keys(&self, data_dir: &Path, make: bool) -> Result<SigningKeys, EventKeyError> {
        if let Some(text) = &self.event_signing_key {
            return Ok(SigningKeys::parse(text)?);
        }
        let default = data_dir.join("event-signing.pem");
        let file = self.event_signing_key_file.as_ref().unwrap_or(&default);
        match load_signing(file) {
            Err(EventKeyError::Missing(_)) if make && self.event_signing_key_file.is_none() => {
                Ok(SigningKeys::load_or_create(file)?)
            }
            loaded => loaded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_only_where_none_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = folder.path().join("named.pem");
        let by = |text: Option<&str>, file| EventKeySettings {
            event_signing_key: text.map(str::to_owned),
            event_signing_key_file: file,
        };
        for (file, make) in [(Some(named), true), (None, false)] {
            assert!(matches!(by(None, file).keys(folder.path(), make), Err(EventKeyError::Missing(_))));
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        let made = by(None, None).keys(folder.path(), true).expect("it is made");
        let again = by(None, None).keys(folder.path(), false).expect("it is there");
        assert_eq!(made.signing().id(), again.signing().id());
        let two = format!("{} {}", "0f".repeat(32), "1f".repeat(32));
        assert_eq!(by(Some(&two), None).keys(folder.path(), false).expect("two keys").all().count(), 2);
        assert!(matches!(by(Some("0f"), None).keys(folder.path(), false), Err(EventKeyError::Signing(_))));
    }
}
