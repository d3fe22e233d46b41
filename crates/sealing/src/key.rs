//! A key, and what is done with it: AES-256-GCM-SIV (RFC 8452).
//!
//! The nonce is random and stored in front of the ciphertext. Where randomness fails (a virtual machine that is
//! restored twice) a repeated nonce tells, with SIV, only that two texts were equal.

use std::fmt;
use std::sync::Arc;

use aes_gcm_siv::aead::AeadInOut as _;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;
/// Bytes of a tag, which stands behind the ciphertext.
const TAG_BYTES: usize = 16;

/// A key of 256 bits. It is wiped from memory when the last copy of it is dropped.
#[derive(Clone)]
pub struct Key(Arc<Zeroizing<[u8; KEY_BYTES]>>);

/// Something was not sealed under this key, or not with these words around it, or was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was not made with this key for this place, or was altered")]
pub struct NotAuthentic;

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

impl Key {
    /// A key that nobody else has.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        let mut key = Self(Arc::new(Zeroizing::new([0; KEY_BYTES])));
        let bytes = Arc::get_mut(&mut key.0).ok_or(NoRandomness)?;
        SystemRandom::new().fill(&mut bytes[..]).map_err(|_| NoRandomness)?;
        Ok(key)
    }

    /// A key of 32 bytes; `None` where there are more or fewer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Self(Arc::new(Zeroizing::new([0; KEY_BYTES])));
        let own = Arc::get_mut(&mut key.0)?;
        (bytes.len() == KEY_BYTES).then(|| own.copy_from_slice(bytes))?;
        Some(key)
    }

    /// The key itself, for whoever wraps it.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Seals `text`, bound to `around`: gives nonce, ciphertext and tag.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn seal(&self, around: &[u8], text: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let mut nonce = [0; NONCE_BYTES];
        SystemRandom::new().fill(&mut nonce).map_err(|_| NoRandomness)?;
        Ok(self.seal_with(nonce, around, text))
    }

    fn seal_with(&self, nonce: [u8; NONCE_BYTES], around: &[u8], text: &[u8]) -> Vec<u8> {
        // In one piece, so that no copy of the text stays behind when it grows.
        let mut sealed = Vec::with_capacity(NONCE_BYTES + text.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(text);
        let within = &mut sealed[NONCE_BYTES..];
        let tag = self.cipher().encrypt_inout_detached(&nonce.into(), around, within.into());
        let tag = tag.expect("texts are far shorter than the 64 GiB that the cipher takes");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Opens what [`Key::seal`] gave for the same `around`.
    ///
    /// # Errors
    /// [`NotAuthentic`].
    pub fn open(&self, around: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(NotAuthentic)?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(NotAuthentic)?;
        let mut text = Zeroizing::new(text.to_vec());
        let within = text.as_mut_slice();
        let opened = self.cipher().decrypt_inout_detached(&(*nonce).into(), around, within.into(), &(*tag).into());
        opened.map(|()| text).map_err(|_| NotAuthentic)
    }

    fn cipher(&self) -> Aes256GcmSiv {
        Aes256GcmSiv::new((&**self.0).into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::tests::bytes;

    /// RFC 8452, appendix C.2: plaintext, additional data, key, nonce and result.
    const RFC_8452: [[&str; 5]; 4] = [
        [
            "",
            "",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "07f5f4169bbf55a8400cd47ea6fd400f",
        ],
        [
            "0100000000000000",
            "",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28",
        ],
        [
            "0200000000000000",
            "01",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "1de22967237a813291213f267e3b452f02d01ae33e4ec854",
        ],
        [
            "02000000000000000000000000000000030000000000000000000000000000000400000000000000000000000000000005000000000000000000000000000000",
            "01",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "030000000000000000000000",
            "67fd45e126bfb9a79930c43aad2d36967d3f0e4d217c1e551f59727870beefc98cb933a8fce9de887b1e40799988db1fc3f91880ed405b2dd298318858467c895bde0285037c5de81e5b570a049b62a0",
        ],
    ];

    #[test]
    fn it_is_the_cipher_of_rfc_8452() {
        for [text, around, key, nonce, result] in RFC_8452 {
            let key = Key::from_bytes(&bytes(key)).expect("32 bytes");
            let nonce: [u8; NONCE_BYTES] = bytes(nonce).try_into().expect("12 bytes");
            let sealed = key.seal_with(nonce, &bytes(around), &bytes(text));
            assert_eq!(sealed, [&nonce[..], &bytes(result)].concat());
            assert_eq!(*key.open(&bytes(around), &sealed).expect("it opens"), bytes(text));
        }
    }

    #[test]
    fn a_key_shows_nothing_of_itself_and_is_like_no_other() {
        let (one, other) = (Key::random().expect("a key"), Key::random().expect("a key"));
        assert_ne!(one.bytes(), other.bytes());
        assert_eq!(format!("{one:?}"), "Key(…)");
        assert!(Key::from_bytes(&[0; 31]).is_none() && Key::from_bytes(&[0; 33]).is_none());
        let sealed = one.seal(b"around", b"text").expect("sealed");
        assert_ne!(sealed, one.seal(b"around", b"text").expect("sealed"), "another nonce");
        assert_eq!(other.open(b"around", &sealed), Err(NotAuthentic));
        assert_eq!(one.open(b"elsewhere", &sealed), Err(NotAuthentic));
        assert_eq!(one.open(b"around", &sealed[..NONCE_BYTES + 3]), Err(NotAuthentic), "cut off");
    }
}
