//! The embedded engine's folder: its files, who has them open, and bringing their schemas up to date.

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::migrate::MigrateError;

use super::{Content, SqliteFile, soundness};
use crate::migrations::{self, Part};
use crate::store::{OpenError, Said};

/// The name of the log's file.
const LOG_FILE: &str = "log.db";
/// The name of the file of what is derived.
const DERIVED_FILE: &str = "derived.db";
/// The name of the file of readings of wearables: with the log's.
const READINGS_FILE: &str = "readings.db";
/// The name of the file of wrapped data keys.
const KEYS_FILE: &str = "keys.db";
/// Held by one process at a time while it opens or closes the files: SQLite's migrations are several transactions.
const OPENING_FILE: &str = "opening.lock";
/// Shared by all processes that have the files open.
const IN_USE_FILE: &str = "in-use.lock";

/// The open files of the embedded engine.
#[derive(Clone)]
pub struct Folder {
    /// The log.
    pub log: SqliteFile,
    /// What is derived.
    pub derived: SqliteFile,
    /// Wrapped data keys.
    pub keys: SqliteFile,
    /// Readings of wearables.
    pub readings: SqliteFile,
    path: Arc<Path>,
    in_use: Arc<File>,
}

/// The folders in which the files are; they may be the same.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'path> {
    /// The log's.
    pub log: &'path Path,
    /// That of what is derived.
    pub derived: &'path Path,
    /// That of the keys.
    pub keys: &'path Path,
}

/// Opens the files; folders and files are made where they are missing. Files that were not closed are looked through
/// first.
///
/// # Errors
/// [`OpenError`].
pub async fn open(folders: Folders<'_>, migrate: bool) -> Result<Folder, OpenError> {
    let path = folders.log;
    for folder in [path, folders.derived, folders.keys] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| OpenError::Folder(folder.to_owned(), source))?;
    }
    let opening = lock(path.join(OPENING_FILE)).await?;
    let (in_use, alone) = enter(path.join(IN_USE_FILE))?;
    let log = open_file(&path.join(LOG_FILE), Content::Log, alone).await?;
    let derived = open_file(&folders.derived.join(DERIVED_FILE), Content::Derived, alone).await?;
    let keys = open_file(&folders.keys.join(KEYS_FILE), Content::Keys, alone).await?;
    let readings = open_file(&path.join(READINGS_FILE), Content::Readings, alone).await?;
    if migrate {
        for (file, part) in
            [(&log, Part::Log), (&derived, Part::Derived), (&keys, Part::Keys), (&readings, Part::Readings)]
        {
            run(file, part).await.map_err(OpenError::Migrate)?;
        }
    }
    drop(opening);
    Ok(Folder { log, derived, keys, readings, path: path.into(), in_use: Arc::new(in_use) })
}

async fn open_file(path: &Path, content: Content, alone: bool) -> Result<SqliteFile, OpenError> {
    let unusable = |source: sqlx::Error| match soundness::is_damage(&source) {
        true => torn(path, content, source.to_string()),
        false => OpenError::File(path.to_owned(), Said(source)),
    };
    keep_private(path).map_err(|source| unusable(sqlx::Error::Io(source)))?;
    let file = SqliteFile::open(path, content).await.map_err(unusable)?;
    if alone && soundness::was_left_open(&file).await.map_err(unusable)? {
        tracing::info!(file = %path.display(), "the file was not closed the last time; it is looked through");
        if let Some(what) = soundness::damage(&file, content).await.map_err(unusable)? {
            file.close().await;
            return Err(torn(path, content, what));
        }
    }
    soundness::mark_open(&file).await.map_err(unusable)?;
    Ok(file)
}

/// Makes the file where it is missing, and keeps it and what SQLite puts beside it from every other account: it holds
/// health data, or keys. SQLite gives its other files the rights of this one.
fn keep_private(path: &Path) -> std::io::Result<()> {
    own_file(path)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let Ok(metadata) = std::fs::metadata(&name) else { continue };
        // Others must not, and under a strict umask not even its owner could.
        if metadata.permissions().mode() & 0o777 != 0o600 {
            match std::fs::set_permissions(&name, Permissions::from_mode(0o600)) {
                // Another account's file, lent to this one: its owner decides.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
                kept => kept?,
            }
        }
    }
    Ok(())
}

/// Opens a file for its owner only, made where it is missing.
fn own_file(path: &Path) -> std::io::Result<File> {
    File::options().create(true).write(true).truncate(false).mode(0o600).open(path)
}

fn torn(path: &Path, content: Content, what: String) -> OpenError {
    let file = path.to_owned();
    match content {
        Content::Log => OpenError::Torn { file, what },
        Content::Derived => OpenError::TornDerived { file, what },
        Content::Keys => OpenError::TornKeys { file, what },
        Content::Readings => OpenError::TornReadings { file, what },
    }
}

async fn run(file: &SqliteFile, part: Part) -> Result<(), MigrateError> {
    let mut connection = file.write.turn().await.map_err(MigrateError::Execute)?;
    migrations::sqlite(part).run(&mut *connection).await
}

impl Folder {
    /// Closes the files; the last process that does notes that they are whole.
    pub async fn close(&self) {
        // Where that cannot be noted they are looked through the next time.
        if let Ok(_closing) = lock(self.path.join(OPENING_FILE)).await
            && self.in_use.unlock().is_ok()
            && self.in_use.try_lock().is_ok()
        {
            for file in [&self.log, &self.derived, &self.keys, &self.readings] {
                drop(soundness::mark_closed(file).await);
            }
        }
        self.readings.close().await;
        self.keys.close().await;
        self.derived.close().await;
        self.log.close().await;
        drop(self.in_use.unlock());
    }
}

/// Waits until nobody else holds the lock; it is held until the file is dropped.
async fn lock(path: PathBuf) -> Result<File, OpenError> {
    let failed = |source| OpenError::Lock(path.clone(), source);
    let file = own_file(&path).map_err(failed)?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    locked.map_err(std::io::Error::other).and_then(|locked| locked).map_err(failed)
}

/// Joins those that have the files open; tells whether nobody else has.
fn enter(path: PathBuf) -> Result<(File, bool), OpenError> {
    let failed = |source| OpenError::Lock(path.clone(), source);
    let file = own_file(&path).map_err(failed)?;
    let alone = match file.try_lock() {
        Ok(()) => file.unlock().map(|()| true).map_err(failed)?,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    };
    // Under the lock of opening: nobody holds it alone for longer than a moment.
    file.lock_shared().map_err(failed)?;
    Ok((file, alone))
}
