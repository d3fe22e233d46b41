//! A sealed value, as it is stored and sent.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::key::{Key, NoRandomness, NotAuthentic};
use crate::owner::OwnerKind;
use crate::place::{Found, Moved, Place};

/// How a sealed value's text begins, and its version.
const VERSION: &str = "v1";
/// Texts are filled up to a multiple of this, so that their length tells little.
const BLOCK_BYTES: usize = 64;
/// The same for what is sealed for a trial: every arm's code fits in one, so that the length of an allocation tells nothing.
const ALLOCATION_BLOCK_BYTES: usize = 512;
/// Stands behind the text, before the zeros that fill it up (ISO/IEC 7816-4).
const END: u8 = 0x80;

/// A sealed value: what it is bound to in the clear, and nonce, ciphertext and tag. As text
/// `v1.<kind>.<owner>.<key version>.<stream>.<command>.<ordinal>.<event type>/<field>.<base64url>`; all that stands before the
/// last dot is authenticated as it stands there.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    place: Place,
    bytes: Vec<u8>,
}

/// A text that is no sealed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sealed value")]
pub struct MalformedSealed;

/// Why a sealed value is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It was written for somebody or something else.
    #[error("the sealed value does not belong where it was found")]
    Moved(#[source] Moved),
    /// It, or what it says that it is bound to, was altered; or the key is another one.
    #[error("the sealed value cannot be opened")]
    Altered(#[source] NotAuthentic),
}

impl Sealed {
    /// Seals a value under the key of its place's owner.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn seal(key: &Key, place: Place, text: &[u8]) -> Result<Self, NoRandomness> {
        let block_bytes = match place.owner().kind {
            OwnerKind::Trial => ALLOCATION_BLOCK_BYTES,
            OwnerKind::Patient | OwnerKind::Account | OwnerKind::Installation => BLOCK_BYTES,
        };
        let padded = padded(text, block_bytes);
        let bytes = key.seal(around(&place).as_bytes(), &padded)?;
        Ok(Self { place, bytes })
    }

    /// What it says that it is bound to; to be believed once it was opened.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Opens the value, which was `found` there, with the key of its place's owner and key version.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, key: &Key, found: &Found<'_>) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.place.require(found).map_err(OpenError::Moved)?;
        let mut text = key.open(around(&self.place).as_bytes(), &self.bytes).map_err(OpenError::Altered)?;
        strip_padding(&mut text).map_err(OpenError::Altered)?;
        Ok(text)
    }
}

/// The text filled up to a multiple of so many bytes.
pub fn padded(text: &[u8], block_bytes: usize) -> Zeroizing<Vec<u8>> {
    let filled = (text.len() / block_bytes + 1) * block_bytes;
    let mut padded = Zeroizing::new(Vec::with_capacity(filled));
    padded.extend_from_slice(text);
    padded.push(END);
    padded.resize(filled, 0);
    padded
}

/// Takes away what a text was filled up with.
///
/// # Errors
/// Where it was not.
pub fn strip_padding(text: &mut Vec<u8>) -> Result<(), NotAuthentic> {
    let end = text.iter().rposition(|byte| *byte != 0).filter(|end| text[*end] == END);
    text.truncate(end.ok_or(NotAuthentic)?);
    Ok(())
}

fn around(place: &Place) -> String {
    format!("{VERSION}.{place}")
}

impl fmt::Display for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{VERSION}.{}.{}", self.place, URL_SAFE_NO_PAD.encode(&self.bytes))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sealed({})", self.place)
    }
}

impl FromStr for Sealed {
    type Err = MalformedSealed;

    fn from_str(text: &str) -> Result<Self, MalformedSealed> {
        let rest = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('.')).ok_or(MalformedSealed)?;
        let (place, bytes) = rest.rsplit_once('.').ok_or(MalformedSealed)?;
        let place = place.parse().map_err(|_| MalformedSealed)?;
        Ok(Self { place, bytes: URL_SAFE_NO_PAD.decode(bytes).map_err(|_| MalformedSealed)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::owner::Owner;
    use crate::place::Event;

    fn place_of(owner: Owner) -> Place {
        let event = Event { stream: Uuid::from_u128(6), command_id: Uuid::from_u128(7), ordinal: 2 };
        Place::new(owner, 1, event, "PatientRegistered", "demographics/family_name").expect("a place")
    }

    fn any_place() -> impl Strategy<Value = Place> {
        let names = ("[A-Za-z0-9_-]{1,12}", "[a-z_]{1,8}(/[a-z0-9%-]{1,8}){0,3}");
        let kinds = prop::sample::select(vec![OwnerKind::Patient, OwnerKind::Account, OwnerKind::Trial]);
        (kinds, any::<[u128; 3]>(), any::<u32>(), any::<u16>(), names).prop_map(
            |(kind, [id, stream, command], version, ordinal, (event_type, field))| {
                let owner = Owner { kind, id: Uuid::from_u128(id) };
                let event = Event { stream: Uuid::from_u128(stream), command_id: Uuid::from_u128(command), ordinal };
                Place::new(owner, version, event, &event_type, &field).expect("a place")
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_where_it_belongs(place in any_place(), text: Vec<u8>) {
            let key = Key::random().expect("a key");
            let sealed = Sealed::seal(&key, place.clone(), &text).expect("sealed");
            let read: Sealed = sealed.to_string().parse().expect("a sealed value");
            prop_assert_eq!(&read, &sealed);
            for found in [Found::at(&place), Found::of(place.owner())] {
                prop_assert_eq!(&*read.open(&key, &found).expect("opened"), &text);
            }
            // Nonce and tag, and blocks of 64.
            prop_assert_eq!((sealed.bytes.len() - 12 - 16) % 64, 0);
        }

        #[test]
        fn a_change_of_any_character_is_noticed(text in ".{0,80}", at: prop::sample::Index, by in "[ -~]") {
            let key = Key::random().expect("a key");
            let place = place_of(Owner::patient(Uuid::from_u128(5)));
            let written = Sealed::seal(&key, place.clone(), text.as_bytes()).expect("sealed").to_string();
            let at = at.index(written.len());
            prop_assume!(written[at..=at] != by);
            let mut altered = written;
            altered.replace_range(at..=at, &by);
            // Whatever its finder knows: the value itself tells.
            if let Ok(read) = altered.parse::<Sealed>() {
                prop_assert!(read.open(&key, &Found::of(read.place().owner())).is_err(), "{}", altered);
                prop_assert!(read.open(&key, &Found::at(&place)).is_err());
            }
        }

        #[test]
        fn a_value_in_the_clothes_of_another_place_is_not_opened(place in any_place(), other in any_place()) {
            prop_assume!(place != other);
            let key = Key::random().expect("a key");
            let sealed = Sealed::seal(&key, place.clone(), b"text").expect("sealed");
            let dressed = Sealed { place: other.clone(), bytes: sealed.bytes.clone() };
            prop_assert_eq!(dressed.open(&key, &Found::at(&other)), Err(OpenError::Altered(NotAuthentic)));
            let moved = sealed.open(&key, &Found::at(&other));
            prop_assert!(matches!(moved, Err(OpenError::Moved(_))), "{:?}", moved);
        }

        #[test]
        fn nonsense_is_no_sealed_value(text: String) {
            if let Ok(read) = text.parse::<Sealed>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }

    #[test]
    fn every_part_that_was_moved_is_named() {
        let key = Key::random().expect("a key");
        let owner = Owner::patient(Uuid::from_u128(5));
        let sealed = Sealed::seal(&key, place_of(owner), "张伟".as_bytes()).expect("sealed");
        let here = Found { ..Found::at(sealed.place()) };
        assert_eq!(*sealed.open(&key, &here).expect("opened"), "张伟".as_bytes());
        let elsewhere = [
            (Found { owner: Owner::patient(Uuid::from_u128(6)), ..here }, Moved::Owner),
            (Found { owner: Owner::account(owner.id), ..here }, Moved::Owner),
            (Found { stream: Some(Uuid::from_u128(8)), ..here }, Moved::Event),
            (Found { command_id: Some(Uuid::from_u128(8)), ..here }, Moved::Event),
            (Found { ordinal: Some(3), ..here }, Moved::Event),
            (Found { event_type: Some("PatientCorrected"), ..here }, Moved::Event),
            (Found { field: Some("demographics/given_name"), ..here }, Moved::Field),
        ];
        for (found, part) in elsewhere {
            assert_eq!(sealed.open(&key, &found), Err(OpenError::Moved(part)));
        }
        let other = Key::random().expect("a key");
        assert_eq!(sealed.open(&other, &here), Err(OpenError::Altered(NotAuthentic)));
    }

    #[test]
    fn length_tells_little() {
        let key = Key::random().expect("a key");
        let length = |text: &[u8]| {
            Sealed::seal(&key, place_of(Owner::installation(Uuid::nil())), text).expect("sealed").to_string().len()
        };
        assert_eq!(length(b""), length(&[0; 63]));
        assert_ne!(length(&[0; 63]), length(&[0; 64]));
        let allocation = |text: &[u8]| {
            Sealed::seal(&key, place_of(Owner::trial(Uuid::nil())), text).expect("sealed").to_string().len()
        };
        // The longest code of an arm, 100 characters of four bytes in quotes.
        assert_eq!(allocation(b"\"A\""), allocation(&[b'a'; 402]));
        let value = Sealed::seal(&key, place_of(Owner::installation(Uuid::nil())), b"secret").expect("sealed");
        assert!(!format!("{value:?}").contains(&URL_SAFE_NO_PAD.encode(&value.bytes)));
    }
}
