//! Keyed MACs: for what must be found or compared without being read, and for what must come from us.
//!
//! HMAC-SHA-256 (RFC 2104) under a key that HKDF (RFC 5869) derives, for each purpose another one, from the secret of
//! the installation. Without that secret nobody can try which value a MAC belongs to.

use std::fmt;

use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use crate::key::{KEY_BYTES, Key, NotAuthentic};

/// HKDF's salt: it need not be secret, only always the same.
const SALT: &[u8] = b"anamnesis mac v1";
/// Bytes of a MAC.
pub const MAC_BYTES: usize = 32;

/// What a MAC is for: one that was made for something else proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Messages on the bus.
    BusMessage,
    /// Ids of commands.
    CommandId,
    /// Tags of documents.
    EntityTag,
    /// Fingerprints of commands, by which a repeated one is known.
    Fingerprint,
    /// Personal data that people are looked for by.
    SearchKey,
    /// What snapshots are sealed under.
    Snapshot,
}

/// Makes and verifies MACs for one purpose.
#[derive(Clone)]
pub struct Mac(hmac::Key);

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::BusMessage => "bus-message",
            Self::CommandId => "command-id",
            Self::EntityTag => "entity-tag",
            Self::Fingerprint => "fingerprint",
            Self::SearchKey => "search-key",
            Self::Snapshot => "snapshot",
        }
    }
}

impl Mac {
    /// For this purpose, from the secret of the installation (the key of [`crate::Owner::installation`]).
    pub fn new(secret: &Key, purpose: Purpose) -> Self {
        Self(derive(secret.bytes(), SALT, purpose.name().as_bytes()))
    }

    /// The MAC of these parts. Where one ends and the next begins counts.
    pub fn of(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let mut bytes = [0; MAC_BYTES];
        bytes.copy_from_slice(hmac::sign(&self.0, &joined(parts)).as_ref());
        bytes
    }

    /// Checks a MAC of these parts; how long that takes tells nothing of the right one.
    ///
    /// # Errors
    /// [`NotAuthentic`].
    pub fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> Result<(), NotAuthentic> {
        hmac::verify(&self.0, &joined(parts), mac).map_err(|_| NotAuthentic)
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Mac(…)")
    }
}

/// Each part behind its length.
fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat()).collect()
}

/// A key of HMAC-SHA-256 from a secret: HKDF with SHA-256, 32 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> hmac::Key {
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret);
    let length = "as many bytes as the hash has may be asked for";
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    let info = [info];
    let derived = secret.expand(&info, hkdf::HKDF_SHA256).expect(length);
    derived.fill(&mut bytes[..]).expect(length);
    hmac::Key::new(hmac::HMAC_SHA256, &bytes[..])
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The bytes of a text of hexadecimal digits.
    pub fn bytes(hexadecimal: &str) -> Vec<u8> {
        let pairs = hexadecimal.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("a byte")).collect()
    }

    /// RFC 4231, sections 4.2 to 4.4: key, data and MAC.
    const RFC_4231: [[&str; 3]; 3] = [
        [
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "4869205468657265",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ],
        [
            "4a656665",
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ],
        [
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ],
    ];
    /// RFC 5869, appendices A.1 to A.3: secret, salt, info and the first 32 bytes that are derived.
    const RFC_5869: [[&str; 4]; 3] = [
        [
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
        ],
        [
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f",
            "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
            "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c",
        ],
        [
            "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
            "",
            "",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
        ],
    ];

    #[test]
    fn it_is_the_hmac_of_rfc_4231() {
        for [key, data, mac] in RFC_4231 {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes(key));
            assert_eq!(hmac::sign(&key, &bytes(data)).as_ref(), bytes(mac));
        }
    }

    #[test]
    fn keys_are_derived_as_rfc_5869_says() {
        for [secret, salt, info, derived] in RFC_5869 {
            // A key itself is not to be had: what it signs is.
            let found = derive(&bytes(secret), &bytes(salt), &bytes(info));
            let wanted = hmac::Key::new(hmac::HMAC_SHA256, &bytes(derived));
            assert_eq!(hmac::sign(&found, b"text").as_ref(), hmac::sign(&wanted, b"text").as_ref());
        }
    }

    #[test]
    fn a_mac_proves_one_text_for_one_purpose_under_one_secret() {
        let secret = Key::from_bytes(&[7; 32]).expect("a key");
        let purposes =
            [Purpose::BusMessage, Purpose::CommandId, Purpose::EntityTag, Purpose::Fingerprint, Purpose::SearchKey];
        let made = Mac::new(&secret, Purpose::SearchKey).of(&[b"national-id", b"110101"]);
        for purpose in purposes {
            let verified = Mac::new(&secret, purpose).verify(&[b"national-id", b"110101"], &made);
            assert_eq!(verified.is_ok(), purpose == Purpose::SearchKey, "{purpose:?}");
        }
        let mac = Mac::new(&secret, Purpose::SearchKey);
        assert_eq!(mac.verify(&[b"national-id1", b"10101"], &made), Err(NotAuthentic), "parts end where they end");
        assert_eq!(mac.verify(&[b"national-id", b"110101"], &made[..31]), Err(NotAuthentic));
        let other = Mac::new(&Key::from_bytes(&[8; 32]).expect("a key"), Purpose::SearchKey);
        assert_eq!(other.verify(&[b"national-id", b"110101"], &made), Err(NotAuthentic));
        assert_eq!(format!("{mac:?}"), "Mac(…)");
    }
}
