//! Keys in a SQLite file of their own.

use async_trait::async_trait;
use sealing::{Context, KeyStore, KeyStoreError, Owner, Standing, StoredKey, Wrapped};
use sqlx::sqlite::SqliteConnection;

use super::SqliteFile;
use crate::clock;
use crate::keys::{KeyRow, OwnerRow, standings, stored};

/// Keys in a SQLite file.
pub struct SqliteKeys {
    file: SqliteFile,
}

impl SqliteKeys {
    /// Opens those of a migrated file.
    pub const fn open(file: SqliteFile) -> Self {
        Self { file }
    }
}

async fn load(connection: &mut SqliteConnection, owners: &[Owner]) -> Result<Vec<Standing>, KeyStoreError> {
    let names: Vec<String> = owners.iter().map(Owner::to_string).collect();
    let rows: Vec<OwnerRow> = sqlx::query_as(
        "SELECT key_owners.owner, destroyed_at IS NOT NULL, version, master, master_version, wrapped
         FROM key_owners LEFT JOIN data_keys ON data_keys.owner = key_owners.owner
         WHERE key_owners.owner IN (SELECT value FROM json_each($1)) ORDER BY key_owners.owner, version",
    )
    .bind(sqlx::types::Json(names))
    .fetch_all(connection)
    .await
    .map_err(KeyStoreError::database("reading keys"))?;
    standings(owners, rows)
}

async fn insert(connection: &mut SqliteConnection, key: &StoredKey) -> Result<(), sqlx::Error> {
    let owner = key.context.owner.to_string();
    sqlx::query("INSERT INTO key_owners (owner) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(&owner)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO data_keys (owner, version, master, master_version, wrapped, made_at)
         SELECT owner, $2, $3, $4, $5, $6 FROM key_owners WHERE owner = $1 AND destroyed_at IS NULL
         ON CONFLICT DO NOTHING",
    )
    .bind(&owner)
    .bind(i64::from(key.context.version))
    .bind(&key.wrapped.by.name)
    .bind(i64::from(key.wrapped.by.version))
    .bind(&key.wrapped.text)
    .bind(clock::now().timestamp_micros())
    .execute(connection)
    .await
    .map(drop)
}

async fn destroy(connection: &mut SqliteConnection, owner: Owner) -> Result<bool, sqlx::Error> {
    let destroyed = sqlx::query(
        "INSERT INTO key_owners (owner, destroyed_at) VALUES ($1, $2)
         ON CONFLICT (owner) DO UPDATE SET destroyed_at = excluded.destroyed_at WHERE destroyed_at IS NULL",
    )
    .bind(owner.to_string())
    .bind(clock::now().timestamp_micros())
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM data_keys WHERE owner = $1").bind(owner.to_string()).execute(connection).await?;
    Ok(destroyed.rows_affected() == 1)
}

#[async_trait]
impl KeyStore for SqliteKeys {
    async fn load(&self, owners: &[Owner]) -> Result<Vec<Standing>, KeyStoreError> {
        let mut connection = self.file.read.acquire().await.map_err(KeyStoreError::database("opening the file"))?;
        load(&mut connection, owners).await
    }

    async fn insert(&self, key: &StoredKey) -> Result<Standing, KeyStoreError> {
        let failed = KeyStoreError::database("keeping a key");
        let mut turn = self.file.write.whole_turn().await.map_err(&failed)?;
        let mut transaction = turn.begin().await.map_err(&failed)?;
        insert(&mut transaction, key).await.map_err(&failed)?;
        let standing = load(&mut transaction, &[key.context.owner]).await?.pop();
        transaction.commit().await.map_err(&failed)?;
        turn.end();
        Ok(standing.unwrap_or(Standing::None))
    }

    async fn replace(&self, context: Context, from: &Wrapped, to: &Wrapped) -> Result<bool, KeyStoreError> {
        let failed = KeyStoreError::database("replacing a key");
        let mut turn = self.file.write.turn().await.map_err(&failed)?;
        let replaced = sqlx::query(
            "UPDATE data_keys SET master = $4, master_version = $5, wrapped = $6
             WHERE owner = $1 AND version = $2 AND wrapped = $3",
        )
        .bind(context.owner.to_string())
        .bind(i64::from(context.version))
        .bind(&from.text)
        .bind(&to.by.name)
        .bind(i64::from(to.by.version))
        .bind(&to.text)
        .execute(&mut *turn)
        .await;
        Ok(replaced.map_err(&failed)?.rows_affected() == 1)
    }

    async fn destroy(&self, owner: Owner) -> Result<bool, KeyStoreError> {
        let failed = KeyStoreError::database("destroying keys");
        let mut turn = self.file.write.whole_turn().await.map_err(&failed)?;
        let mut transaction = turn.begin().await.map_err(&failed)?;
        let destroyed = destroy(&mut transaction, owner).await.map_err(&failed)?;
        transaction.commit().await.map_err(&failed)?;
        // So that they are gone from the write-ahead log, too; in the file zeros are where they were (`secure_delete`).
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *turn).await.map_err(&failed)?;
        turn.end();
        Ok(destroyed)
    }

    async fn page(&self, after: Option<Context>, limit: u32) -> Result<Vec<StoredKey>, KeyStoreError> {
        let (owner, version) = after.map_or((String::new(), 0), |after| (after.owner.to_string(), after.version));
        let rows: Vec<KeyRow> = sqlx::query_as(
            "SELECT owner, version, master, master_version, wrapped FROM data_keys
             WHERE (owner, version) > ($1, $2) ORDER BY owner, version LIMIT $3",
        )
        .bind(owner)
        .bind(i64::from(version))
        .bind(i64::from(limit))
        .fetch_all(&self.file.read)
        .await
        .map_err(KeyStoreError::database("reading keys"))?;
        rows.into_iter().map(stored).collect()
    }
}
