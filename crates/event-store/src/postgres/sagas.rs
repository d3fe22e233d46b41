//! Process managers on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgPool;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::PostgresViews;
use crate::sagas::{SagaStore, StepChange, StepStatus, StoredStep};
use crate::views::{CommitError, ViewBatch, ViewError, ViewStore as _};

/// Process managers in a PostgreSQL database.
pub struct PostgresSagas {
    pool: PgPool,
    views: Arc<PostgresViews>,
}

impl PostgresSagas {
    /// Opens those of a migrated database.
    pub const fn open(pool: PgPool, views: Arc<PostgresViews>) -> Self {
        Self { pool, views }
    }
}

type StepRow = (Uuid, Uuid, i64, String, Uuid, Option<Uuid>, Uuid, String, i64);

fn step(row: StepRow) -> StoredStep {
    let (command_id, instance_id, sequence, name, trigger_id, causation_id, correlation_id, command, attempts) = row;
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    StoredStep { command_id, instance_id, sequence, name, trigger_id, causation_id, correlation_id, command, attempts }
}

#[async_trait]
impl SagaStore for PostgresSagas {
    async fn pending(&self, limit: u32) -> Result<Vec<StoredStep>, ViewError> {
        let rows: Vec<StepRow> = sqlx::query_as(
            "SELECT command_id, instance_id, sequence, name, trigger_id, causation_id, correlation_id, command, attempts
             FROM saga_steps WHERE status = 'pending' ORDER BY sequence, command_id LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(ViewError::database("reading pending steps"))?;
        Ok(rows.into_iter().map(step).collect())
    }

    async fn find(&self, command_id: Uuid) -> Result<Option<StoredStep>, ViewError> {
        let row: Option<StepRow> = sqlx::query_as(
            "SELECT command_id, instance_id, sequence, name, trigger_id, causation_id, correlation_id, command, attempts
             FROM saga_steps WHERE command_id = $1",
        )
        .bind(command_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(ViewError::database("finding a step"))?;
        Ok(row.map(step))
    }

    async fn commit(&self, instances: ViewBatch, steps: Vec<StepChange>) -> Result<(), CommitError> {
        if steps.is_empty() {
            return self.views.commit(&[instances]).await;
        }
        let begun = self.pool.begin().await;
        let mut transaction = begun.map_err(ViewError::database("beginning a batch of instances"))?;
        self.views.apply(&mut transaction, &[instances]).await?;
        for change in steps {
            apply(&mut transaction, change).await.map_err(ViewError::database("changing steps"))?;
        }
        transaction.commit().await.map_err(ViewError::database("committing a batch of instances"))?;
        self.views.announce();
        Ok(())
    }
}

async fn apply(connection: &mut PgConnection, change: StepChange) -> Result<(), sqlx::Error> {
    let query = match change {
        StepChange::Add(step) => sqlx::query(
            "INSERT INTO saga_steps (command_id, instance_id, sequence, name, trigger_id, causation_id,
                 correlation_id, command, status, attempts)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (command_id) DO NOTHING",
        )
        .bind(step.command_id)
        .bind(step.instance_id)
        .bind(step.sequence)
        .bind(step.name)
        .bind(step.trigger_id)
        .bind(step.causation_id)
        .bind(step.correlation_id)
        .bind(step.command)
        .bind(StepStatus::Pending.as_str())
        .bind(i64::from(step.attempts)),
        StepChange::Remove(command_id) => sqlx::query("DELETE FROM saga_steps WHERE command_id = $1").bind(command_id),
        StepChange::Set { command_id, status, attempts } => {
            sqlx::query("UPDATE saga_steps SET status = $2, attempts = $3 WHERE command_id = $1")
                .bind(command_id)
                .bind(status.as_str())
                .bind(i64::from(attempts))
        }
    };
    query.execute(connection).await.map(drop)
}
