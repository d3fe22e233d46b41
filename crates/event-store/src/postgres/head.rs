//! The log's head: how processes tell each other that it moved.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::Pool;
use super::primary::{self, Primary};
use crate::log::LogError;
use crate::log::row::natural;

/// The channel on which other processes hear that the head moved.
const CHANNEL: &str = "anamnesis_head";
/// Least time between two announcements: what is written meanwhile is announced together.
const ANNOUNCE_PAUSE: Duration = Duration::from_millis(5);
/// How often the head is looked at where no notification comes.
const POLL: Duration = Duration::from_millis(200);
/// How long the head is only looked at before it is tried to listen again.
const RELISTEN_PAUSE: Duration = Duration::from_secs(5);

/// The position of the newest event.
pub async fn read(pool: &Pool) -> Result<u64, LogError> {
    let head: (i64,) = sqlx::query_as("SELECT position FROM log_head WHERE partition = 0")
        .fetch_one(pool)
        .await
        .map_err(LogError::database("reading the head"))?;
    natural(head.0)
}

/// The newest event's position; the event is remembered, to be looked for again on new connections.
async fn look(primary: &Primary, pool: &Pool) -> Result<u64, LogError> {
    let incarnation = *primary.incarnation().borrow();
    let newest: Option<(i64, Uuid)> =
        sqlx::query_as("SELECT position, event_id FROM events ORDER BY position DESC LIMIT 1")
            .fetch_optional(pool)
            .await
            .map_err(LogError::database("reading the head"))?;
    let Some((position, event_id)) = newest else { return Ok(0) };
    let position = natural(position)?;
    primary.saw(incarnation, position, event_id);
    Ok(position)
}

/// Follows the head: by notification, and by looking where none comes
/// (engines without LISTEN, connections lost).
pub async fn watch(primary: Arc<Primary>, pool: Pool, head: watch::Sender<u64>) {
    // Across connections: it is a new one that finds that the log went back.
    let mut incarnation = primary.incarnation();
    loop {
        if primary.has_several_hosts()
            && let Ok(connection) = primary.connect().await
        {
            // Only to learn which of them is the primary now: the pool follows.
            primary::close(connection).await;
        }
        let mut listener = PgListener::connect_with(&pool).await.ok();
        if let Some(connected) = &mut listener
            && connected.listen(CHANNEL).await.is_err()
        {
            listener = None;
        }
        follow(&primary, &pool, &head, &mut incarnation, listener).await;
    }
}

/// Follows the head until the connection is lost; without one for a while.
async fn follow(
    primary: &Primary,
    pool: &Pool,
    head: &watch::Sender<u64>,
    incarnation: &mut watch::Receiver<u64>,
    mut listener: Option<PgListener>,
) {
    let begun = Instant::now();
    while listener.is_some() || begun.elapsed() < RELISTEN_PAUSE {
        let heard = async {
            match &mut listener {
                Some(listener) => listener.try_recv().await,
                None => std::future::pending().await,
            }
        };
        let position = match tokio::time::timeout(POLL, heard).await {
            Ok(Ok(Some(notification))) => notification.payload().parse().ok(),
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => match look(primary, pool).await {
                Ok(position) => Some(position),
                // A listener that has lost its connection does not say so while nobody answers: the pool has to be
                // led to whoever is the primary now.
                Err(_) => return,
            },
        };
        let position = position.unwrap_or(0);
        head.send_if_modified(|seen| std::mem::replace(seen, position.max(*seen)) < position);
        // What was heard before it was noticed may be of the old log.
        if incarnation.has_changed().unwrap_or(false) {
            incarnation.mark_unchanged();
            match read(pool).await {
                // The only time that it goes down.
                Ok(position) => drop(head.send_replace(position)),
                Err(_) => incarnation.mark_changed(),
            }
        }
    }
}

/// Announces what this process wrote. Beside the batches: they do not wait for
/// it, and under load one announcement speaks for several of them.
pub async fn announce(pool: Pool, mut written: watch::Receiver<u64>) {
    while written.changed().await.is_ok() {
        let position = *written.borrow_and_update();
        let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(position.to_string());
        // Where it fails the others find out by looking.
        drop(notify.execute(&pool).await);
        tokio::time::sleep(ANNOUNCE_PAUSE).await;
    }
}
