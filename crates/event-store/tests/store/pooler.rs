//! Behind a real pgbouncer: what docs/guides/highly-available.md says works, what cannot is refused with the reason.

use event_store::log::Expected;
use event_store::{Store, StoreOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use testkit::appends::{append, patient};
use testkit::stores::{TestStore, postgres};
use testkit::{PgBouncer, eventually};

const GUIDE: &str = include_str!("../../../../docs/guides/highly-available.md");
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A migrated database, a role for it, and a pooler in front that ignores what the program sets.
struct Behind {
    test: TestStore,
    role: String,
    pooler: PgBouncer,
}

impl Behind {
    async fn start(settings: &'static str) -> Self {
        let test = postgres().await;
        let role = format!("pooled_{}", test.url.rsplit('_').next().expect("a name"));
        let port = test.url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port");
        let port: u16 = port.parse().expect("a number");
        Self::run(&test.url, format!("CREATE ROLE {role} LOGIN SUPERUSER")).await;
        let user = role.clone();
        let started = tokio::task::spawn_blocking(move || PgBouncer::start(port, &[&user], settings)).await;
        let pooler = started.expect("the start does not panic").expect("pgbouncer starts");
        Self { test, role, pooler }
    }

    async fn run(url: &str, sql: String) {
        let mut connection = PgConnection::connect(url).await.expect("the database");
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("the server does it");
    }

    /// Gives the role what the guide says.
    async fn set_role(&self) {
        let lines = GUIDE.lines().map(str::trim).filter(|line| line.starts_with("ALTER ROLE anamnesis SET"));
        let sql: String = lines.map(|line| line.replace("ROLE anamnesis ", &format!("ROLE {} ", self.role))).collect();
        assert!(sql.contains("synchronous_commit"));
        Self::run(&self.test.url, sql).await;
    }

    async fn open(&self) -> Result<Store, String> {
        let database = self.test.url.rsplit('/').next().expect("a database");
        let url = format!("postgres://{}@127.0.0.1:{}/{database}", self.role, self.pooler.port());
        let options = StoreOptions { migrate: false, connections_max: 8, ..StoreOptions::default() };
        Store::open(&url, &options).await.map_err(|error| with_causes(&error))
    }

    async fn refused(&self) -> String {
        self.open().await.err().expect("it is refused")
    }

    async fn end(self) {
        drop(self.pooler);
        let role = &self.role;
        Self::run(&self.test.url, format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_drops_settings_is_refused_by_the_settings_name() {
    let behind = Behind::start("pool_mode = session").await;
    assert!(behind.refused().await.contains("startup parameter"), "as the pooler comes");
    behind.end().await;
    let behind = Behind::start("pool_mode = session\nignore_startup_parameters = extra_float_digits,options").await;
    let refused = behind.refused().await;
    assert!(refused.contains("drops settings") && refused.contains("ALTER ROLE"), "{refused}");
    behind.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_pooler_work_where_the_role_is_set() {
    let behind = Behind::start(
        "pool_mode = session\ndefault_pool_size = 40\nignore_startup_parameters = extra_float_digits,options",
    )
    .await;
    behind.set_role().await;
    let store = behind.open().await.unwrap_or_else(|error| panic!("{error}"));
    let command = append(patient(), Expected::NoStream, 3);
    store.log.append(command.clone()).await.expect("an append");
    store.log.append(command).await.expect("the same again");
    // Heard of in another process: notifications come through.
    let mut head = store.log.watch_head();
    behind.test.store.log.append(append(patient(), Expected::NoStream, 1)).await.expect("an append past the pooler");
    eventually("it is heard of", PATIENCE, async || *head.borrow_and_update() == 4).await;
    store.close().await;
    behind.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_mixes_statements_up_is_refused() {
    let behind = Behind::start("pool_mode = transaction\nignore_startup_parameters = extra_float_digits,options").await;
    behind.set_role().await;
    match behind.open().await {
        Err(refused) => assert!(refused.contains("transaction mode") && refused.contains("1.21"), "{refused}"),
        // A newer one keeps statements apart.
        Ok(store) => {
            store.log.append(append(patient(), Expected::NoStream, 3)).await.expect("an append");
            store.close().await;
        }
    }
    behind.end().await;
}
