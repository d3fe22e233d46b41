//! Servers, databases and peers for the figures.

use std::path::PathBuf;
use std::time::Duration;

use event_store::execute::ExecuteError;
use event_store::log::{AppendError, LogError};
use event_store::{OpenError, Store, StoreOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;
use xtask::install::nats_server;
use xtask::process::TaskError;
use xtask::servers::{NatsServer, PostgresCluster};

/// Why a figure was not measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A server did not start.
    #[error("a server did not start")]
    Server(#[from] TaskError),
    /// The storage cannot be opened.
    #[error("the storage cannot be opened")]
    Open(#[from] OpenError),
    /// The database refused something.
    #[error("the database refused something")]
    Database(#[from] sqlx::Error),
    /// The log did not take an append.
    #[error("the log did not take an append")]
    Append(#[from] AppendError),
    /// The log did not answer.
    #[error("the log did not answer")]
    Log(#[from] LogError),
    /// A command was not carried out.
    #[error("a command was not carried out")]
    Execute(#[from] ExecuteError),
    /// A file or a process.
    #[error("a file or process could not be used")]
    Io(#[from] std::io::Error),
    /// The system did not answer over HTTP.
    #[error("the system did not answer over HTTP")]
    Http(#[from] hyper::Error),
    /// Something else.
    #[error("{0}")]
    Said(String),
}

/// What all figures share.
pub struct Bench {
    short: bool,
    peers: Option<PathBuf>,
    anamnesis: Option<PathBuf>,
    postgres: PostgresCluster,
    nats_binary: PathBuf,
}

/// A fresh, migrated database.
pub struct Database {
    /// Its address.
    pub url: String,
    /// Its storage.
    pub store: Store,
    name: String,
    cluster: String,
}

/// A fresh embedded store.
pub struct EmbeddedFile {
    /// Its storage.
    pub store: Store,
    _folder: TempDir,
}

impl Bench {
    /// Starts the servers.
    pub fn start(short: bool, peers: Option<PathBuf>, anamnesis: Option<PathBuf>) -> Result<Self, BenchError> {
        let folder =
            std::env::var_os("ANAMNESIS_TEST_SERVERS_FOLDER").map_or_else(|| "target/servers".into(), PathBuf::from);
        let nats_binary = nats_server(&folder)?;
        Ok(Self { short, peers, anamnesis, postgres: PostgresCluster::start()?, nats_binary })
    }

    /// Whether only a short form is wanted.
    pub const fn is_short(&self) -> bool {
        self.short
    }

    /// A fresh nats-server.
    pub fn nats(&self) -> Result<NatsServer, BenchError> {
        Ok(NatsServer::start(&self.nats_binary)?)
    }

    /// How often a figure is taken.
    pub const fn rounds(&self) -> usize {
        if self.short { 3 } else { 9 }
    }

    /// How long a round is measured.
    pub const fn duration(&self) -> Duration {
        Duration::from_secs(if self.short { 2 } else { 5 })
    }

    /// How long a round warms up.
    pub const fn warm_up(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Whether peers can be run.
    pub const fn has_peers(&self) -> bool {
        self.peers.is_some()
    }

    /// A fresh, migrated database.
    pub async fn database(&self) -> Result<Database, BenchError> {
        let (cluster, name) = (self.postgres.url("postgres"), format!("bench_{}", Uuid::now_v7().simple()));
        let mut connection = PgConnection::connect(&cluster).await?;
        // What one figure left for later must not weigh on the next.
        connection.execute("CHECKPOINT").await?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        // For connections of the bench's own: a store sets it for each of its own.
        let path = AssertSqlSafe(format!("ALTER DATABASE {name} SET search_path = log, derived"));
        connection.execute(path).await?;
        let url = self.postgres.url(&name);
        let store = Store::open(&url, &StoreOptions::default()).await?;
        Ok(Database { url, store, name, cluster })
    }

    /// A fresh, empty database; it goes with the cluster.
    pub async fn peer_database(&self) -> Result<String, BenchError> {
        let name = format!("peer_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(&self.postgres.url("postgres")).await?;
        connection.execute("CHECKPOINT").await?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        Ok(self.postgres.url(&name))
    }

    /// A fresh embedded store.
    pub async fn file(&self) -> Result<EmbeddedFile, BenchError> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite:{}", folder.path().display());
        let store = Store::open(&url, &StoreOptions::default()).await?;
        Ok(EmbeddedFile { store, _folder: folder })
    }

    /// Runs a peer for one round; gives its rate.
    pub async fn peer(&self, name: &str, callers: usize, url: Option<&str>) -> Result<f64, BenchError> {
        let program = self.peers.as_ref().ok_or_else(|| BenchError::Said("no peers were built".to_owned()))?;
        let mut command = Command::new(program);
        command.arg(name).args(["--callers", &callers.to_string()]);
        command.args(["--seconds", &self.duration().as_secs().to_string()]);
        command.args(["--warm-up-seconds", &self.warm_up().as_secs().to_string()]);
        if let Some(url) = url {
            command.args(["--database-url", url]);
        }
        let output = command.output().await?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let said = || BenchError::Said(format!("{name}: {text} {}", String::from_utf8_lossy(&output.stderr)));
        text.lines().rev().find_map(|line| line.parse().ok()).ok_or_else(said)
    }

    /// The program, for figures over HTTP.
    pub fn anamnesis(&self) -> Result<&PathBuf, BenchError> {
        self.anamnesis.as_ref().ok_or_else(|| BenchError::Said("give --anamnesis <program>".to_owned()))
    }
}

impl Database {
    /// Closes and drops the database.
    pub async fn close(self) -> Result<(), BenchError> {
        self.store.close().await;
        let mut connection = PgConnection::connect(&self.cluster).await?;
        connection.execute(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name))).await?;
        Ok(())
    }
}

impl EmbeddedFile {
    /// Closes the file; it goes with its folder.
    pub async fn close(self) {
        self.store.close().await;
    }
}
