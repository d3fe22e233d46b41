//! Real servers for tests.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use xtask::process::TaskError;
pub use xtask::servers::{NatsServer, OpenBao, PgBouncer, PostgresCluster, Tls};

/// Environment variable with the address of the test cluster's `postgres` database.
const POSTGRES_VARIABLE: &str = "ANAMNESIS_TEST_POSTGRES_URL";

/// A database of its own, dropped with the value as well as that can be.
pub struct TestDatabase {
    /// Its address.
    pub url: String,
    name: String,
    cluster: String,
}

/// A fresh database in the test cluster.
///
/// # Panics
/// Where `cargo xtask test` has not set the cluster up.
pub async fn postgres() -> TestDatabase {
    let cluster = required(POSTGRES_VARIABLE);
    let name = format!("test_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(&cluster).await.expect("the test cluster answers");
    let sql = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    connection.execute(sql).await.expect("a database can be made");
    // For connections of the tests' own: a store sets it for each of its own.
    let sql = AssertSqlSafe(format!("ALTER DATABASE {name} SET search_path = log, derived"));
    connection.execute(sql).await.expect("a database can be set");
    let base = cluster.rsplit_once('/').map_or(cluster.as_str(), |(base, _)| base).to_owned();
    TestDatabase { url: format!("{base}/{name}"), name, cluster }
}

impl TestDatabase {
    /// Does something to the database behind the back of whoever works with it.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn run(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url).await.expect("the database answers");
        connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("the server does it");
    }

    /// Lets the log lose everything behind `position`, as a fail-over to a standby does that was behind:
    /// what is derived, kept elsewhere, stays. All connections are cut.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn lose_behind(&self, position: u64) {
        self.run(&format!(
            "SET session_replication_role = replica;
             DELETE FROM log.events WHERE position > {position};
             DELETE FROM log.commands WHERE position > {position};
             UPDATE log.log_head SET position = {position}"
        ))
        .await;
        // Once it is so: whoever connects anew finds the log as it is from now on.
        self.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // In a thread and runtime of its own: the test's may be going down. The
        // whole cluster goes away after the tests, so failing does no harm.
        let (cluster, name) = (self.cluster.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                if let Ok(mut connection) = PgConnection::connect(&cluster).await {
                    let sql = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                    drop(connection.execute(sql).await);
                }
            });
        });
        drop(dropping.join());
    }
}

/// A nats-server of its own.
///
/// # Panics
/// Where `cargo xtask test` has not named the binary, or it does not start.
pub async fn nats() -> NatsServer {
    nats_with("").await
}

/// A nats-server with these further lines of configuration.
///
/// # Panics
/// As [`nats`].
pub async fn nats_with(further: &str) -> NatsServer {
    let further = further.to_owned();
    start_nats(move |binary| NatsServer::start_with(binary, &further)).await
}

/// Several nats-servers that know each other.
///
/// # Panics
/// As [`nats`].
pub async fn nats_cluster(size: usize) -> Vec<NatsServer> {
    start_nats(move |binary| NatsServer::start_cluster(binary, size)).await
}

/// An OpenBao of its own: unsealed, with the engine `transit`.
///
/// # Panics
/// Where `cargo xtask test` has not named the program, or it does not start.
pub async fn openbao() -> OpenBao {
    start_openbao(None).await
}

/// An OpenBao that speaks TLS; see [`openbao`].
///
/// # Panics
/// As [`openbao`].
pub async fn openbao_with_tls(tls: Tls) -> OpenBao {
    start_openbao(Some(tls)).await
}

async fn start_openbao(tls: Option<Tls>) -> OpenBao {
    let program = PathBuf::from(required(xtask::install::OPENBAO_VARIABLE));
    let started = tokio::task::spawn_blocking(move || OpenBao::start(&program, tls)).await;
    started.expect("the start does not panic").expect("OpenBao starts")
}

async fn start_nats<S: Send + 'static>(start: impl FnOnce(&Path) -> Result<S, TaskError> + Send + 'static) -> S {
    let binary = PathBuf::from(required(xtask::install::NATS_SERVER_VARIABLE));
    let started = tokio::task::spawn_blocking(move || start(&binary)).await;
    started.expect("the start does not panic").expect("nats-server starts")
}

fn required(variable: &str) -> String {
    let hint = "run the tests with `cargo xtask test`, or set what `cargo xtask servers` prints";
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: {hint}"))
}
