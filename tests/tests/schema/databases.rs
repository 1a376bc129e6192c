//! Databases for the tests of this binary.

use std::time::Duration;

use cratestack_runtime::schema::TableName;
use cratestack_runtime::testing::{Conformance, Verdict};
use cratestack_runtime::{PostgresStore, SqliteStore};
use cratestack_tests::postgres::TestDatabase;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

pub async fn postgres(connections: u32) -> (TestDatabase, PgPool) {
    let database = TestDatabase::create().await;
    let pool = pool(database.url(), connections).await;
    (database, pool)
}

pub async fn pool(url: &str, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(60))
        .connect(url)
        .await
        .unwrap()
}

/// The whole conformance suite, which stalls the store's writes as `CREATE INDEX` does.
pub async fn keeps_every_promise(url: &str, table: TableName) {
    let (store, aside) = (PostgresStore::new(pool(url, 20).await).table(table.clone()).unwrap(), pool(url, 1).await);
    store.migrate().await.unwrap();
    let lock = format!("LOCK TABLE {} IN SHARE MODE", table.sql());
    let suite = Conformance::new().require_every_method().stall_writes(move || {
        let (aside, lock) = (aside.clone(), lock.clone());
        async move {
            let mut stalling = aside.begin().await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *stalling).await.unwrap();
            stalling
        }
    });
    let report = suite.run(|| async { store.clone() }).await;
    report.assert();
    assert!(report.checks().iter().all(|check| check.verdict == Verdict::Passed), "{report}");
}

pub async fn run(pool: &PgPool, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(pool).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

pub async fn sqlite(table: TableName) -> (tempfile::TempDir, SqlitePool, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("test.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool.clone()).table(table).unwrap();
    (folder, pool, store)
}

pub async fn run_sqlite(pool: &SqlitePool, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(pool).await.unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// A pool whose sessions act as this role, on the same server.
pub async fn as_role(url: &str, role: &str) -> PgPool {
    let options: PgConnectOptions = url.parse().unwrap();
    // A superuser may take any role, and no password is needed for it.
    PgPoolOptions::new().max_connections(2).connect_with(options.options([("role", role)])).await.unwrap()
}
