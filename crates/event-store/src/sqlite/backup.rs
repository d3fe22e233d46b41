//! Copies of the log and of the keys, made while they are written.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use uuid::Uuid;

use super::soundness::damage_of;
use super::{Content, SqliteFile};

/// Why no copy was made; nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is one already, or its folder cannot be written to.
    #[error("{0} cannot be made; a backup is never written over another")]
    Place(PathBuf, #[source] std::io::Error),
    /// The file could not be copied.
    #[error("nothing can be copied to {0}")]
    Copy(PathBuf, #[source] sqlx::Error),
    /// The copy is not whole.
    #[error("the copy is damaged: {0}; what was copied may be, too")]
    Damaged(String),
    /// PostgreSQL has its own tools.
    #[error(
        "what is on PostgreSQL is backed up by PostgreSQL's own tools: pg_dump --schema=log, pg_dump --schema=keys, pg_dump --schema=readings, or \
         pg_basebackup with an archive of its write-ahead log (docs/guides/back-up-and-restore.md)"
    )]
    NotEmbedded,
}

/// What a copy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The log.
    pub log_id: Uuid,
    /// Its epoch.
    pub epoch: u64,
    /// The last event's position; 0 where there is none.
    pub position: u64,
}

/// Copies the log into the file `to`, which must not exist, and reads the copy through. Writers go on meanwhile.
///
/// # Errors
/// [`BackupError`]; the copy is removed.
pub async fn backup(log: &SqliteFile, to: &Path) -> Result<BackedUp, BackupError> {
    copied(log, Content::Log, to, async |copy| {
        let (log_id, epoch, position): (Uuid, i64, i64) =
            sqlx::query_as("SELECT log_id, epoch, position FROM log_head WHERE partition = 0").fetch_one(copy).await?;
        Ok(BackedUp { log_id, epoch: epoch.unsigned_abs(), position: position.unsigned_abs() })
    })
    .await
}

/// Copies the wrapped data keys as [`backup`] does the log, and says how many there are.
///
/// # Errors
/// [`BackupError`]; the copy is removed.
pub async fn backup_keys(keys: &SqliteFile, to: &Path) -> Result<u64, BackupError> {
    copied(keys, Content::Keys, to, async |copy| {
        let keys: i64 = sqlx::query_scalar("SELECT count(*) FROM data_keys").fetch_one(copy).await?;
        Ok(keys.unsigned_abs())
    })
    .await
}

/// Copies the readings of wearables as [`backup`] does the log, and says how many chunks there are.
///
/// # Errors
/// [`BackupError`]; the copy is removed.
pub async fn backup_readings(readings: &SqliteFile, to: &Path) -> Result<u64, BackupError> {
    copied(readings, Content::Readings, to, async |copy| {
        let chunks: i64 = sqlx::query_scalar("SELECT count(*) FROM chunks").fetch_one(copy).await?;
        Ok(chunks.unsigned_abs())
    })
    .await
}

/// Copies a file, and reads of the copy what is to be told of it.
async fn copied<T>(
    file: &SqliteFile,
    content: Content,
    to: &Path,
    told: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
) -> Result<T, BackupError> {
    if to.exists() {
        return Err(BackupError::Place(to.to_owned(), std::io::ErrorKind::AlreadyExists.into()));
    }
    let half = to.with_extension("part");
    let placing = |source| BackupError::Place(to.to_owned(), source);
    if half.exists() {
        // Of a backup that was broken off.
        std::fs::remove_file(&half).map_err(placing)?;
    }
    let made = copy(file, content, &half, told).await;
    let finished = made.and_then(|made| {
        // On the disk before it is called a backup.
        let synced = std::fs::File::open(&half).and_then(|file| file.sync_all());
        synced.and_then(|()| std::fs::rename(&half, to)).map(|()| made).map_err(placing)
    });
    if finished.is_err() {
        drop(std::fs::remove_file(&half));
    }
    finished
}

async fn copy<T>(
    file: &SqliteFile,
    content: Content,
    to: &Path,
    told: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
) -> Result<T, BackupError> {
    let copying = |source| BackupError::Copy(to.to_owned(), source);
    let name = to
        .to_str()
        .ok_or_else(|| BackupError::Place(to.to_owned(), std::io::Error::other("the path is not valid UTF-8")))?;
    // Empty, it is taken as it is, and belongs to nobody else.
    let made = std::fs::File::options().create_new(true).write(true).mode(0o600).open(to);
    made.map_err(|source| BackupError::Place(to.to_owned(), source))?;
    // One snapshot of the file, whatever is written meanwhile.
    sqlx::query("VACUUM INTO $1").bind(name).execute(&file.read).await.map_err(copying)?;
    let options = SqliteConnectOptions::new().filename(to).read_only(true);
    let mut copied = options.connect().await.map_err(copying)?;
    if let Some(what) = damage_of(&mut copied, content).await.map_err(copying)? {
        return Err(BackupError::Damaged(what));
    }
    let told = told(&mut copied).await.map_err(copying)?;
    copied.close().await.map_err(copying)?;
    Ok(told)
}
