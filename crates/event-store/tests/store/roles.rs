//! The rights that deploy/postgres gives are enough, and no more than that.

use event_store::log::Expected;
use event_store::views::{Column, ColumnKind, ColumnValue, ViewBatch, ViewRow, ViewSchema};
use event_store::{Store, StoreOptions};
use sealing::{Context, MasterVersion, Owner, Standing, StoredKey, Wrapped};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use testkit::appends::{append, fill, patient, place};
use uuid::Uuid;

const ROLES: &str = include_str!("../../../../deploy/postgres/roles.sql");
const GRANTS: &str = include_str!("../../../../deploy/postgres/grants.sql");
const SOME: ViewSchema = ViewSchema {
    name: "some",
    version: 1,
    columns: &[Column { name: "count", kind: ColumnKind::Integer }],
    access_paths: &[&["count"]],
};

/// Every role, so that they can be removed.
const ALL: [&str; 16] = [
    "owner",
    "log_read",
    "log_append",
    "derived_read",
    "derived_write",
    "keys_read",
    "keys",
    "readings_read",
    "readings",
    "commands",
    "queries",
    "views",
    "sagas",
    "relay",
    "outbound",
    "serve",
];

/// A migrated database with the roles, under names of their own: roles are those of the whole server.
struct Installation {
    test: testkit::TestDatabase,
    prefix: String,
    administrator: PgConnection,
}

impl Installation {
    async fn new() -> Self {
        let test = testkit::postgres().await;
        let prefix = format!("role_{}_", test.url.rsplit('_').next().expect("a name"));
        let mut administrator = PgConnection::connect(&test.url).await.expect("the database");
        let roles = ROLES.replace("anamnesis_", &prefix);
        assert_eq!(ROLES.matches("CREATE ROLE anamnesis_").count(), ALL.len());
        administrator.execute(sqlx::raw_sql(AssertSqlSafe(roles))).await.expect("the roles are made");
        let installation = Self { test, prefix, administrator };
        let owner = installation.url("owner");
        event_store::migrate(&owner, &StoreOptions::default()).await.expect("the owner migrates");
        let mut owner = PgConnection::connect(&owner).await.expect("the database");
        // As after every migration.
        for _ in 0..2 {
            let grants = GRANTS.replace("anamnesis_", &installation.prefix);
            owner.execute(sqlx::raw_sql(AssertSqlSafe(grants))).await.expect("the rights are given");
        }
        installation
    }

    fn url(&self, role: &str) -> String {
        let url = self.test.url.replace("postgres://postgres@", &format!("postgres://{}{role}@", self.prefix));
        assert_ne!(url, self.test.url);
        url
    }

    async fn store(&self, role: &str) -> Store {
        let options = StoreOptions { migrate: false, ..StoreOptions::default() };
        Store::open(&self.url(role), &options).await.expect("the store opens")
    }

    /// Asserts that the role may do none of these.
    async fn may_not(&self, role: &str, statements: &[&str]) {
        let mut connection = PgConnection::connect(&self.url(role)).await.expect("the database");
        for forbidden in statements {
            let refused = connection.execute(sqlx::raw_sql(AssertSqlSafe((*forbidden).to_owned()))).await;
            let refused = refused.err().unwrap_or_else(|| panic!("{role} may {forbidden}"));
            let code = refused.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned);
            assert_eq!(code.as_deref(), Some("42501"), "{role} {forbidden}: {refused}");
        }
    }

    async fn remove(mut self) {
        let of_all = |what: &str, how: &str| ALL.map(|role| format!("{what} {}{role}{how};", self.prefix)).concat();
        let sql = of_all("DROP OWNED BY", " CASCADE") + &of_all("DROP ROLE", "");
        self.administrator.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("removed");
    }
}

/// What changes the truth, or who may.
const NOBODY: [&str; 17] = [
    "UPDATE log.events SET payload = ''",
    "DELETE FROM log.events",
    "TRUNCATE log.events",
    "UPDATE log.commands SET position = 0",
    "DELETE FROM log.commands",
    "DELETE FROM log.log_head",
    "ALTER TABLE log.events DISABLE TRIGGER ALL",
    "DROP TRIGGER events_are_immutable ON log.events",
    "DROP TABLE log.events",
    "CREATE TABLE log.mine (id bigint)",
    "SET session_replication_role = replica",
    "DELETE FROM keys.key_owners",
    "TRUNCATE keys.data_keys",
    "UPDATE readings.readings SET value = 1",
    "TRUNCATE readings.readings",
    "DELETE FROM readings.uploads",
    "CREATE TABLE readings.mine (id bigint)",
];
/// What appends to the log.
const WRITING: [&str; 5] = [
    "INSERT INTO log.events SELECT * FROM log.events",
    "INSERT INTO log.commands SELECT * FROM log.commands",
    "UPDATE log.log_head SET position = position",
    "DELETE FROM log.snapshots",
    "DELETE FROM log.checkpoints",
];
/// What adds and deletes readings.
const MEASURING: [&str; 3] = [
    "INSERT INTO readings.readings VALUES (1, now(), 0, 1, 1)",
    "DELETE FROM readings.chunks",
    "SELECT readings.make_month('2026-01-01')",
];
/// What changes what is derived.
const DERIVING: [&str; 3] =
    ["DELETE FROM derived.views", "DELETE FROM derived.saga_steps", "CREATE TABLE derived.mine (id bigint)"];

/// What changes keys.
const KEEPING: [&str; 3] = [
    "INSERT INTO keys.key_owners (owner) VALUES ('mine')",
    "DELETE FROM keys.data_keys",
    "UPDATE keys.data_keys SET master_version = 7",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_what_its_process_does_and_nobody_changes_an_event() {
    let installation = Installation::new().await;
    for role in ["commands", "queries", "views", "sagas", "relay", "outbound", "serve"] {
        installation.may_not(role, &NOBODY).await;
    }
    for role in ["queries", "views", "sagas", "relay", "outbound"] {
        installation.may_not(role, &MEASURING).await;
    }
    for role in ["views", "relay"] {
        installation.may_not(role, &WRITING).await;
        installation.may_not(role, &KEEPING).await;
    }
    for role in ["queries", "commands", "relay", "outbound"] {
        installation.may_not(role, &DERIVING).await;
    }
    // What is carried out follows from it.
    installation
        .may_not("views", &["DELETE FROM derived.saga_steps", "UPDATE derived.saga_cursors SET revision = 1"])
        .await;
    let (commands, relay) = (installation.store("commands").await, installation.store("relay").await);
    fill(&*commands.log, 3).await;
    assert!(relay.checkpoints.advance("relay", 0, 3).await.expect("a checkpoint"));
    let lease = relay.leases.acquire("relay", Uuid::from_u128(7), std::time::Duration::from_secs(5)).await;
    assert!(lease.expect("a lease").is_some());
    let views = installation.store("views").await;
    views.views.register(&SOME).await.expect("registered");
    let nobodys = views.keys.load(&[Owner::patient(Uuid::from_u128(7))]).await.expect("they are read");
    assert_eq!(nobodys, [Standing::None]);
    installation.may_not("relay", &["SELECT * FROM keys.data_keys"]).await;
    let queries = installation.store("queries").await;
    assert!(queries.views.get(SOME.name, "key").await.expect("it is read").document.is_none());
    assert_eq!(queries.log.read_all(0, 10).await.expect("it is read").len(), 3);
    for store in [commands, relay, views, queries] {
        store.close().await;
    }
    installation.remove().await;
}

/// A key is kept, replaced and destroyed.
async fn keys_are_kept(store: &Store) {
    let patient = Owner::patient(Uuid::from_u128(7));
    let by = MasterVersion { name: "local".to_owned(), version: 1 };
    let wrapped = Wrapped { by, text: "wrapped".to_owned() };
    let key = StoredKey { context: Context { owner: patient, version: 1 }, wrapped: wrapped.clone() };
    assert_eq!(store.keys.insert(&key).await.expect("kept"), Standing::Kept(vec![key.clone()]));
    assert!(store.keys.replace(key.context, &wrapped, &wrapped).await.expect("replaced"));
    assert!(store.keys.destroy(patient).await.expect("destroyed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_that_serves_has_all_rights_that_it_needs() {
    let installation = Installation::new().await;
    let store = installation.store("serve").await;
    fill(&*store.log, 3).await;
    let (log, views) = (&store.log, &store.views);
    let command = append(patient(), Expected::NoStream, 2);
    log.append(command.clone()).await.expect("an append");
    log.append(command).await.expect("the same again");
    log.ready().await.expect("it is ready");
    assert_eq!(log.begin_epoch(1).await.expect("an epoch").epoch, 2);
    assert!(store.checkpoints.advance("relay", 0, 5).await.expect("a checkpoint"));
    let holder = Uuid::from_u128(7);
    let lease = store.leases.acquire("work", holder, std::time::Duration::from_secs(5)).await;
    assert!(lease.expect("a lease").is_some());
    let generation = views.register(&SOME).await.expect("registered").generation;
    let row = || ViewRow {
        key: "key".to_owned(),
        document: serde_json::value::to_raw_value("document").expect("JSON"),
        columns: vec![ColumnValue::Integer(1)],
        is_new: true,
    };
    let batch = |generation| ViewBatch {
        view: SOME.name.to_owned(),
        generation,
        from: place(0),
        to: place(5),
        upserts: vec![row()],
        deletes: Vec::new(),
    };
    views.commit(&[batch(generation)]).await.expect("a batch");
    let beside = views.start_rebuild(&SOME).await.expect("a rebuild");
    views.commit(&[batch(beside)]).await.expect("a batch beside");
    assert!(views.swap(SOME.name, beside).await.expect("swapped"));
    views.sweep(SOME.name).await.expect("swept");
    store.forget_derived().await.expect("forgotten");
    views.register(&SOME).await.expect("registered anew");
    keys_are_kept(&store).await;
    store.close().await;

    installation.remove().await;
}
