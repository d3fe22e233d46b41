//! By what subscribers outside know that a message is the relay's: a signature over all that it says.
//!
//! Signed by Ed25519 (RFC 8032) is a text: [`DOMAIN`], then a line `name:value` for every header that begins with
//! `ce-`, but the signature itself, in the order of the names; each line ends with a line feed. Names are in lower
//! case, values as they are on the wire. The payload is signed by its hash, which is one of these headers. So nothing of
//! a message can be changed, left out or added that CloudEvents knows of; headers beside it (`Nats-…`, `traceparent`)
//! prove nothing (docs/adr/0040-what-is-published-is-signed.md).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use async_nats::{HeaderMap, HeaderName};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::header_value::text_of;
use crate::headers::{DATA_HASH, DATA_REF, KEY_ID, SIGNATURE};

/// The first line of what is signed: no signature of another purpose or form is taken for one of these.
pub const DOMAIN: &str = "anamnesis-event-signature-v1";

/// What CloudEvents' attributes begin with.
const ATTRIBUTE: &str = "ce-";
/// Characters of a SHA-256 in base64url.
const HASH_CHARACTERS: usize = 43;
/// Characters of an Ed25519 signature in base64url.
const SIGNATURE_CHARACTERS: usize = 86;

/// Signs messages.
#[derive(Clone, Debug)]
pub struct Signer {
    id: Arc<str>,
    pair: Arc<Ed25519KeyPair>,
}

impl Signer {
    /// Signs by this key, which subscribers know by this id: the thumbprint of its public half (RFC 7638).
    pub fn new(id: &str, pair: Ed25519KeyPair) -> Self {
        Self { id: id.into(), pair: Arc::new(pair) }
    }

    /// The key's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half of the key.
    pub fn public(&self) -> PublicKeys {
        [(&*self.id, self.pair.public_key().as_ref())].into_iter().collect()
    }

    /// How many bytes [`Self::sign`] adds to a message.
    pub fn bytes(&self) -> usize {
        let values = HASH_CHARACTERS + self.id.len() + SIGNATURE_CHARACTERS;
        [DATA_HASH, KEY_ID, SIGNATURE].iter().map(|name| name.len() + b": \r\n".len()).sum::<usize>() + values
    }

    /// Signs a message whose other headers are all set, and gives the signature as the header has it. `payload` is the
    /// event's, also where it is not sent with it.
    pub fn sign(&self, headers: &mut HeaderMap, payload: &[u8]) -> String {
        headers.insert(HeaderName::from_static(DATA_HASH), &*data_hash(payload));
        headers.insert(HeaderName::from_static(KEY_ID), &*self.id);
        let text = signed_text(headers).expect("our own headers are there once by construction");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
        headers.insert(HeaderName::from_static(SIGNATURE), &*signature);
        signature
    }
}

/// The hash of a payload as [`DATA_HASH`] has it.
pub fn data_hash(payload: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, payload))
}

/// Why a message is not the relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Nobody signed it.
    #[error("the message is not signed")]
    Unsigned,
    /// A header is there more than once: which of them counts nobody can say.
    #[error("a header of the message is there twice")]
    Twice,
    /// It is signed by a key that is not known.
    #[error("the message is signed by a key that is not known")]
    UnknownKey,
    /// What it says is not what was signed.
    #[error("the message's signature does not hold")]
    Forged,
    /// The payload is not the one of which the headers tell.
    #[error("the message's payload is not the one that was signed")]
    Payload,
}

/// The public keys of relays, by their ids.
#[derive(Clone, Debug, Default)]
pub struct PublicKeys(HashMap<String, Vec<u8>>);

impl<Id: Into<String>, Point: Into<Vec<u8>>> FromIterator<(Id, Point)> for PublicKeys {
    fn from_iter<I: IntoIterator<Item = (Id, Point)>>(keys: I) -> Self {
        Self(keys.into_iter().map(|(id, point)| (id.into(), point.into())).collect())
    }
}

impl PublicKeys {
    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Proves that the headers are as one of these keys signed them; without `payload`, of the headers alone.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, headers: &HeaderMap, payload: Option<&[u8]>) -> Result<(), SignatureError> {
        let given = |name| text_of(headers, name).ok_or(SignatureError::Unsigned);
        let (id, hash, signature) = (given(KEY_ID)?, given(DATA_HASH)?, given(SIGNATURE)?);
        let text = signed_text(headers).ok_or(SignatureError::Twice)?;
        let point = self.0.get(&*id).ok_or(SignatureError::UnknownKey)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(&*signature).map_err(|_| SignatureError::Forged)?;
        let key = UnparsedPublicKey::new(&ED25519, point);
        key.verify(text.as_bytes(), &signature).map_err(|_| SignatureError::Forged)?;
        // What is elsewhere is not in the message at all.
        let elsewhere = text_of(headers, DATA_REF).is_some();
        let holds = |payload: &[u8]| if elsewhere { payload.is_empty() } else { data_hash(payload) == hash };
        if payload.is_none_or(holds) { Ok(()) } else { Err(SignatureError::Payload) }
    }
}

/// What is signed of a message; none where a header is there twice, by names that differ in case alone, too.
fn signed_text(headers: &HeaderMap) -> Option<String> {
    let mut lines: Vec<(Cow<'_, str>, &str)> = Vec::with_capacity(32);
    for (name, values) in headers.iter() {
        let name = lower_case(name.as_ref());
        if !name.starts_with(ATTRIBUTE) || name == SIGNATURE {
            continue;
        }
        let [value] = values.as_slice() else { return None };
        lines.push((name, value.as_str()));
    }
    lines.sort_unstable();
    if lines.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    let bytes = lines.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    let mut text = String::with_capacity(DOMAIN.len() + 1 + bytes);
    text.push_str(DOMAIN);
    text.push('\n');
    for (name, value) in lines {
        for part in [&*name, ":", value, "\n"] {
            text.push_str(part);
        }
    }
    Some(text)
}

/// Names of ours are in lower case already.
fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return name.to_ascii_lowercase().into();
    }
    name.into()
}

/// The key of RFC 8037, appendices A.1 to A.3, which everybody knows: for tests and examples.
pub mod example {
    use ring::signature::Ed25519KeyPair;

    use super::Signer;

    /// Its id, the thumbprint of its public half.
    pub const ID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
    /// Its public half.
    pub const PUBLIC: [u8; 32] = [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
        0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
    ];
    const SEED: [u8; 32] = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
        0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];

    /// Signs by it.
    pub fn signer() -> Signer {
        let pair = Ed25519KeyPair::from_seed_and_public_key(&SEED, &PUBLIC);
        Signer::new(ID, pair.expect("the halves of the standard's key belong together"))
    }
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;
    use event_store::log::LogIdentity;
    use uuid::Uuid;

    use super::*;
    use crate::headers::{ACTOR_ID, POSITION};
    use crate::message::{self, wire_bytes};

    fn keys() -> PublicKeys {
        [(example::ID, example::PUBLIC)].into_iter().collect()
    }

    /// A message of the relay, without and with its payload elsewhere.
    fn signed() -> [(HeaderMap, Vec<u8>); 2] {
        let event = message::example(None);
        let identity = LogIdentity { log_id: Uuid::from_u128(9), epoch: 2 };
        let mut whole = message::headers(identity, &event);
        let mut elsewhere = message::with_data_ref(&whole, event.event_id);
        for headers in [&mut whole, &mut elsewhere] {
            headers.insert("Nats-Msg-Id", "x");
            let before = wire_bytes(headers, &[]);
            example::signer().sign(headers, &event.payload);
            assert_eq!(wire_bytes(headers, &[]), before + example::signer().bytes());
        }
        [(whole, event.payload.to_vec()), (elsewhere, Vec::new())]
    }

    /// The same headers, with their names in another case.
    fn renamed(headers: &HeaderMap, name: impl Fn(&str) -> String) -> HeaderMap {
        let mut renamed = HeaderMap::new();
        for (old, values) in headers.iter() {
            values.iter().for_each(|value| renamed.append(&*name(old.as_ref()), value.as_str()));
        }
        renamed
    }

    #[test]
    fn a_message_is_signed_as_the_guide_says() {
        let mut headers = HeaderMap::new();
        headers.insert("ce-type", "A%20b");
        headers.insert("traceparent", "00-1");
        headers.insert("ce-id", "1");
        example::signer().sign(&mut headers, b"{}");
        let text = format!(
            "anamnesis-event-signature-v1\nce-datahash:RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o\nce-id:1\n\
             ce-keyid:{}\nce-type:A%20b\n",
            example::ID
        );
        assert_eq!(signed_text(&headers).as_deref(), Some(&*text));
        assert_eq!(keys().verify(&headers, Some(b"{}")), Ok(()));
    }

    #[test]
    fn nothing_of_a_message_can_be_changed() {
        let changed = |headers: &HeaderMap, payload: &[u8]| keys().verify(headers, Some(payload));
        for (headers, payload) in signed() {
            assert_eq!(changed(&headers, &payload), Ok(()));
            assert_eq!(changed(&renamed(&headers, str::to_ascii_uppercase), &payload), Ok(()), "a bridge may do that");
            assert_eq!(changed(&headers, b"{\"a\":2}"), Err(SignatureError::Payload));
            for name in headers.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>() {
                let mut other = headers.clone();
                other.insert(&*name, "8");
                let mut without = HeaderMap::new();
                let mut twice = headers.clone();
                twice.append(&*name, "8");
                for (kept, values) in headers.iter().filter(|(kept, _)| AsRef::<str>::as_ref(*kept) != name) {
                    without.insert(kept.clone(), values[0].clone());
                }
                let is_signed = name.starts_with("ce-");
                assert_eq!(changed(&other, &payload).is_err(), is_signed, "{name}");
                assert_eq!(changed(&without, &payload).is_err(), is_signed, "{name}");
                // The first signature is the one that counts.
                assert_eq!(changed(&twice, &payload).is_err(), is_signed && name != SIGNATURE, "{name}");
            }
            let mut more = headers.clone();
            more.insert("ce-siteid2", "8");
            assert_eq!(changed(&more, &payload), Err(SignatureError::Forged));
            let mut again = headers.clone();
            again.append("Ce-Position", "8");
            assert_eq!(changed(&again, &payload), Err(SignatureError::Twice), "{POSITION} under two names");
        }
    }

    #[test]
    fn only_keys_that_are_known_count() {
        let [(mut headers, payload), _] = signed();
        let nobodys = PublicKeys::default();
        assert_eq!(nobodys.verify(&headers, Some(&payload)), Err(SignatureError::UnknownKey));
        let other: PublicKeys = [(example::ID, [1; 32])].into_iter().collect();
        assert_eq!(other.verify(&headers, None), Err(SignatureError::Forged));
        headers.insert(SIGNATURE, "AA");
        assert_eq!(keys().verify(&headers, None), Err(SignatureError::Forged));
        headers.insert(SIGNATURE, "=");
        assert_eq!(keys().verify(&headers, None), Err(SignatureError::Forged));
        let unsigned = message::common_headers(
            LogIdentity { log_id: Uuid::nil(), epoch: 1 },
            Uuid::nil(),
            "LogRepublished",
            "urn:x",
            1,
        );
        assert_eq!(keys().verify(&unsigned, None), Err(SignatureError::Unsigned));
        assert!(text_of(&headers, ACTOR_ID).is_some());
    }
}
