//! A run that has lost its key, or is about to, neither records a transaction step nor commits what it wrote.
//!
//! ```text
//! run       writes in its transaction ─────────────────── records: waits for the row ─── another token: rolled back
//! another         takes the row over, uncommitted ─────────────────────────── commits
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use cratestack_runtime::testing::Answer;
use cratestack_runtime::{Idempotency, PostgresStore};
use cratestack_tests::TestDatabase;
use sqlx::PgPool;
use tokio::task::JoinHandle;

use crate::world::on_postgres::{create, orders, router};
use crate::world::{Fate, World, on_postgres, on_sqlite};

/// What another run leaves of the row when it takes it over.
const TAKEOVER: &str = "UPDATE cratestack_idempotency SET reservation_id = '00000000-0000-4000-8000-000000000000'";

/// Its lease ended as soon as it began.
const EXPIRY: &str = "UPDATE cratestack_idempotency SET lease_expires_at = created_at + INTERVAL '1 microsecond'";

/// A run that stalls at `place`.
macro_rules! stalled {
    ($shop:ident, $place:literal) => {{
        let (pool, keep) = $shop::database().await;
        let world = World::of([($place, Fate::Stalls)]);
        let service = $shop::service(&pool, &world);
        let order = service.post("/orders").key("k1");
        let running: JoinHandle<Answer> = tokio::spawn(async move { order.send().await });
        world.arrived.notified().await;
        (pool, world, running, (keep, service))
    }};
}

fn is_lost(answer: &Answer) {
    let is_told = answer.text().contains("the step `book` is another run's: the lease of this one is over");
    assert!(is_told || answer.problem_code().as_deref() == Some("idempotency_reservation_lost"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_key_was_taken_over_while_it_wrote_commits_nothing() {
    let (pool, world, running, _keep) = stalled!(on_postgres, "written");
    sqlx::query(TAKEOVER).execute(&pool).await.unwrap();
    world.gate.0.add_permits(1);
    is_lost(&running.await.unwrap());
    assert!(orders(&pool).await.is_empty());
}

/// An insert or an update that does not look at the latest row again would record the step beside the takeover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_waits_for_a_takeover_that_is_not_committed_yet() {
    for is_committed in [true, false] {
        let (pool, world, running, _keep) = stalled!(on_postgres, "written");
        let mut takeover = pool.begin().await.unwrap();
        sqlx::query(TAKEOVER).execute(&mut *takeover).await.unwrap();
        world.gate.0.add_permits(1);
        // The record waits for the row.
        let is_waiting = "SELECT COUNT(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE%'";
        while sqlx::query_scalar::<_, i64>(is_waiting).fetch_one(&pool).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if is_committed {
            takeover.commit().await.unwrap();
            is_lost(&running.await.unwrap());
            assert!(orders(&pool).await.is_empty());
        } else {
            takeover.rollback().await.unwrap();
            assert_eq!(running.await.unwrap().status(), StatusCode::OK);
            assert_eq!(orders(&pool).await, [1]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_lease_has_ended_commits_nothing_also_where_nobody_has_its_key() {
    let (pool, world, running, _keep) = stalled!(on_postgres, "written");
    sqlx::query(EXPIRY).execute(&pool).await.unwrap();
    world.gate.0.add_permits(1);
    is_lost(&running.await.unwrap());
    assert!(orders(&pool).await.is_empty());
}

/// While a transaction of SQLite writes, nobody else does. So the key is taken before it begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_run_whose_key_was_taken_over_before_it_wrote_commits_nothing() {
    for change in ["reservation_id = zeroblob(16)", "lease_expires_at = created_at + 1"] {
        let (pool, world, running, _keep) = stalled!(on_sqlite, "charged");
        let change = format!("UPDATE cratestack_idempotency SET {change}");
        sqlx::query(sqlx::AssertSqlSafe(change)).execute(&pool).await.unwrap();
        world.gate.0.add_permits(1);
        is_lost(&running.await.unwrap());
        assert!(on_sqlite::orders(&pool).await.is_empty());
    }
}

/// Leases end at any moment, so that runs take over from runs that are alive: of each order there is one all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_any_number_of_runs_one_commits() {
    const ORDERS: usize = 24;
    let database = TestDatabase::create().await;
    let direct = PgPool::connect(database.url()).await.unwrap();
    create(&direct).await;
    let world = World::default();
    let mut processes = Vec::new();
    for _ in 0..3 {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(6).connect(database.url()).await.unwrap();
        processes.push(router(Idempotency::transactional(PostgresStore::new(pool)), world.clone()));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let ending_leases = tokio::spawn({
        let (direct, is_over) = (direct.clone(), Arc::clone(&is_over));
        async move {
            while !is_over.load(Ordering::SeqCst) {
                let end = format!("{EXPIRY} WHERE response_status IS NULL AND random() < 0.3");
                sqlx::query(sqlx::AssertSqlSafe(end)).execute(&direct).await.unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for order in 0..ORDERS {
        for process in &processes {
            let process = process.clone();
            clients.spawn(async move { crate::world::order_until_done(&process, &format!("k{order}")).await });
        }
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    is_over.store(true, Ordering::SeqCst);
    ending_leases.await.unwrap();
    let charges: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT charge FROM orders").fetch_all(&direct).await.unwrap();
    assert_eq!((orders(&direct).await.len(), charges.len()), (ORDERS, ORDERS));
    let attempts = orders(&direct).await.into_iter().filter(|attempt| *attempt > 1).count();
    let tried = world.seen().iter().filter(|(step, _)| *step == "book").count();
    assert!(attempts > 0 && tried > ORDERS, "{attempts} orders of later attempts, {tried} tries: no run met another");
}
