//! The versions of a master key that this process holds itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::{Context, MasterError, MasterVersion, Wrapped};
use crate::key::{KEY_BYTES, Key, NoRandomness, NotAuthentic};

/// The name of a master key that is given to the process, by a file or otherwise.
pub const NAME: &str = "local";

/// A text that holds no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedMaster {
    /// There is no line in it.
    #[error("it is empty")]
    Empty,
    /// A line that is none.
    #[error("line {0} is not a version, a blank and a key of 64 hexadecimal digits")]
    Line(usize),
    /// A version that stands there twice.
    #[error("version {0} stands there twice")]
    Twice(u32),
}

/// The versions of a master key. As text: a line for each, its number and 64 hexadecimal digits; a key alone is
/// version 1.
#[derive(Clone, Debug, Default)]
pub struct Versions(BTreeMap<u32, Key>);

impl Versions {
    /// Reads them.
    ///
    /// # Errors
    /// [`MalformedMaster`].
    pub fn parse(text: &str) -> Result<Self, MalformedMaster> {
        let mut versions = BTreeMap::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let malformed = MalformedMaster::Line(number + 1);
            let (version, digits) = line.trim().split_once(' ').unwrap_or(("1", line.trim()));
            let version = version.parse().ok().filter(|version| *version > 0).ok_or(malformed)?;
            if versions.insert(version, key(digits.trim()).ok_or(malformed)?).is_some() {
                return Err(MalformedMaster::Twice(version));
            }
        }
        if versions.is_empty() { Err(MalformedMaster::Empty) } else { Ok(Self(versions)) }
    }

    /// Writes them.
    pub fn to_text(&self) -> Zeroizing<String> {
        // In one piece, so that no copy stays behind when it grows.
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * (KEY_BYTES * 2 + 16)));
        for (version, key) in &self.0 {
            // Writing into a string cannot fail.
            let _ = write!(text, "{version} ");
            key.bytes().iter().for_each(|byte| {
                let _ = write!(text, "{byte:02x}");
            });
            text.push('\n');
        }
        text
    }

    /// Adds a new version; gives its number.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn add(&mut self) -> Result<u32, NoRandomness> {
        let version = self.newest() + 1;
        self.0.insert(version, Key::random()?);
        Ok(version)
    }

    /// The number of the newest; 0 where there is none.
    pub fn newest(&self) -> u32 {
        self.0.last_key_value().map_or(0, |(version, _)| *version)
    }

    /// Whether this version is there.
    pub fn has(&self, version: u32) -> bool {
        self.0.contains_key(&version)
    }

    /// Wraps a data key with the newest version.
    ///
    /// # Errors
    /// [`MasterError`].
    pub fn wrap(&self, key: &Key, context: Context) -> Result<Wrapped, MasterError> {
        let by = MasterVersion { name: NAME.to_owned(), version: self.newest() };
        let master = self.0.get(&by.version).ok_or_else(|| MasterError::NoVersion(by.clone()))?;
        let sealed = master.seal(around(by.version, context).as_bytes(), key.bytes())?;
        Ok(Wrapped { by, text: URL_SAFE_NO_PAD.encode(sealed) })
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// [`MasterError`].
    pub fn unwrap(&self, wrapped: &Wrapped, context: Context) -> Result<Key, MasterError> {
        let master = self.0.get(&wrapped.by.version).ok_or_else(|| MasterError::NoVersion(wrapped.by.clone()))?;
        let foreign = |error| MasterError::Foreign(context.owner, error);
        let sealed = URL_SAFE_NO_PAD.decode(&wrapped.text).map_err(|_| foreign(NotAuthentic))?;
        let opened = master.open(around(wrapped.by.version, context).as_bytes(), &sealed).map_err(foreign)?;
        Key::from_bytes(&opened).ok_or_else(|| foreign(NotAuthentic))
    }
}

fn around(version: u32, context: Context) -> String {
    format!("anamnesis data key v1.{version}.{context}")
}

/// A key of 64 hexadecimal digits.
fn key(digits: &str) -> Option<Key> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if digits.len() != 2 * KEY_BYTES || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, place) in bytes.iter_mut().zip((0..digits.len()).step_by(2)) {
        *byte = u8::from_str_radix(&digits[place..place + 2], 16).ok()?;
    }
    Key::from_bytes(&bytes[..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::Owner;

    #[test]
    fn versions_are_written_and_read() {
        let mut versions = Versions::parse(&"ab".repeat(32)).expect("a key alone");
        assert_eq!((versions.newest(), versions.add()), (1, Ok(2)));
        let again = Versions::parse(&versions.to_text()).expect("what was written");
        assert_eq!(*again.to_text(), *versions.to_text());
        assert_eq!(format!("{again:?}"), "Versions({1: Key(…), 2: Key(…)})");
        let key = "00".repeat(32);
        for (text, fault) in [
            (String::new(), MalformedMaster::Empty),
            (key.replace("00", "0g"), MalformedMaster::Line(1)),
            (key[1..].to_owned(), MalformedMaster::Line(1)),
            (format!("1 {key}\n0 {key}"), MalformedMaster::Line(2)),
            (format!("+1 {}", "é".repeat(32)), MalformedMaster::Line(1)),
            (format!("3 {key}\n3 {key}"), MalformedMaster::Twice(3)),
        ] {
            assert_eq!(Versions::parse(&text).map(|_| ()), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_wrapped_key_is_bound_to_its_owner_and_version() {
        let mut versions = Versions::default();
        versions.add().expect("a version");
        let (owner, key) = (Owner::patient(uuid::Uuid::from_u128(1)), Key::random().expect("a key"));
        let context = Context { owner, version: 1 };
        let wrapped = versions.wrap(&key, context).expect("wrapped");
        assert_eq!(versions.unwrap(&wrapped, context).expect("unwrapped").bytes(), key.bytes());
        for other in [Context { version: 2, ..context }, Context { owner: Owner::account(owner.id), ..context }] {
            assert!(matches!(versions.unwrap(&wrapped, other), Err(MasterError::Foreign(..))), "{other}");
        }
        let newer = Wrapped { by: MasterVersion { version: 2, ..wrapped.by.clone() }, ..wrapped.clone() };
        assert!(matches!(versions.unwrap(&newer, context), Err(MasterError::NoVersion(_))));
        versions.add().expect("another version");
        assert!(matches!(versions.unwrap(&newer, context), Err(MasterError::Foreign(..))));
        assert_eq!(versions.unwrap(&wrapped, context).expect("the old one").bytes(), key.bytes());
    }
}
