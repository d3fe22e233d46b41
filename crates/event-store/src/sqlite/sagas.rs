//! Process managers on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::rows::{chunks, values};
use super::views::{raw, upsert};
use super::{SqliteFile, SqliteViews};
use crate::log::row::signed;
use crate::sagas::{
    About, CURSOR_COLUMNS, CursorRow, Documents, STEP_COLUMNS, SagaBatch, SagaCursor, SagaStore, StepChange, StepOrder,
    StoredStep, Troubles, VIEW, cursor, step,
};
use crate::views::{CommitError, ViewError, time_text};

/// Lets the view stand where the last of the process managers in `$2`, a list in JSON, does; one that has not
/// begun stands at the beginning.
const SHOW: &str = "UPDATE views SET (position, event_id) = (
        SELECT position, event_id FROM saga_cursors WHERE saga IN (SELECT value FROM json_each($2))
        UNION ALL SELECT 0, zeroblob(16) WHERE json_array_length($2) > (
            SELECT count(*) FROM saga_cursors WHERE saga IN (SELECT value FROM json_each($2)))
        ORDER BY position LIMIT 1)
    WHERE name = $1 AND EXISTS (SELECT 1 FROM saga_cursors WHERE saga IN (SELECT value FROM json_each($2)))";
/// How many columns a step has.
const STEP_WIDTH: usize = 14;

/// Process managers in a SQLite file.
pub struct SqliteSagas {
    file: SqliteFile,
    views: Arc<SqliteViews>,
}

impl SqliteSagas {
    /// Opens those of a migrated file.
    pub const fn open(file: SqliteFile, views: Arc<SqliteViews>) -> Self {
        Self { file, views }
    }
}

fn documents(rows: Vec<(String, String)>) -> Result<Documents, ViewError> {
    rows.into_iter().map(|(key, document)| Ok((key, raw(document)?))).collect()
}

fn list(texts: &[String]) -> String {
    serde_json::to_string(texts).expect("texts serialise to JSON by construction")
}

#[async_trait]
impl SagaStore for SqliteSagas {
    async fn cursor(&self, saga: &str) -> Result<Option<SagaCursor>, ViewError> {
        let sql = format!("SELECT {CURSOR_COLUMNS} FROM saga_cursors WHERE saga = $1");
        let row: Option<CursorRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(saga)
            .fetch_optional(&self.file.read)
            .await
            .map_err(ViewError::database("reading a process manager's cursor"))?;
        row.map(cursor).transpose()
    }

    async fn restart(
        &self,
        saga: &str,
        generation: i64,
        state_version: u32,
        from: Option<SagaCursor>,
    ) -> Result<SagaCursor, CommitError> {
        let restarting = ViewError::database("letting a process manager begin anew");
        let mut turn = self.file.write.whole_turn().await.map_err(&restarting)?;
        let mut transaction = turn.begin().await.map_err(&restarting)?;
        let sql = format!(
            "INSERT INTO saga_cursors (saga, state_version, position, event_id, revision, triggers)
             VALUES ($1, $2, 0, $4, 1, 0)
             ON CONFLICT (saga) DO UPDATE SET state_version = $2, position = 0, event_id = $4, triggers = 0,
                 revision = saga_cursors.revision + 1, fan_out_position = NULL, fan_out_after = NULL
             WHERE saga_cursors.revision = $3
             RETURNING {CURSOR_COLUMNS}"
        );
        let row: Option<CursorRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(saga)
            .bind(i64::from(state_version))
            .bind(signed(from.map_or(0, |from| from.revision)))
            .bind(Uuid::nil())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(&restarting)?;
        let Some(row) = row else { return Err(CommitError::Moved { view: VIEW.to_owned() }) };
        let instances = sqlx::query("DELETE FROM view_sagas WHERE generation = $2 AND saga = $1").bind(saga);
        instances.bind(generation).execute(&mut *transaction).await.map_err(&restarting)?;
        let steps = sqlx::query("DELETE FROM saga_steps WHERE saga = $1").bind(saga);
        steps.execute(&mut *transaction).await.map_err(&restarting)?;
        let shown =
            sqlx::query("UPDATE views SET position = 0, event_id = $2 WHERE name = $1").bind(VIEW).bind(Uuid::nil());
        shown.execute(&mut *transaction).await.map_err(&restarting)?;
        transaction.commit().await.map_err(&restarting)?;
        turn.end();
        self.views.announce();
        Ok(cursor(row)?)
    }

    async fn running(
        &self,
        saga: &str,
        generation: i64,
        about: &About,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Documents, ViewError> {
        let (column, ids) = match about {
            About::Patients(ids) => ("patient_id", ids.clone()),
            About::Trial(id) => ("trial_id", vec![*id]),
        };
        let sql = format!(
            "SELECT key, document FROM view_sagas
             WHERE generation = $1 AND saga = $2 AND status = 'running'
                 AND {column} IN (SELECT value FROM json_each($3)) AND key > $4
             ORDER BY key LIMIT $5"
        );
        let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        let query = sqlx::query_as(AssertSqlSafe(sql)).bind(generation).bind(saga).bind(list(&ids));
        let rows = query.bind(after.unwrap_or_default()).bind(limit).fetch_all(&self.file.read).await;
        documents(rows.map_err(ViewError::database("looking for instances"))?)
    }

    async fn due(&self, saga: &str, generation: i64, by: DateTime<Utc>, limit: u32) -> Result<Documents, ViewError> {
        let query = sqlx::query_as(
            "SELECT key, document FROM view_sagas WHERE generation = $1 AND saga = $2 AND due_at <= $3
             ORDER BY due_at, key LIMIT $4",
        );
        let query = query.bind(generation).bind(saga).bind(time_text(by)).bind(limit);
        documents(query.fetch_all(&self.file.read).await.map_err(ViewError::database("looking for timers"))?)
    }

    async fn pending(&self, saga: &str, after: Option<StepOrder>, limit: u32) -> Result<Vec<StoredStep>, ViewError> {
        let after = after.unwrap_or(StepOrder { sequence: i64::MIN, place: i64::MIN, command_id: Uuid::nil() });
        let sql = format!(
            "SELECT {STEP_COLUMNS} FROM saga_steps
             WHERE saga = $1 AND status = 'pending' AND (sequence, place, command_id) > ($2, $3, $4)
             ORDER BY sequence, place, command_id LIMIT $5"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(saga).bind(after.sequence).bind(after.place);
        let rows = query.bind(after.command_id).bind(limit).fetch_all(&self.file.read).await;
        let rows: Vec<SqliteRow> = rows.map_err(ViewError::database("reading pending steps"))?;
        rows.iter().map(step).collect()
    }

    async fn find(&self, saga: &str, command_id: Uuid) -> Result<Option<StoredStep>, ViewError> {
        let sql = format!("SELECT {STEP_COLUMNS} FROM saga_steps WHERE command_id = $1 AND saga = $2");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(command_id).bind(saga).fetch_optional(&self.file.read).await;
        row.map_err(ViewError::database("finding a step"))?.as_ref().map(step).transpose()
    }

    async fn troubles(&self, saga: &str, generation: i64) -> Result<Troubles, ViewError> {
        let row = sqlx::query_as(
            "SELECT (SELECT count(*) FROM view_sagas WHERE generation = $1 AND saga = $2 AND status = 'stuck'),
                 (SELECT count(*) FROM saga_steps WHERE saga = $2 AND status = 'dead')",
        );
        let row = row.bind(generation).bind(saga).fetch_one(&self.file.read).await;
        let (stuck, dead): (i64, i64) = row.map_err(ViewError::database("counting what has to be looked at"))?;
        Ok(Troubles { stuck: stuck.cast_unsigned(), dead: dead.cast_unsigned() })
    }

    async fn announce(&self, among: &[String]) -> Result<(), ViewError> {
        let telling = ViewError::database("telling where the process managers stand");
        let sql = format!(
            "{SHOW} AND position <> (
                 SELECT CASE WHEN count(*) < json_array_length($2) THEN 0 ELSE min(position) END
                 FROM saga_cursors WHERE saga IN (SELECT value FROM json_each($2)))"
        );
        let mut connection = self.file.write.turn().await.map_err(&telling)?;
        let shown = sqlx::query(AssertSqlSafe(sql)).bind(VIEW).bind(list(among)).execute(&mut *connection).await;
        shown.map(drop).map_err(telling)
    }

    async fn commit(&self, batch: SagaBatch) -> Result<(), CommitError> {
        let storing = ViewError::database("storing a batch of instances");
        let mut turn = self.file.write.whole_turn().await.map_err(&storing)?;
        let mut transaction = turn.begin().await.map_err(&storing)?;
        let fan_out = batch.to.fan_out.as_ref();
        let moved = sqlx::query(
            "UPDATE saga_cursors SET position = $3, event_id = $7, revision = revision + 1, triggers = $4,
                 fan_out_position = $5, fan_out_after = $6
             WHERE saga = $1 AND revision = $2 - 1",
        )
        .bind(&batch.saga)
        .bind(signed(batch.to.revision))
        .bind(signed(batch.to.checkpoint.position))
        .bind(batch.to.triggers)
        .bind(fan_out.map(|fan_out| signed(fan_out.position)))
        .bind(fan_out.map(|fan_out| fan_out.after.as_str()))
        .bind(batch.to.checkpoint.event_id)
        .execute(&mut *transaction)
        .await
        .map_err(&storing)?;
        if moved.rows_affected() == 0 {
            return Err(CommitError::Moved { view: VIEW.to_owned() });
        }
        upsert(&mut transaction, VIEW, batch.generation, &batch.instances, self.views.columns(VIEW)?).await?;
        change(&mut transaction, &batch.steps).await.map_err(ViewError::database("changing steps"))?;
        let shown = sqlx::query(SHOW).bind(VIEW).bind(list(&batch.among));
        shown.execute(&mut *transaction).await.map_err(&storing)?;
        transaction.commit().await.map_err(&storing)?;
        turn.end();
        self.views.announce();
        Ok(())
    }
}

async fn change(connection: &mut SqliteConnection, changes: &[StepChange]) -> Result<(), sqlx::Error> {
    let (mut put, mut removed) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            StepChange::Put(step) => put.push(&**step),
            StepChange::Remove(command_id) => removed.push(*command_id),
        }
    }
    for ids in chunks(&removed) {
        let sql = format!("DELETE FROM saga_steps WHERE command_id IN {}", values(1, ids.len()));
        let query = ids.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, id| query.bind(*id));
        query.execute(&mut *connection).await?;
    }
    for steps in chunks(&put) {
        let sql = format!(
            "INSERT INTO saga_steps ({STEP_COLUMNS}) VALUES {}
             ON CONFLICT (command_id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts",
            values(steps.len(), STEP_WIDTH),
        );
        let query = steps.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, step| {
            query
                .bind(step.command_id)
                .bind(&step.saga)
                .bind(step.instance_id)
                .bind(step.sequence)
                .bind(step.place)
                .bind(&step.name)
                .bind(step.trigger_id)
                .bind(step.causation_id)
                .bind(step.correlation_id)
                .bind(step.trace_context.as_deref())
                .bind(&step.command)
                .bind(&step.state)
                .bind(step.status.as_str())
                .bind(i64::from(step.attempts))
        });
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
