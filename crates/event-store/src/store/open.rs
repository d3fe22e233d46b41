//! From addresses to open connections.

use std::path::Path;
use std::sync::Arc;

use super::{Engine, OpenError, Said, Store, StoreOptions};
use crate::migrations::{self, Part};
use crate::postgres::{
    self, Pool, PostgresCheckpoints, PostgresKeys, PostgresLeases, PostgresLog, PostgresReadings, PostgresSagas,
    PostgresViews, Primary,
};
use crate::sqlite::{
    self, Folders, SqliteCheckpoints, SqliteKeys, SqliteLeases, SqliteLog, SqliteReadings, SqliteSagas, SqliteViews,
};
use crate::views::ViewWaits;

pub async fn open(url: &str, options: &StoreOptions) -> Result<Store, OpenError> {
    let derived = options.derived_url.as_deref().unwrap_or(url);
    let keys = options.keys_url.as_deref().unwrap_or(url);
    let store = match (Address::parse(url)?, Address::parse(derived)?, Address::parse(keys)?) {
        (Address::Postgres(log), Address::Postgres(derived), Address::Postgres(keys)) => {
            open_postgres(log, derived, keys, options).await?
        }
        (Address::Sqlite(log), Address::Sqlite(derived), Address::Sqlite(keys)) => {
            open_sqlite(Folders { log, derived, keys }, options).await?
        }
        (Address::Postgres(_), Address::Postgres(_), _) | (Address::Sqlite(_), Address::Sqlite(_), _) => {
            return Err(OpenError::KeyEngines);
        }
        _ => return Err(OpenError::Engines),
    };
    match require_one_log(&store).await {
        Ok(()) => Ok(store),
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

async fn open_postgres(
    url: &str,
    derived_url: &str,
    keys_url: &str,
    options: &StoreOptions,
) -> Result<Store, OpenError> {
    let (primary, log) = connect(url, options).await?;
    let derived_apart = match derived_url == url {
        true => None,
        false => Some(connect(derived_url, options).await?.1),
    };
    let derived = derived_apart.clone().unwrap_or_else(|| log.clone());
    let keys_apart = match keys_url == url || keys_url == derived_url {
        true => None,
        false => Some(connect(keys_url, options).await?.1),
    };
    let beside = if keys_url == url { &log } else { &derived };
    let keys = keys_apart.clone().unwrap_or_else(|| beside.clone());
    if options.migrate {
        for (pool, part) in [(&log, Part::Log), (&derived, Part::Derived), (&keys, Part::Keys), (&log, Part::Readings)]
        {
            migrations::postgres(part).run(&**pool).await.map_err(OpenError::Migrate)?;
        }
    }
    let views = Arc::new(PostgresViews::open(derived.clone()));
    Ok(Store {
        log: Arc::new(PostgresLog::open(&primary, log.clone(), options.append_give_up_after, options.answer_within)),
        checkpoints: Arc::new(PostgresCheckpoints::open(log.clone())),
        sagas: Arc::new(PostgresSagas::open(derived.clone(), views.clone())),
        view_waits: ViewWaits::new(views.clone()),
        views,
        leases: Arc::new(PostgresLeases::open(derived)),
        keys: Arc::new(PostgresKeys::open(keys)),
        readings: Arc::new(PostgresReadings::open(log.clone())),
        sealer: Default::default(),
        engine: Engine::Postgres { log, derived: derived_apart, keys: keys_apart },
    })
}

async fn connect(url: &str, options: &StoreOptions) -> Result<(Arc<Primary>, Pool), OpenError> {
    let primary = Primary::new(url).map_err(OpenError::Unreadable)?;
    let pool = postgres::connect(&primary, options.connections_max).await.map_err(unreachable(&primary))?;
    Ok((primary, pool))
}

fn unreachable(primary: &Primary) -> impl Fn(sqlx::Error) -> OpenError {
    let servers = primary.servers();
    move |source| OpenError::Connect { servers: servers.clone(), source: Said(source) }
}

async fn open_sqlite(folders: Folders<'_>, options: &StoreOptions) -> Result<Store, OpenError> {
    let folder = sqlite::open(folders, options.migrate).await?;
    let (log, derived) = (folder.log.clone(), folder.derived.clone());
    let views = Arc::new(SqliteViews::open(derived.clone()));
    Ok(Store {
        log: Arc::new(SqliteLog::open(log.clone(), options.append_give_up_after)),
        checkpoints: Arc::new(SqliteCheckpoints::open(log)),
        sagas: Arc::new(SqliteSagas::open(derived.clone(), views.clone())),
        view_waits: ViewWaits::new(views.clone()),
        views,
        leases: Arc::new(SqliteLeases::open(derived)),
        keys: Arc::new(SqliteKeys::open(folder.keys.clone())),
        readings: Arc::new(SqliteReadings::open(folder.readings.clone())),
        sealer: Default::default(),
        engine: Engine::Sqlite(folder),
    })
}

/// Refuses derived data of another log. Where either cannot be asked now, whoever works with them finds out.
async fn require_one_log(store: &Store) -> Result<(), OpenError> {
    let Ok(identity) = store.log.identity().await else { return Ok(()) };
    match store.views.origin(identity.log_id).await {
        Ok(found) if found != identity.log_id => Err(OpenError::OtherLog { log: identity.log_id, found }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Brings the schemas at `url`, and at the other addresses of `options`, up to date and does nothing else.
///
/// # Errors
/// [`OpenError`].
pub async fn migrate(url: &str, options: &StoreOptions) -> Result<(), OpenError> {
    let store = open(url, &StoreOptions { migrate: true, ..options.clone() }).await?;
    store.close().await;
    Ok(())
}

enum Address<'url> {
    Postgres(&'url str),
    Sqlite(&'url Path),
}

impl<'url> Address<'url> {
    fn parse(url: &'url str) -> Result<Self, OpenError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Address::Postgres(url));
        }
        let path = url.strip_prefix("sqlite:").ok_or(OpenError::Address)?;
        Ok(Address::Sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))))
    }
}
