//! Keys on PostgreSQL, in a schema of their own.

use async_trait::async_trait;
use sealing::{Context, KeyStore, KeyStoreError, Owner, Standing, StoredKey, Wrapped};

use super::Pool;
use crate::keys::{KeyRow, OwnerRow, standings, stored};

/// Keys in a PostgreSQL database.
pub struct PostgresKeys {
    pool: Pool,
}

impl PostgresKeys {
    /// Opens those of a migrated database.
    pub const fn open(pool: Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl KeyStore for PostgresKeys {
    async fn load(&self, owners: &[Owner]) -> Result<Vec<Standing>, KeyStoreError> {
        let names: Vec<String> = owners.iter().map(Owner::to_string).collect();
        let rows: Vec<OwnerRow> = sqlx::query_as(
            "SELECT key_owners.owner, destroyed_at IS NOT NULL, version, master, master_version, wrapped
             FROM keys.key_owners LEFT JOIN keys.data_keys ON data_keys.owner = key_owners.owner
             WHERE key_owners.owner = ANY ($1) ORDER BY key_owners.owner, version",
        )
        .bind(names)
        .fetch_all(&self.pool)
        .await
        .map_err(KeyStoreError::database("reading keys"))?;
        standings(owners, rows)
    }

    async fn insert(&self, key: &StoredKey) -> Result<Standing, KeyStoreError> {
        // The owner's row is locked, and as it is now: who destroys waits, or is seen.
        sqlx::query(
            "WITH known AS (
                 INSERT INTO keys.key_owners (owner) VALUES ($1)
                 ON CONFLICT (owner) DO UPDATE SET owner = excluded.owner RETURNING owner, destroyed_at)
             INSERT INTO keys.data_keys (owner, version, master, master_version, wrapped, made_at)
             SELECT owner, $2, $3, $4, $5, clock_timestamp() FROM known WHERE destroyed_at IS NULL
             ON CONFLICT DO NOTHING",
        )
        .bind(key.context.owner.to_string())
        .bind(i64::from(key.context.version))
        .bind(&key.wrapped.by.name)
        .bind(i64::from(key.wrapped.by.version))
        .bind(&key.wrapped.text)
        .execute(&self.pool)
        .await
        .map_err(KeyStoreError::database("keeping a key"))?;
        Ok(self.load(&[key.context.owner]).await?.pop().unwrap_or(Standing::None))
    }

    async fn replace(&self, context: Context, from: &Wrapped, to: &Wrapped) -> Result<bool, KeyStoreError> {
        let replaced = sqlx::query(
            "UPDATE keys.data_keys SET master = $4, master_version = $5, wrapped = $6
             WHERE owner = $1 AND version = $2 AND wrapped = $3",
        )
        .bind(context.owner.to_string())
        .bind(i64::from(context.version))
        .bind(&from.text)
        .bind(&to.by.name)
        .bind(i64::from(to.by.version))
        .bind(&to.text)
        .execute(&self.pool)
        .await;
        Ok(replaced.map_err(KeyStoreError::database("replacing a key"))?.rows_affected() == 1)
    }

    async fn destroy(&self, owner: Owner) -> Result<bool, KeyStoreError> {
        let failed = KeyStoreError::database("destroying keys");
        let mut transaction = self.pool.begin().await.map_err(&failed)?;
        let destroyed = sqlx::query(
            "INSERT INTO keys.key_owners (owner, destroyed_at) VALUES ($1, clock_timestamp())
             ON CONFLICT (owner) DO UPDATE SET destroyed_at = excluded.destroyed_at
             WHERE key_owners.destroyed_at IS NULL",
        )
        .bind(owner.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(&failed)?;
        // A statement of its own: it sees a key that was kept while the one before waited.
        sqlx::query("DELETE FROM keys.data_keys WHERE owner = $1")
            .bind(owner.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        Ok(destroyed.rows_affected() == 1)
    }

    async fn page(&self, after: Option<Context>, limit: u32) -> Result<Vec<StoredKey>, KeyStoreError> {
        let (owner, version) = after.map_or((String::new(), 0), |after| (after.owner.to_string(), after.version));
        let rows: Vec<KeyRow> = sqlx::query_as(
            "SELECT owner, version, master, master_version, wrapped FROM keys.data_keys
             WHERE (owner, version) > ($1, $2) ORDER BY owner, version LIMIT $3",
        )
        .bind(owner)
        .bind(i64::from(version))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(KeyStoreError::database("reading keys"))?;
        rows.into_iter().map(stored).collect()
    }
}
