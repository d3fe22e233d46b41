//! Leases, beside the derived data, and checkpoints, beside the log, on PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::Pool;
use crate::checkpoints::CheckpointStore;
use crate::leases::{CoordinationError, Lease, LeaseStore};
use crate::log::row::signed;

/// Leases in a PostgreSQL database.
pub struct PostgresLeases {
    pool: Pool,
}

impl PostgresLeases {
    /// Opens those of a migrated database.
    pub const fn open(pool: Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl LeaseStore for PostgresLeases {
    async fn acquire(&self, name: &str, holder: Uuid, duration: Duration) -> Result<Option<Lease>, CoordinationError> {
        let row: Option<(i64,)> = sqlx::query_as(
            "INSERT INTO leases (name, holder, token, expires_at)
             VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 millisecond')
             ON CONFLICT (name) DO UPDATE SET
                 holder = excluded.holder, expires_at = excluded.expires_at,
                 token = leases.token + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END
             WHERE leases.holder = excluded.holder OR leases.expires_at < clock_timestamp()
                 -- Nobody can hold it for so long: the clock was set back since.
                 OR leases.expires_at > clock_timestamp() + 2 * greatest($3, 60000) * interval '1 millisecond'
             RETURNING token",
        )
        .bind(name)
        .bind(holder)
        .bind(signed(duration.as_millis() as u64) as f64)
        .fetch_optional(&self.pool)
        .await
        .map_err(CoordinationError::database("taking a lease"))?;
        Ok(row.map(|(token,)| Lease { token: token.unsigned_abs() }))
    }

    async fn renew(&self, holder: Uuid, duration: Duration) -> Result<Vec<String>, CoordinationError> {
        // What was given back stays so.
        sqlx::query_scalar(
            "UPDATE leases SET expires_at = clock_timestamp() + $2 * interval '1 millisecond'
             WHERE holder = $1 AND expires_at > '-infinity' RETURNING name",
        )
        .bind(holder)
        .bind(signed(duration.as_millis() as u64) as f64)
        .fetch_all(&self.pool)
        .await
        .map_err(CoordinationError::database("renewing leases"))
    }

    async fn held(&self, prefix: &str) -> Result<Vec<(String, Uuid)>, CoordinationError> {
        sqlx::query_as(
            "SELECT name, holder FROM leases WHERE starts_with(name, $1) AND expires_at >= clock_timestamp()
                 AND expires_at <= clock_timestamp() + interval '2 minutes'",
        )
        .bind(prefix)
        .fetch_all(&self.pool)
        .await
        .map_err(CoordinationError::database("reading leases"))
    }

    async fn release(&self, name: &str, holder: Uuid) -> Result<(), CoordinationError> {
        // The row stays: its token must never start again.
        sqlx::query("UPDATE leases SET expires_at = '-infinity' WHERE name = $1 AND holder = $2")
            .bind(name)
            .bind(holder)
            .execute(&self.pool)
            .await
            .map_err(CoordinationError::database("giving a lease back"))
            .map(drop)
    }
}

/// Checkpoints in a PostgreSQL database.
pub struct PostgresCheckpoints {
    pool: Pool,
}

impl PostgresCheckpoints {
    /// Opens those of a migrated database.
    pub const fn open(pool: Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl CheckpointStore for PostgresCheckpoints {
    async fn load(&self, name: &str) -> Result<u64, CoordinationError> {
        let row: Option<(i64,)> = sqlx::query_as("SELECT position FROM checkpoints WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(CoordinationError::database("reading a checkpoint"))?;
        Ok(row.map_or(0, |(position,)| position.unsigned_abs()))
    }

    async fn advance(&self, name: &str, from: u64, to: u64) -> Result<bool, CoordinationError> {
        sqlx::query("INSERT INTO checkpoints (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .execute(&self.pool)
            .await
            .map_err(CoordinationError::database("making a checkpoint"))?;
        let moved = sqlx::query("UPDATE checkpoints SET position = $3 WHERE name = $1 AND position = $2")
            .bind(name)
            .bind(signed(from))
            .bind(signed(to))
            .execute(&self.pool)
            .await
            .map_err(CoordinationError::database("moving a checkpoint"))?;
        Ok(moved.rows_affected() == 1)
    }
}
