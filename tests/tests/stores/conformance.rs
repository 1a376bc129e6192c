//! One suite, every store.

use cratestack_runtime::MemoryStore;
use cratestack_runtime::testing::{Conformance, Report, Verdict};

use crate::databases::{postgres, sqlite};

fn every_promise(report: &Report) {
    println!("{report}");
    report.assert();
    assert!(report.checks().iter().all(|check| check.verdict == Verdict::Passed), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_every_promise() {
    every_promise(&Conformance::new().require_every_method().run(|| async { MemoryStore::new() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_every_promise() {
    let (_folder, _pool, store) = sqlite(8).await;
    every_promise(&Conformance::new().require_every_method().run(|| async { store.clone() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_without_group_commit_keeps_every_promise() {
    let (_folder, _pool, store) = sqlite(8).await;
    let store = store.group_commit(false);
    let suite = Conformance::new().require_every_method().model_runs(200);
    every_promise(&suite.run(|| async { store.clone() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_every_promise() {
    let (_database, _pool, store) = postgres(20).await;
    every_promise(&Conformance::new().require_every_method().run(|| async { store.clone() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_without_group_commit_keeps_every_promise() {
    let (_database, _pool, store) = postgres(20).await;
    let store = store.group_commit(false);
    // The two suites on Postgres run side by side, and each has to be quick enough to tell.
    let suite = Conformance::new().require_every_method().model_runs(200);
    every_promise(&suite.run(|| async { store.clone() }).await);
}
