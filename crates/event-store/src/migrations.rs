//! The schema of each engine, in the order of its history.
//!
//! Listed here and not by `sqlx::migrate!`: that macro has sqlx and its engines compiled a second
//! time, for the compiler.

use std::sync::LazyLock;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

macro_rules! migrations {
    ($engine:literal: $($number:literal $file:literal $description:literal;)+) => {
        LazyLock::new(|| Migrator::with_migrations(vec![$({
            let sql = include_str!(concat!("../../../migrations/", $engine, "/", $file));
            let sql = SqlStr::from_static(sql);
            Migration::new($number, $description.into(), MigrationType::Simple, sql, false)
        }),+]))
    };
}

/// The schema on PostgreSQL.
pub static POSTGRES: LazyLock<Migrator> = migrations! {"postgres":
    1 "0001_log.sql" "log";
    2 "0002_views.sql" "views";
    3 "0003_process_managers.sql" "process managers";
};

/// The schema of an SQLite file.
pub static SQLITE: LazyLock<Migrator> = migrations! {"sqlite":
    1 "0001_log.sql" "log";
    2 "0002_views.sql" "views";
    3 "0003_process_managers.sql" "process managers";
};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::migrate::Migrator;

    #[tokio::test]
    async fn every_file_is_listed_under_its_number() {
        for (engine, listed) in [("postgres", &super::POSTGRES), ("sqlite", &super::SQLITE)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(engine);
            let found = Migrator::new(folder).await.expect("the files");
            let of = |migrator: &Migrator| -> Vec<_> {
                migrator.iter().map(|it| (it.version, it.description.clone(), it.checksum.clone(), it.no_tx)).collect()
            };
            assert_eq!(of(listed), of(&found), "{engine}");
        }
    }
}
