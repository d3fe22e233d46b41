//! How the shared connections are used.

use super::{Engine, Store};

/// The shared connections to one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionUse {
    /// What is kept there: `log`, `derived`, `keys` or `readings`; `all` where log and derived data are in one.
    pub database: &'static str,
    /// Connections that wait for somebody.
    pub idle: u32,
    /// Connections that somebody uses.
    pub in_use: u32,
    /// Connections that there may be.
    pub max: u32,
}

impl ConnectionUse {
    fn of<D: sqlx::Database>(database: &'static str, pool: &sqlx::Pool<D>) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        let max = pool.options().get_max_connections();
        Self { database, idle, in_use: pool.size().saturating_sub(idle), max }
    }
}

impl Store {
    /// How the shared connections are used at the moment.
    pub fn connections(&self) -> Vec<ConnectionUse> {
        match &self.engine {
            Engine::Postgres { log, derived, keys } => {
                let one = if derived.is_none() { "all" } else { "log" };
                let apart = [("derived", derived), ("keys", keys)].into_iter();
                let apart = apart.filter_map(|(name, pool)| Some(ConnectionUse::of(name, &**pool.as_ref()?)));
                std::iter::once(ConnectionUse::of(one, &**log)).chain(apart).collect()
            }
            Engine::Sqlite(folder) => {
                let files = [
                    ("log", &folder.log),
                    ("derived", &folder.derived),
                    ("keys", &folder.keys),
                    ("readings", &folder.readings),
                ];
                files.into_iter().map(|(name, file)| ConnectionUse::of(name, &file.read)).collect()
            }
        }
    }
}
