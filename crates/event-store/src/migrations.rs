//! What brings the storage up to date: log, derived data (docs/adr/0018), keys (docs/adr/0036) and readings (docs/adr/0047) apart, for each engine,
//! in the order of their history.
//!
//! Listed here and not by `sqlx::migrate!`: that macro has sqlx and its engines compiled a second
//! time, for the compiler.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// What a migrator brings up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Log, receipts, snapshots.
    Log,
    /// Views, process managers, leases.
    Derived,
    /// Wrapped data keys.
    Keys,
    /// Readings of wearables.
    Readings,
}

impl Part {
    /// Its schema on PostgreSQL.
    const fn schema(self) -> &'static str {
        match self {
            Part::Log => "log",
            Part::Derived => "derived",
            Part::Keys => "keys",
            Part::Readings => "readings",
        }
    }
}

macro_rules! migrations {
    ($folder:literal: $($number:literal $file:literal $description:literal;)+) => {
        migrator(vec![$({
            let sql = include_str!(concat!("../../../migrations/", $folder, "/", $file));
            let sql = SqlStr::from_static(sql);
            Migration::new($number, $description.into(), MigrationType::Simple, sql, false)
        }),+])
    };
}

fn migrator(migrations: Vec<Migration>) -> Migrator {
    let mut migrator = Migrator::with_migrations(migrations);
    // A newer program may have been here: what it adds does not stop an older one (docs/guides/upgrade.md).
    migrator.set_ignore_missing(true);
    migrator
}

/// The migrations of a part on PostgreSQL, in a schema of its own.
pub fn postgres(part: Part) -> Migrator {
    let mut migrator = match part {
        Part::Log => migrations! {"postgres/log":
            1 "0001_log.sql" "log";
        },
        Part::Derived => migrations! {"postgres/derived":
            1 "0001_views.sql" "views";
            2 "0002_process_managers.sql" "process managers";
        },
        Part::Keys => migrations! {"postgres/keys":
            1 "0001_keys.sql" "keys";
        },
        Part::Readings => migrations! {"postgres/readings":
            1 "0001_readings.sql" "readings";
        },
    };
    let schema = part.schema();
    migrator.create_schema(schema);
    migrator.dangerous_set_table_name(format!("{schema}._sqlx_migrations"));
    migrator
}

/// The migrations of a part's SQLite file.
pub fn sqlite(part: Part) -> Migrator {
    match part {
        Part::Log => migrations! {"sqlite/log":
            1 "0001_log.sql" "log";
        },
        Part::Derived => migrations! {"sqlite/derived":
            1 "0001_views.sql" "views";
            2 "0002_process_managers.sql" "process managers";
        },
        Part::Keys => migrations! {"sqlite/keys":
            1 "0001_keys.sql" "keys";
        },
        Part::Readings => migrations! {"sqlite/readings":
            1 "0001_readings.sql" "readings";
        },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn every_file_is_listed_under_its_number() {
        for part in [Part::Log, Part::Derived, Part::Keys, Part::Readings] {
            for (engine, listed) in [("postgres", postgres(part)), ("sqlite", sqlite(part))] {
                let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
                let folder = migrations.join(engine).join(part.schema());
                let found = Migrator::new(folder).await.expect("the files");
                let of = |migrator: &Migrator| -> Vec<_> {
                    let told = |it: &Migration| (it.version, it.description.clone(), it.checksum.clone(), it.no_tx);
                    migrator.iter().map(told).collect()
                };
                assert_eq!(of(&listed), of(&found), "{engine} {part:?}");
            }
        }
    }
}
