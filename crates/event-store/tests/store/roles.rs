//! The rights that docs/guides/least-privilege.md gives are enough, and no more than that.

use event_store::log::Expected;
use event_store::views::{Column, ColumnKind, ColumnValue, ViewBatch, ViewRow, ViewSchema};
use event_store::{Store, StoreOptions};
use sealing::{Context, MasterVersion, Owner, Standing, StoredKey, Wrapped};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use testkit::appends::{append, fill, patient, place};
use testkit::stores::postgres;
use uuid::Uuid;

const GUIDE: &str = include_str!("../../../../docs/guides/least-privilege.md");
const SOME: ViewSchema = ViewSchema {
    name: "some",
    version: 1,
    columns: &[Column { name: "count", kind: ColumnKind::Integer }],
    access_paths: &[&["count"]],
};

/// The statements of the guide, for a role of this test alone.
fn grants(role: &str) -> String {
    let sql = GUIDE.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).expect("statements");
    assert!(sql.contains("GRANT INSERT ON log.events"));
    sql.replace("TO anamnesis;", &format!("TO {role};"))
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
async fn the_role_that_serves_has_all_rights_that_it_needs_and_changes_no_event() {
    let test = postgres().await;
    fill(&*test.store.log, 3).await;
    let role = format!("serves_{}", test.url.rsplit('_').next().expect("a name"));
    let mut owner = PgConnection::connect(&test.url).await.expect("the database");
    let sql = format!("CREATE ROLE {role} LOGIN; {}", grants(&role));
    owner.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("rights");
    let url = test.url.replace("postgres://postgres@", &format!("postgres://{role}@"));
    assert_ne!(url, test.url);

    let options = StoreOptions { migrate: false, ..StoreOptions::default() };
    let store = Store::open(&url, &options).await.expect("the store opens");
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

    let mut served = PgConnection::connect(&url).await.expect("the database");
    for forbidden in [
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
    ] {
        let refused = served.execute(forbidden).await.expect_err(forbidden);
        let code = refused.as_database_error().and_then(|error| error.code()).map(std::borrow::Cow::into_owned);
        assert_eq!(code.as_deref(), Some("42501"), "{forbidden}: {refused}");
    }
    drop(served);
    let sql = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    owner.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("removed");
}
