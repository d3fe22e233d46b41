//! Files that only their owner can read, whole or not at all, whatever the umask.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;
use zeroize::Zeroizing;

/// Bytes of a file that is read: more is none of ours.
const BYTES_MAX: u64 = 64 * 1024;

/// Reads a file that only its owner can read.
///
/// # Errors
/// Where it cannot be read, others can read it, or it is too long.
pub fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.permissions().mode() & 0o077 != 0 {
        let told = "others than its owner can read the file: chmod 600";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, told));
    }
    if metadata.len() > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("the file has more than {BYTES_MAX} bytes")));
    }
    // In one piece, so that no copy stays behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize));
    io::Read::read_to_end(&mut io::Read::take(file, BYTES_MAX), &mut bytes)?;
    Ok(bytes)
}

/// Makes a file, with its folder where that is missing; one that exists stays.
///
/// # Errors
/// Where it exists or cannot be written.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = folder(path) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let part = write_part(path, bytes)?;
    // A link, unlike a rename, does not replace what is there.
    let linked = match fs::hard_link(&part, path) {
        // File systems without links, such as those of desktop containers: not whole or not at all any more, but
        // still never in place of what is there.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {
            File::options().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
                file.set_permissions(Permissions::from_mode(0o600))?;
                file.write_all(bytes)?;
                file.sync_all()
            })
        }
        linked => linked,
    };
    fs::remove_file(&part)?;
    linked.and_then(|()| sync_folder(path))
}

/// Replaces a file by another of the same name.
///
/// # Errors
/// Where it cannot be written; then it is as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = write_part(path, bytes)?;
    if let Err(error) = fs::rename(&part, path) {
        drop(fs::remove_file(&part));
        return Err(error);
    }
    sync_folder(path)
}

/// Waits for the turn to replace a file; it lasts until what is given is dropped.
///
/// # Errors
/// Where the file beside it, by which one process at a time does, cannot be made or locked.
pub fn lock(path: &Path) -> io::Result<File> {
    let lock = File::options().create(true).write(true).truncate(false).mode(0o600).open(beside(path, "lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Writes a file beside that of `path`, down to the disk.
fn write_part(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let part = beside(path, &format!("{}.part", Uuid::now_v7().simple()));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
    // A strict umask would keep even its owner from it.
    let written = file
        .set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        drop(fs::remove_file(&part));
        return Err(error);
    }
    Ok(part)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Has the name of a file on the disk, too.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path).unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all())
}

fn folder(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}
