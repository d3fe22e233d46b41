//! Files that only their owner can read.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use uuid::Uuid;

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
