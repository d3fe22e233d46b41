//! Whether a file is whole: looked at where it was not closed, because it was then perhaps copied while it was written.

use sqlx::sqlite::SqliteConnection;

use super::{Content, SqliteFile};

/// `user_version` of a file that is open, or was left so by a crash, or was copied meanwhile.
const OPEN: i64 = 1;
/// SQLite's code of a full disk.
const FULL: u32 = 13;
/// SQLite's codes of a malformed file, and of one that is none of its own.
const DAMAGED: [u32; 2] = [11, 26];
/// What SQLite says of a whole file.
const SOUND: &str = "ok";

/// Whether the file was not closed the last time.
pub async fn was_left_open(file: &SqliteFile) -> Result<bool, sqlx::Error> {
    let mark: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *file.write.turn().await?).await?;
    Ok(mark == OPEN)
}

/// Notes that the file is open. A disk that is full does not keep it from being read.
pub async fn mark_open(file: &SqliteFile) -> Result<(), sqlx::Error> {
    match mark(file, "BEGIN IMMEDIATE; PRAGMA user_version = 1; COMMIT").await {
        Err(error) if primary_code(&error) == Some(FULL) => Ok(()),
        marked => marked,
    }
}

/// Notes that the file is whole and closed.
pub async fn mark_closed(file: &SqliteFile) -> Result<(), sqlx::Error> {
    mark(file, "BEGIN IMMEDIATE; PRAGMA user_version = 0; COMMIT").await
}

/// Whether SQLite says that the file is damaged.
pub fn is_damage(error: &sqlx::Error) -> bool {
    primary_code(error).is_some_and(|code| DAMAGED.contains(&code))
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    // The lowest byte of an extended code is the primary one.
    Some(code & 0xff)
}

async fn mark(file: &SqliteFile, sql: &'static str) -> Result<(), sqlx::Error> {
    let mut turn = file.write.whole_turn().await?;
    sqlx::raw_sql(sql).execute(&mut *turn).await?;
    turn.end();
    Ok(())
}

/// What is wrong with the file, if anything is.
pub async fn damage(file: &SqliteFile, content: Content) -> Result<Option<String>, sqlx::Error> {
    damage_of(&mut *file.write.turn().await?, content).await
}

/// As [`damage`], over a connection. Reads the whole file.
pub async fn damage_of(connection: &mut SqliteConnection, content: Content) -> Result<Option<String>, sqlx::Error> {
    let said: Result<Vec<String>, sqlx::Error> =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_all(&mut *connection).await;
    match said {
        Ok(said) if said.iter().all(|line| line == SOUND) => {}
        Ok(said) => return Ok(Some(said.join("; "))),
        Err(error) if is_damage(&error) => return Ok(Some(error.to_string())),
        Err(error) => return Err(error),
    }
    match content {
        Content::Log => gap(connection).await,
        Content::Derived | Content::Keys | Content::Readings => Ok(None),
    }
}

/// What is missing in the log: every position up to the head has its event, and nothing is beyond it.
async fn gap(connection: &mut SqliteConnection) -> Result<Option<String>, sqlx::Error> {
    let is_log: bool =
        sqlx::query_scalar("SELECT count(*) = 2 FROM sqlite_schema WHERE name IN ('log_head', 'events')")
            .fetch_one(&mut *connection)
            .await?;
    if !is_log {
        // A crash before the first migration was through.
        return Ok(None);
    }
    let (head, count, last): (i64, i64, i64) = sqlx::query_as(
        "SELECT position, (SELECT count(*) FROM events), (SELECT coalesce(max(position), 0) FROM events)
         FROM log_head WHERE partition = 0",
    )
    .fetch_one(connection)
    .await?;
    let whole = head == count && head == last;
    Ok((!whole).then(|| format!("its head is at position {head}, and it holds {count} events up to position {last}")))
}
