//! Upgrades of a database that is in use.

use event_store::postgres::MIGRATOR;
use sqlx::{Connection, Executor, PgConnection};

/// Names of the tables and partitions of a view's generations.
async fn generations(connection: &mut PgConnection) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname ~ '^view_.*_g[0-9]+$' ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(connection).await.expect("names")
}

#[tokio::test]
async fn documents_of_views_are_the_same_after_the_upgrade_to_json() {
    let database = testkit::postgres().await;
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    MIGRATOR.run_to(201, &mut connection).await.expect("as it was before");
    // A view that is read; a rebuild of it that became a partition and died; one of another that did not get there.
    connection
        .execute(
            "INSERT INTO views (name, schema_version, generation, position, columns, rebuild_generation,
                 rebuild_position, rebuild_version, rebuild_columns)
             VALUES ('patients', 1, 3, 9, '[]', 4, 5, 2, '[]'), ('visits', 1, 1, 9, '[]', 2, 5, 2, '[]');
             CREATE TABLE view_patients_g3 PARTITION OF view_patients FOR VALUES IN (3);
             CREATE TABLE view_patients_g4 PARTITION OF view_patients FOR VALUES IN (4);
             CREATE TABLE view_visits_g1 PARTITION OF view_visits FOR VALUES IN (1);
             CREATE TABLE view_visits_g2 (LIKE view_visits INCLUDING DEFAULTS);
             CREATE TABLE view_of_somebody_else_g1 (number integer);
             INSERT INTO view_patients (generation, key, document, registered_at)
             VALUES (3, 'a', '{\"text\": \"ä \\\\ \\\"\", \"list\": [1, null]}', now()), (4, 'a', '{}', now())",
        )
        .await
        .expect("views");
    MIGRATOR.run(&mut connection).await.expect("the upgrade");
    let kept = ["view_of_somebody_else_g1", "view_patients_g3", "view_visits_g1"];
    assert_eq!(generations(&mut connection).await, kept);
    let document: String = sqlx::query_scalar("SELECT document::text FROM view_patients WHERE key = 'a'")
        .fetch_one(&mut connection)
        .await
        .expect("the document");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document, serde_json::json!({"text": "ä \\ \"", "list": [1, null]}));
    let rebuilding: i64 =
        sqlx::query_scalar("SELECT count(*) FROM views WHERE num_nonnulls(rebuild_generation, rebuild_columns) > 0")
            .fetch_one(&mut connection)
            .await
            .expect("the catalogue");
    assert_eq!(rebuilding, 0, "rebuilds begin again");
    let indexes: Vec<String> =
        sqlx::query_scalar("SELECT indexdef FROM pg_indexes WHERE tablename = 'view_patients_g3' ORDER BY indexname")
            .fetch_all(&mut connection)
            .await
            .expect("indexes");
    assert_eq!(indexes.len(), 2, "{indexes:?}");
    assert!(indexes.iter().any(|index| index.ends_with("(registered_at, key)")), "{indexes:?}");
}
