//! The key that signs tokens, and files that only their owner can read.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Bytes of a key: as many as HS256's hash has.
const KEY_BYTES: usize = 32;

/// The key that signs tokens.
#[derive(Clone)]
pub struct Key(Vec<u8>);

/// A key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a key.
    #[error("the token key must be 32 bytes as 64 hexadecimal digits")]
    Malformed,
    /// There is no such file.
    #[error(
        "there is no key at {0}: name by --data-dir the folder that the server was started with, or give the key of \
         the servers by --jwt-key-file or ANAMNESIS_JWT_KEY. Only `anamnesis serve` makes one, in its data folder; for \
         several processes draw one with `openssl rand -hex 32`"
    )]
    Missing(PathBuf),
    /// The file cannot be used.
    #[error("the key file {path} cannot be used")]
    File {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Key {
    /// Reads a key of 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let pairs = text.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        });
        let bytes: Option<Vec<u8>> = pairs.collect();
        bytes.filter(|bytes| bytes.len() == KEY_BYTES).map(Self).ok_or(KeyError::Malformed)
    }

    /// Reads the key of a file.
    ///
    /// # Errors
    /// [`KeyError`]; [`KeyError::Missing`] where there is no such file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeyError::Missing(path.to_owned())),
            Err(source) => Err(KeyError::File { path: path.to_owned(), source }),
        }
    }

    /// Reads the key of a file; makes both where there is none, for its owner only.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match Self::load(path) {
            Err(KeyError::Missing(_)) => {}
            loaded => return loaded,
        }
        let key = Self::random()?;
        let text: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        match write_private(path, &text) {
            // Another process was first: its key is the one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            written => written.map(|()| key).map_err(|source| KeyError::File { path: path.to_owned(), source }),
        }
    }

    /// A key that nobody else has.
    ///
    /// # Errors
    /// [`KeyError::File`] where the system gives no random bytes.
    pub fn random() -> Result<Self, KeyError> {
        let source = Path::new("/dev/urandom");
        let mut random = vec![0_u8; KEY_BYTES];
        File::open(source)
            .and_then(|mut bytes| io::Read::read_exact(&mut bytes, &mut random))
            .map_err(|error| KeyError::File { path: source.to_owned(), source: error })?;
        Ok(Self(random))
    }

    /// What signs and verifies.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Writes a file that only its owner can read, whole or not at all; one that exists stays.
///
/// # Errors
/// Where it exists or cannot be written.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let part = path.with_extension(format!("{}.part", Uuid::now_v7().simple()));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // A link, unlike a rename, does not replace what is there.
    let linked = match fs::hard_link(&part, path) {
        // File systems without links, such as those of desktop containers: not whole or not at all
        // any more, but still never in place of what is there.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
            File::options().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
        }
        linked => linked,
    };
    fs::remove_file(&part)?;
    linked
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_who_may_make_a_key_makes_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/jwt.key");
        let Err(error) = Key::load(&path) else { panic!("there is none") };
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert!(error.to_string().contains("--data-dir") && !path.exists(), "{error}");
        let made = Key::load_or_create(&path).expect("it is made");
        let again = [Key::load_or_create(&path), Key::load(&path)];
        assert!(again.into_iter().all(|key| key.is_ok_and(|key| key.bytes() == made.bytes())));
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
    }
}
