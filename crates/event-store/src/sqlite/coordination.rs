//! Leases, beside the derived data, and checkpoints, beside the log, on SQLite.

use std::ops::DerefMut;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::SqliteFile;
use crate::checkpoints::CheckpointStore;
use crate::leases::{CoordinationError, Lease, LeaseStore};
use crate::log::row::signed;

/// Leases in a SQLite file.
pub struct SqliteLeases {
    file: SqliteFile,
}

impl SqliteLeases {
    /// Opens those of a migrated file.
    pub const fn open(file: SqliteFile) -> Self {
        Self { file }
    }

    async fn turn(&self) -> Result<impl DerefMut<Target = SqliteConnection> + '_, CoordinationError> {
        turn(&self.file).await
    }
}

/// Checkpoints in a SQLite file.
pub struct SqliteCheckpoints {
    file: SqliteFile,
}

impl SqliteCheckpoints {
    /// Opens those of a migrated file.
    pub const fn open(file: SqliteFile) -> Self {
        Self { file }
    }
}

async fn turn(file: &SqliteFile) -> Result<impl DerefMut<Target = SqliteConnection> + '_, CoordinationError> {
    file.write.turn().await.map_err(CoordinationError::database("opening the file"))
}

#[async_trait]
impl LeaseStore for SqliteLeases {
    async fn acquire(&self, name: &str, holder: Uuid, duration: Duration) -> Result<Option<Lease>, CoordinationError> {
        let row: Option<(i64,)> = sqlx::query_as(
            "INSERT INTO leases (name, holder, token, expires_at)
             VALUES ($1, $2, 1, CAST(unixepoch('subsec') * 1000 AS INTEGER) + $3)
             ON CONFLICT (name) DO UPDATE SET
                 holder = excluded.holder, expires_at = excluded.expires_at,
                 token = leases.token + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END
             WHERE leases.holder = excluded.holder OR leases.expires_at < CAST(unixepoch('subsec') * 1000 AS INTEGER)
                 -- Nobody can hold it for so long: the clock was set back since.
                 OR leases.expires_at > CAST(unixepoch('subsec') * 1000 AS INTEGER) + 2 * max($3, 60000)
             RETURNING token",
        )
        .bind(name)
        .bind(holder)
        .bind(signed(duration.as_millis() as u64))
        .fetch_optional(&mut *self.turn().await?)
        .await
        .map_err(CoordinationError::database("taking a lease"))?;
        Ok(row.map(|(token,)| Lease { token: token.unsigned_abs() }))
    }

    async fn renew(&self, holder: Uuid, duration: Duration) -> Result<Vec<String>, CoordinationError> {
        // What was given back stays so.
        sqlx::query_scalar(
            "UPDATE leases SET expires_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + $2
             WHERE holder = $1 AND expires_at > 0 RETURNING name",
        )
        .bind(holder)
        .bind(signed(duration.as_millis() as u64))
        .fetch_all(&mut *self.turn().await?)
        .await
        .map_err(CoordinationError::database("renewing leases"))
    }

    async fn held(&self, prefix: &str) -> Result<Vec<(String, Uuid)>, CoordinationError> {
        sqlx::query_as(
            "SELECT name, holder FROM leases WHERE substr(name, 1, length($1)) = $1
                 AND expires_at BETWEEN CAST(unixepoch('subsec') * 1000 AS INTEGER)
                     AND CAST(unixepoch('subsec') * 1000 AS INTEGER) + 120000",
        )
        .bind(prefix)
        .fetch_all(&self.file.read)
        .await
        .map_err(CoordinationError::database("reading leases"))
    }

    async fn release(&self, name: &str, holder: Uuid) -> Result<(), CoordinationError> {
        // The row stays: its token must never start again.
        sqlx::query("UPDATE leases SET expires_at = 0 WHERE name = $1 AND holder = $2")
            .bind(name)
            .bind(holder)
            .execute(&mut *self.turn().await?)
            .await
            .map_err(CoordinationError::database("giving a lease back"))
            .map(drop)
    }
}

#[async_trait]
impl CheckpointStore for SqliteCheckpoints {
    async fn load(&self, name: &str) -> Result<u64, CoordinationError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT position FROM checkpoints WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.file.read)
            .await
            .map_err(CoordinationError::database("reading a checkpoint"))?;
        Ok(row.map_or(0, |(position,)| position.unsigned_abs()))
    }

    async fn advance(&self, name: &str, from: u64, to: u64) -> Result<bool, CoordinationError> {
        sqlx::query("INSERT INTO checkpoints (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .execute(&mut *turn(&self.file).await?)
            .await
            .map_err(CoordinationError::database("making a checkpoint"))?;
        let moved = sqlx::query("UPDATE checkpoints SET position = $3 WHERE name = $1 AND position = $2")
            .bind(name)
            .bind(signed(from))
            .bind(signed(to))
            .execute(&mut *turn(&self.file).await?)
            .await
            .map_err(CoordinationError::database("moving a checkpoint"))?;
        Ok(moved.rows_affected() == 1)
    }
}
