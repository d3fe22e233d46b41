//! Process managers on PostgreSQL: whatever one stores, one statement.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::advance::{bind_rows, write_rows};
use super::generations::generation_table;
use super::views::raw;
use super::{Pool, PostgresViews};
use crate::log::row::signed;
use crate::sagas::{
    About, CURSOR_COLUMNS, CursorRow, Documents, STEP_COLUMNS, SagaBatch, SagaCursor, SagaStore, StepChange, StepOrder,
    StoredStep, Troubles, VIEW, cursor, step,
};
use crate::views::{CommitError, ViewError};

/// Moves the cursor; the rest happens only where it stood at the revision before.
/// The view stands where the last process manager does; one that has not begun stands at the beginning.
const COMMIT: &str = "WITH moved AS (
    UPDATE saga_cursors SET position = $3, event_id = $22, revision = revision + 1, triggers = $4,
        fan_out_position = $5, fan_out_after = $6
    WHERE saga = $1 AND revision = $2 - 1 RETURNING saga
), all_standing AS MATERIALIZED (SELECT EXISTS (SELECT FROM moved) AS holds
), shown AS (
    UPDATE views SET position = last.position, event_id = last.event_id
    FROM (
        SELECT position, event_id FROM saga_cursors WHERE saga = ANY($7::text[]) AND saga <> $1
        UNION ALL SELECT $3::bigint, $22::uuid
        UNION ALL SELECT 0, '00000000-0000-0000-0000-000000000000'::uuid
        WHERE (SELECT count(*) FROM saga_cursors WHERE saga = ANY($7::text[]) AND saga <> $1) < cardinality($7) - 1
        ORDER BY position LIMIT 1) AS last
    WHERE name = 'sagas' AND (SELECT holds FROM all_standing)
), removed AS (
    DELETE FROM saga_steps WHERE command_id = ANY($8::uuid[]) AND (SELECT holds FROM all_standing)
), put AS (
    INSERT INTO saga_steps (command_id, saga, instance_id, sequence, place, name, trigger_id, causation_id,
        correlation_id, trace_context, command, state, status, attempts)
    SELECT unnest($9::uuid[]), $1, unnest($10::uuid[]), unnest($11::bigint[]), unnest($12::bigint[]),
        unnest($13::text[]), unnest($14::uuid[]), unnest($15::uuid[]), unnest($16::uuid[]), unnest($17::text[]),
        unnest($18::text[]), unnest($19::text[]), unnest($20::text[]), unnest($21::bigint[])
    WHERE (SELECT holds FROM all_standing)
    ON CONFLICT (command_id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts
)";
/// The first parameter behind those of [`COMMIT`].
const FIRST_OF_ROWS: usize = 23;

/// Process managers in a PostgreSQL database.
pub struct PostgresSagas {
    pool: Pool,
    views: Arc<PostgresViews>,
    // One at a time: a statement does not see the cursors that another moves meanwhile, and the view would stand
    // behind the last of them.
    turn: Mutex<()>,
}

impl PostgresSagas {
    /// Opens those of a migrated database.
    pub fn open(pool: Pool, views: Arc<PostgresViews>) -> Self {
        Self { pool, views, turn: Mutex::new(()) }
    }
}

fn documents(rows: Vec<(String, String)>) -> Result<Documents, ViewError> {
    rows.into_iter().map(|(key, document)| Ok((key, raw(document)?))).collect()
}

#[async_trait]
impl SagaStore for PostgresSagas {
    async fn cursor(&self, saga: &str) -> Result<Option<SagaCursor>, ViewError> {
        let sql = format!("SELECT {CURSOR_COLUMNS} FROM saga_cursors WHERE saga = $1");
        let row: Option<CursorRow> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(saga)
            .fetch_optional(&self.pool)
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
        let table = generation_table(VIEW, generation)?;
        let mut transaction = self.pool.begin().await.map_err(&restarting)?;
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
        let instances = format!("DELETE FROM {table} WHERE generation = $2 AND saga = $1");
        let deletion = sqlx::query(AssertSqlSafe(instances)).bind(saga).bind(generation);
        deletion.execute(&mut *transaction).await.map_err(&restarting)?;
        let steps = sqlx::query("DELETE FROM saga_steps WHERE saga = $1").bind(saga);
        steps.execute(&mut *transaction).await.map_err(&restarting)?;
        let shown =
            sqlx::query("UPDATE views SET position = 0, event_id = $2 WHERE name = $1").bind(VIEW).bind(Uuid::nil());
        shown.execute(&mut *transaction).await.map_err(&restarting)?;
        transaction.commit().await.map_err(&restarting)?;
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
        let table = generation_table(VIEW, generation)?;
        let sql = format!(
            "SELECT key, document::text FROM {table}
             WHERE generation = $1 AND saga = $2 AND status = 'running' AND {column} = ANY($3) AND key > $4
             ORDER BY key LIMIT $5"
        );
        let query = sqlx::query_as(AssertSqlSafe(sql)).bind(generation).bind(saga).bind(ids);
        let rows = query.bind(after.unwrap_or_default()).bind(i64::from(limit)).fetch_all(&self.pool).await;
        documents(rows.map_err(ViewError::database("looking for instances"))?)
    }

    async fn due(&self, saga: &str, generation: i64, by: DateTime<Utc>, limit: u32) -> Result<Documents, ViewError> {
        let table = generation_table(VIEW, generation)?;
        let sql = format!(
            "SELECT key, document::text FROM {table} WHERE generation = $1 AND saga = $2 AND due_at <= $3
             ORDER BY due_at, key LIMIT $4"
        );
        let query = sqlx::query_as(AssertSqlSafe(sql)).bind(generation).bind(saga).bind(by).bind(i64::from(limit));
        documents(query.fetch_all(&self.pool).await.map_err(ViewError::database("looking for timers"))?)
    }

    async fn pending(&self, saga: &str, after: Option<StepOrder>, limit: u32) -> Result<Vec<StoredStep>, ViewError> {
        let after = after.unwrap_or(StepOrder { sequence: i64::MIN, place: i64::MIN, command_id: Uuid::nil() });
        let sql = format!(
            "SELECT {STEP_COLUMNS} FROM saga_steps
             WHERE saga = $1 AND status = 'pending' AND (sequence, place, command_id) > ($2, $3, $4)
             ORDER BY sequence, place, command_id LIMIT $5"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(saga).bind(after.sequence).bind(after.place);
        let rows = query.bind(after.command_id).bind(i64::from(limit)).fetch_all(&self.pool).await;
        let rows: Vec<PgRow> = rows.map_err(ViewError::database("reading pending steps"))?;
        rows.iter().map(step).collect()
    }

    async fn find(&self, saga: &str, command_id: Uuid) -> Result<Option<StoredStep>, ViewError> {
        let sql = format!("SELECT {STEP_COLUMNS} FROM saga_steps WHERE command_id = $1 AND saga = $2");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(command_id).bind(saga).fetch_optional(&self.pool).await;
        row.map_err(ViewError::database("finding a step"))?.as_ref().map(step).transpose()
    }

    async fn troubles(&self, saga: &str, generation: i64) -> Result<Troubles, ViewError> {
        let table = generation_table(VIEW, generation)?;
        let sql = format!(
            "SELECT (SELECT count(*) FROM {table} WHERE generation = $1 AND saga = $2 AND status = 'stuck'),
                 (SELECT count(*) FROM saga_steps WHERE saga = $2 AND status = 'dead')"
        );
        let row = sqlx::query_as(AssertSqlSafe(sql)).bind(generation).bind(saga).fetch_one(&self.pool).await;
        let (stuck, dead): (i64, i64) = row.map_err(ViewError::database("counting what has to be looked at"))?;
        Ok(Troubles { stuck: stuck.cast_unsigned(), dead: dead.cast_unsigned() })
    }

    async fn announce(&self, among: &[String]) -> Result<(), ViewError> {
        sqlx::query(
            "UPDATE views SET position = last.position, event_id = last.event_id
             FROM (
                 SELECT position, event_id FROM saga_cursors WHERE saga = ANY($2)
                 UNION ALL SELECT 0, '00000000-0000-0000-0000-000000000000'::uuid
                 WHERE (SELECT count(*) FROM saga_cursors WHERE saga = ANY($2)) < cardinality($2::text[])
                 ORDER BY position LIMIT 1) AS last
             WHERE name = $1 AND views.position <> last.position",
        )
        .bind(VIEW)
        .bind(among)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(ViewError::database("telling where the process managers stand"))
    }

    async fn commit(&self, batch: SagaBatch) -> Result<(), CommitError> {
        let (mut put, mut removed) = (Vec::new(), Vec::new());
        for change in &batch.steps {
            match change {
                StepChange::Put(step) => put.push(&**step),
                StepChange::Remove(command_id) => removed.push(*command_id),
            }
        }
        let columns = self.views.columns(VIEW)?;
        let mut sql = COMMIT.to_owned();
        if !batch.instances.is_empty() {
            let table = generation_table(VIEW, batch.generation)?;
            write_rows(&mut sql, &table, "changed", false, &mut { FIRST_OF_ROWS }, columns);
        }
        // What is changed does not wait for the disk (docs/adr/0010): the log has it all.
        sql.push_str(" SELECT saga, set_config('synchronous_commit', 'off', true) FROM moved");
        let fan_out = batch.to.fan_out.as_ref();
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .bind(&batch.saga)
            .bind(signed(batch.to.revision))
            .bind(signed(batch.to.checkpoint.position))
            .bind(batch.to.triggers)
            .bind(fan_out.map(|fan_out| signed(fan_out.position)))
            .bind(fan_out.map(|fan_out| fan_out.after.as_str()))
            .bind(&batch.among)
            .bind(removed)
            .bind(column(&put, |step| step.command_id))
            .bind(column(&put, |step| step.instance_id))
            .bind(column(&put, |step| step.sequence))
            .bind(column(&put, |step| step.place))
            .bind(column(&put, |step| step.name.as_str()))
            .bind(column(&put, |step| step.trigger_id))
            .bind(column(&put, |step| step.causation_id))
            .bind(column(&put, |step| step.correlation_id))
            .bind(column(&put, |step| step.trace_context.as_deref()))
            .bind(column(&put, |step| step.command.as_str()))
            .bind(column(&put, |step| step.state.as_str()))
            .bind(column(&put, |step| step.status.as_str()))
            .bind(column(&put, |step| i64::from(step.attempts)))
            .bind(batch.to.checkpoint.event_id);
        if !batch.instances.is_empty() {
            query = bind_rows(query, batch.generation, batch.instances.iter(), columns);
        }
        let turn = self.turn.lock().await;
        let moved = query.fetch_optional(&self.pool).await;
        drop(turn);
        let moved = moved.map_err(ViewError::database("storing a batch of instances"))?;
        if moved.is_none() {
            return Err(CommitError::Moved { view: VIEW.to_owned() });
        }
        self.views.announce();
        Ok(())
    }
}

fn column<'step, T>(steps: &[&'step StoredStep], value: impl Fn(&'step StoredStep) -> T) -> Vec<T> {
    steps.iter().map(|step| value(step)).collect()
}
