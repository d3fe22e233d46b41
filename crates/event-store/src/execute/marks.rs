//! What commands are known by without being told: ids and fingerprints that nobody can compute who has no secret.
//!
//! Both lie in the log, and ids are seen by whoever may see an event. A plain digest of what a command says can be
//! compared with the digest of each thing that it may say: of every birth date, of every arm of a trial.

use decider::SearchKeys;
use events::ids::AccountId;
use sealing::{Key, Mac, Purpose};
use uuid::Uuid;

/// Bytes of an id.
const ID_BYTES: usize = 16;

/// Makes ids and fingerprints from the secret of the installation; the same of the same for ever.
#[derive(Clone, Debug)]
pub struct Marks {
    id: Mac,
    fingerprint: Mac,
    search: Mac,
}

impl Marks {
    /// From the secret of the installation.
    pub fn new(secret: &Key) -> Self {
        let mac = |purpose| Mac::new(secret, purpose);
        let (id, fingerprint) = (mac(Purpose::CommandId), mac(Purpose::Fingerprint));
        Self { id, fingerprint, search: mac(Purpose::SearchKey) }
    }

    /// By which a command is known again, from what it says.
    pub fn fingerprint(&self, text: &str) -> [u8; 32] {
        self.fingerprint.of(&[text.as_bytes()])
    }

    /// The id of the command that an account sends with this idempotency key.
    pub fn command_of(&self, account_id: AccountId, idempotency_key: &str) -> Uuid {
        self.id_of(&[b"account", account_id.uuid().as_bytes(), idempotency_key.as_bytes()])
    }

    /// The id of the command that the operator carries out, by what it says: the same one is carried out once.
    pub fn command_of_operator(&self, text: &str) -> Uuid {
        self.id_of(&[b"operator", text.as_bytes()])
    }

    /// The id of what a command of this name and id creates: a repeated command names the same thing.
    pub fn created_by(&self, command: &str, command_id: Uuid) -> Uuid {
        self.id_of(&[b"created", command.as_bytes(), command_id.as_bytes()])
    }

    fn id_of(&self, parts: &[&[u8]]) -> Uuid {
        uuid_of(&self.id, parts)
    }
}

impl SearchKeys for Marks {
    fn key(&self, kind: &str, text: &str) -> Uuid {
        uuid_of(&self.search, &[kind.as_bytes(), text.as_bytes()])
    }
}

/// A UUID of version 8 (RFC 9562, section 5.8) of the first bytes of a MAC.
fn uuid_of(mac: &Mac, parts: &[&[u8]]) -> Uuid {
    let mut bytes = [0; ID_BYTES];
    bytes.copy_from_slice(&mac.of(parts)[..ID_BYTES]);
    Uuid::new_v8(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn marks(byte: u8) -> Marks {
        Marks::new(&Key::from_bytes(&[byte; 32]).expect("a key"))
    }

    #[test]
    fn ids_are_told_apart_by_who_sends_and_what_for() {
        let (marks, account) = (marks(7), AccountId::from(Uuid::from_u128(1)));
        let id = marks.command_of(account, "k");
        assert_eq!(id, marks.command_of(account, "k"), "the same for ever");
        let others = [
            marks.command_of(AccountId::from(Uuid::from_u128(2)), "k"),
            marks.command_of(account, "l"),
            marks.command_of_operator("k"),
            marks.created_by("RegisterTrial", id),
            marks.created_by("RegisterPatient", id),
            self::marks(8).command_of(account, "k"),
        ];
        let all: HashSet<Uuid> = others.into_iter().chain([id]).collect();
        assert_eq!(all.len(), 7);
        for id in all {
            assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122));
        }
    }

    #[test]
    fn a_fingerprint_is_of_one_text_under_one_secret() {
        let made = marks(7).fingerprint("text");
        assert_eq!(made, marks(7).fingerprint("text"));
        assert!(made != marks(8).fingerprint("text") && made != marks(7).fingerprint("text "));
    }
}
