//! Names that try to be SQL.

use std::time::Duration;

use bytes::Bytes;
use cratestack_runtime::schema::TableName;
use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, PostgresStore, SqliteStore};
use cratestack_schema::Dialect;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, Row as _, SqlitePool};

use crate::databases::{keeps_every_promise, postgres, run, sqlite};

const HOUR: Duration = Duration::from_secs(3_600);

/// The names that databases take.
fn hostile() -> Vec<String> {
    let mut names: Vec<String> = [
        "a\"b",
        "\"",
        "\"\"; DROP TABLE victim; --",
        "'; DROP TABLE victim; --",
        "drop table",
        "select",
        "user",
        "table",
        "Upper Case",
        "UPPER",
        "back\\slash",
        "a.b",
        "$1",
        "?1",
        "{}",
        "%s",
        "тАблица",
        "表",
        "😀",
        "e\u{301}",
        "new\nline",
        "tab\t",
        " ",
        "-- comment",
        "/* comment",
        "held",
        "live",
        "claimed",
        "ended",
        "picked",
        "excluded",
        "key",
        "cratestack_idempotency_expires_idx",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(["x".repeat(63), format!("{}y", "x".repeat(62)), "ü".repeat(31), "\"".repeat(63)]);
    names
}

/// Every method that sends a statement.
async fn lives(store: &impl IdempotencyStore, name: &str) {
    let claim = Claim { principal: "p", key: "k", request_hash: [7; 32], lease: HOUR, retention: HOUR };
    let ClaimOutcome::Reserved { token, .. } = store.reserve(claim).await.unwrap() else { panic!("{name}") };
    assert_eq!(store.reserve(claim).await, Ok(ClaimOutcome::InFlight), "{name}");
    assert_eq!(store.renew("p", "k", token, HOUR, HOUR).await, Ok(LeaseState::Held), "{name}");
    store.release("p", "k", token).await.unwrap();
    let ClaimOutcome::Reserved { token, .. } = store.reserve(claim).await.unwrap() else { panic!("{name}") };
    let body = Bytes::from_static(b"paid");
    let completion = Completion { principal: "p", key: "k", token, status: 201, headers: &[], body: &body };
    assert_eq!(store.finish(completion).await, Ok(LeaseState::Held), "{name}");
    assert!(matches!(store.reserve(claim).await, Ok(ClaimOutcome::Replay(_))), "{name}");
    let gone = Claim { key: "gone", lease: Duration::ZERO, retention: Duration::ZERO, ..claim };
    store.reserve(gone).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(store.sweep(10).await, Ok(1), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_name_is_a_table_of_postgres() {
    let (_database, pool) = postgres(4).await;
    run(&pool, "CREATE TABLE victim (); CREATE SCHEMA \"s\"\"; DROP TABLE victim; --\"").await;
    for name in hostile() {
        for schema in [None, Some("s\"; DROP TABLE victim; --")] {
            let store = PostgresStore::new(pool.clone()).table(TableName::new(schema, &name).unwrap()).unwrap();
            for _ in 0..2 {
                store.migrate().await.unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            lives(&store, &name).await;
            let report = store.check().await.unwrap();
            assert!(report.is_clean(), "{report}");
            let stats = AssertSqlSafe(TableName::new(schema, &name).unwrap().stats(Dialect::Postgres));
            let rows: i64 = sqlx::query(stats).fetch_one(&pool).await.unwrap().get(0);
            assert_eq!(rows, 1, "{name}");
        }
    }
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^(pg_|information)'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(usize::try_from(tables).unwrap(), 1 + 2 * hostile().len(), "each name is a table, and nothing is lost");
}

#[tokio::test]
async fn any_name_is_a_table_of_sqlite() {
    for name in hostile() {
        for schema in [None, Some("main")] {
            let (_folder, pool, store) = sqlite(TableName::new(schema, &name).unwrap()).await;
            for _ in 0..2 {
                store.migrate().await.unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            lives(&store, &name).await;
            let report = store.check().await.unwrap();
            assert!(report.is_clean(), "{report}");
            let stats = AssertSqlSafe(TableName::new(schema, &name).unwrap().stats(Dialect::Sqlite));
            let rows: i64 = sqlx::query(stats).fetch_one(&pool).await.unwrap().get(0);
            assert_eq!(rows, 1, "{name}");
        }
    }
}

/// Postgres' own reading of what was quoted, for names that nobody thought of.
#[tokio::test]
async fn postgres_reads_every_name_as_it_was_given() {
    let (_database, pool) = postgres(1).await;
    let mut runner = TestRunner::default();
    // What is special somewhere in SQL, and whatever else there is.
    let character = prop_oneof![prop::sample::select("\"'\\.;-$ \n\t%{}".chars().collect::<Vec<_>>()), any::<char>()];
    let part =
        prop::collection::vec(character, 1..30).prop_map(|characters| characters.into_iter().collect::<String>());
    for _ in 0..500 {
        let schema = part.new_tree(&mut runner).unwrap().current();
        let table = part.new_tree(&mut runner).unwrap().current();
        let Ok(name) = TableName::new(Some(&schema), &table) else {
            assert!(schema.len().max(table.len()) > 63 || schema.contains('\0') || table.contains('\0'));
            continue;
        };
        let text = format!("SELECT parse_ident({})", name.regclass());
        let read: Vec<String> = sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&pool).await.unwrap();
        assert_eq!(read, [schema, table]);
    }
}

#[tokio::test]
async fn sqlite_refuses_its_own_names_with_the_reason() {
    let store = SqliteStore::new(SqlitePool::connect_lazy("sqlite::memory:").unwrap());
    let error = store.table(TableName::new(None, "sqlite_keys").unwrap()).unwrap_err();
    assert!(error.to_string().contains("begins with sqlite_"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_name_keeps_every_promise() {
    let (database, pool) = postgres(1).await;
    run(&pool, "CREATE SCHEMA \"my schema\"").await;
    let name = TableName::new(Some("my schema"), "\"; DROP TABLE \"x\"; -- 'ü'").unwrap();
    keeps_every_promise(database.url(), name).await;
}
