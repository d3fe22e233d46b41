//! The connections that are shared: no statement waits for ever.
//!
//! A server that is frozen, or cut off without a word, keeps its connections open: whoever waits for an answer
//! over one would wait until the operating system gives it up, a quarter of an hour or never. So every statement
//! has a bound, and a connection whose answer did not come is closed and not given back, where it would be waited
//! for again.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::query::Query;
use sqlx::{Either, Error, Execute, Executor, PgPool, Postgres, Row as _, SqlStr};
use tokio::time::timeout;

use super::primary::{self, Primary, silent};
use crate::portion::Portion;

/// The longest time that a statement may take: less than a request.
const ANSWER_MAX: Duration = Duration::from_secs(12);
/// How long it is tried to hear why there is no connection.
const WHY_MAX: Duration = Duration::from_secs(1);

/// Shared connections. What is not a single statement (transactions) goes over the pool inside, without a bound.
#[derive(Clone)]
pub struct Pool {
    pool: PgPool,
    primary: Arc<Primary>,
}

impl Pool {
    pub const fn new(pool: PgPool, primary: Arc<Primary>) -> Self {
        Self { pool, primary }
    }

    /// A connection that is closed unless it is given back.
    pub async fn hold(&self) -> Result<Held, Error> {
        match self.pool.acquire().await {
            Ok(connection) => Ok(Held(Some(connection))),
            Err(Error::PoolTimedOut) if self.pool.size() < self.pool.options().get_max_connections() => {
                Err(self.why_none_is_made().await)
            }
            Err(error) => Err(error),
        }
    }

    /// The first rows of an answer, in the column `long` of which is what makes them long. A connection whose answer was
    /// cut off is closed.
    pub async fn fetch_portion(
        &self,
        query: Query<'_, Postgres, PgArguments>,
        long: usize,
    ) -> Result<Portion<PgRow>, Error> {
        let length =
            |row: &PgRow| row.try_get_raw(long).ok().and_then(|raw| raw.as_bytes().ok()).map_or(0, <[u8]>::len);
        let mut held = self.hold().await?;
        match timeout(ANSWER_MAX, Portion::read(query.fetch(&mut *held), length)).await {
            Ok(Ok(portion)) if !portion.is_whole => Ok(portion),
            Ok(answer) => {
                held.give_back();
                answer
            }
            Err(_) => Err(silent(ANSWER_MAX)),
        }
    }

    /// The pool tries on until the time is up, and then tells only that it is: one more try says why.
    async fn why_none_is_made(&self) -> Error {
        match timeout(WHY_MAX, self.primary.connect()).await {
            Ok(Ok(connection)) => {
                primary::close(connection).await;
                Error::PoolTimedOut
            }
            Ok(Err(why)) => why,
            Err(_) => silent(WHY_MAX),
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(formatter)
    }
}

impl Deref for Pool {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.pool
    }
}

/// A connection in use. Dropped before its answer has come it is closed.
pub struct Held(Option<PoolConnection<Postgres>>);

impl Held {
    /// Gives the connection back: all that was asked over it is answered.
    pub fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect("it is held until it is given back or dropped")
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("it is held until it is given back or dropped")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Outside the pool, which may make another in its place.
        drop(self.0.take().map(PoolConnection::detach));
    }
}

/// An answer within its bound; then the connection is given back, whatever the answer.
macro_rules! bounded {
    ($pool:expr, |$connection:ident| $asked:expr) => {{
        let mut held = $pool.hold().await?;
        let $connection = &mut *held;
        match timeout(ANSWER_MAX, $asked).await {
            Ok(answer) => {
                held.give_back();
                answer
            }
            Err(_) => Err(silent(ANSWER_MAX)),
        }
    }};
}

impl<'pool> Executor<'pool> for &'_ Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'pool: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let all = async move {
            let all: Result<Vec<_>, Error> = bounded!(pool, |connection| connection.fetch_many(query).try_collect());
            all
        };
        all.map_ok(|all| stream::iter(all.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'pool: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move { bounded!(pool, |connection| connection.fetch_optional(query)) })
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'pool: 'e,
    {
        let pool = self.clone();
        Box::pin(async move { bounded!(pool, |connection| connection.prepare_with(sql, parameters)) })
    }
}
