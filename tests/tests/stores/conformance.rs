//! One suite, every store.

use cratestack_runtime::testing::{Conformance, Report, Verdict};
use cratestack_runtime::{MemoryStore, PostgresStore, SqliteStore};

use crate::databases::{postgres, postgres_pool, sqlite};

fn every_promise(report: &Report) {
    println!("{report}");
    report.assert();
    assert!(report.checks().iter().all(|check| check.verdict == Verdict::Passed), "{report}");
}

/// No write of this store waits for anything, so what becomes of those that do is not asked.
#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_every_promise() {
    let report = Conformance::new().require_every_method().run(|| async { MemoryStore::new() }).await;
    println!("{report}");
    report.assert();
    let mut skipped = report.checks().iter().filter(|check| check.verdict != Verdict::Passed);
    assert!(skipped.all(|check| check.name.contains("_that_waited_")), "{report}");
}

/// Stalls its writes by one of another connection.
async fn on_sqlite(group_commit: bool, suite: Conformance) {
    let (_folder, pool, store) = sqlite(8).await;
    let store: SqliteStore = store.group_commit(group_commit);
    let suite = suite.require_every_method().stall_writes(move || {
        let pool = pool.clone();
        async move { pool.begin_with("BEGIN IMMEDIATE").await.unwrap() }
    });
    every_promise(&suite.run(|| async { store.clone() }).await);
}

/// Stalls its writes as `CREATE INDEX` does.
async fn on_postgres(group_commit: bool, suite: Conformance) {
    let (database, _pool, store) = postgres(20).await;
    let store: PostgresStore = store.group_commit(group_commit);
    let aside = postgres_pool(database.url(), 1).await;
    let suite = suite.require_every_method().stall_writes(move || {
        let aside = aside.clone();
        async move {
            let mut stalling = aside.begin().await.unwrap();
            let lock = "LOCK TABLE cratestack_idempotency IN SHARE MODE";
            sqlx::raw_sql(lock).execute(&mut *stalling).await.unwrap();
            stalling
        }
    });
    every_promise(&suite.run(|| async { store.clone() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_every_promise() {
    on_sqlite(true, Conformance::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_without_group_commit_keeps_every_promise() {
    on_sqlite(false, Conformance::new().model_runs(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_every_promise() {
    on_postgres(true, Conformance::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_without_group_commit_keeps_every_promise() {
    // The two suites on Postgres run side by side, and each has to be quick enough to tell.
    on_postgres(false, Conformance::new().model_runs(200)).await;
}
