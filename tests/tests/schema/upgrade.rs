//! From version 1 to the latest while a service runs on the table, next to others that know version 1 alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cratestack_runtime::schema::TableName;
use cratestack_runtime::{Claim, ClaimOutcome, IdempotencyStore, PostgresStore, StoreError};
use cratestack_schema::{Dialect, Format, IDEMPOTENCY, Layout, Numbering};
use sqlx::PgPool;

use crate::databases::{pool, postgres, run};

const REQUESTS_PER_SECOND: u32 = 200;

/// What a service does that knows version 1: reserve, record, replay. Three statements of its own spelling.
async fn version_1(pool: &PgPool, key: &str) -> Result<(), sqlx::Error> {
    let reserved = sqlx::query(
        "INSERT INTO cratestack_idempotency (principal_fingerprint, key, request_hash, reservation_id, expires_at)
         VALUES ('p', $1, '\\x00', gen_random_uuid(), NOW() + INTERVAL '1 day') ON CONFLICT DO NOTHING",
    )
    .bind(key)
    .execute(pool)
    .await?;
    assert_eq!(reserved.rows_affected(), 1, "{key}");
    sqlx::query(
        "UPDATE cratestack_idempotency SET response_status = 201, response_headers = '', response_body = $1::text::bytea
         WHERE principal_fingerprint = 'p' AND key = $1 AND response_status IS NULL",
    )
    .bind(key)
    .execute(pool)
    .await?;
    let body: Vec<u8> = sqlx::query_scalar("SELECT response_body FROM cratestack_idempotency WHERE key = $1")
        .bind(key)
        .fetch_one(pool)
        .await?;
    assert_eq!(body, key.as_bytes());
    Ok(())
}

#[derive(Default)]
struct Load {
    over: AtomicBool,
    done: AtomicUsize,
    failed: AtomicUsize,
    longest: AtomicU64,
}

impl Load {
    /// A request every five milliseconds, however long the others take: a stall shows in all that fall into it.
    async fn run(self: Arc<Self>, pool: PgPool) {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / REQUESTS_PER_SECOND);
        let mut requests = tokio::task::JoinSet::new();
        for number in 0.. {
            let due = tick.tick().await;
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let (load, pool) = (Arc::clone(&self), pool.clone());
            requests.spawn(async move {
                let outcome = version_1(&pool, &format!("load{number}")).await;
                if let Err(error) = outcome {
                    println!("{error}");
                    load.failed.fetch_add(1, Ordering::Relaxed);
                }
                load.done.fetch_add(1, Ordering::Relaxed);
                let took = u64::try_from(due.elapsed().as_millis()).unwrap();
                load.longest.fetch_max(took, Ordering::Relaxed);
            });
        }
        requests.join_all().await;
    }
}

async fn under_load<F: Future<Output = ()>>(rows: i32, upgrade: impl FnOnce(String, PgPool) -> F) {
    let (database, admin) = postgres(4).await;
    run(&admin, &IDEMPOTENCY.ddl(Dialect::Postgres, 1).unwrap()).await;
    sqlx::query(
        "INSERT INTO cratestack_idempotency
            (principal_fingerprint, key, request_hash, reservation_id, response_status, response_body, expires_at)
         SELECT 'p', 'old' || n, decode(repeat('00', 32), 'hex'), gen_random_uuid(), 201, 'paid', NOW() + INTERVAL '1 day'
         FROM generate_series(1, $1) AS n",
    )
    .bind(rows)
    .execute(&admin)
    .await
    .unwrap();
    run(
        &admin,
        "INSERT INTO cratestack_idempotency (principal_fingerprint, key, request_hash, reservation_id, expires_at)
         SELECT 'p', key, decode(repeat('00', 32), 'hex'), gen_random_uuid(), NOW() + lasts
         FROM (VALUES ('running', INTERVAL '1 day'), ('over', INTERVAL '-1 day')) AS held(key, lasts)",
    )
    .await;
    let load = Arc::new(Load::default());
    let running = tokio::spawn(Arc::clone(&load).run(pool(database.url(), 20).await));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = load.longest.swap(0, Ordering::Relaxed);
    let started = Instant::now();
    upgrade(database.url().to_owned(), admin.clone()).await;
    let took = started.elapsed();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    load.over.store(true, Ordering::Relaxed);
    running.await.unwrap();
    let (done, failed) = (load.done.load(Ordering::Relaxed), load.failed.load(Ordering::Relaxed));
    let longest = load.longest.load(Ordering::Relaxed);
    println!(
        "{rows} rows; upgrade took {took:?}; {done} requests, {failed} failures; longest {before} ms before, {longest} ms \
         during and after"
    );
    assert_eq!(failed, 0);
    assert!(done > 400, "{done}");
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM cratestack_idempotency WHERE response_status = 201 AND lease_expires_at IS NULL",
    )
    .fetch_one(&admin)
    .await
    .unwrap();
    assert_eq!(usize::try_from(kept).unwrap(), usize::try_from(rows).unwrap() + done, "no row is lost or doubled");
    let store = PostgresStore::new(admin);
    let report = store.check().await.unwrap();
    assert!(report.is_clean(), "{report}");
    let hour = Duration::from_secs(3_600);
    let claim = |key, hash| Claim { principal: "p", key, request_hash: [hash; 32], lease: hour, retention: hour };
    let Ok(ClaimOutcome::Replay(record)) = store.reserve(claim("old7", 0)).await else { panic!() };
    assert_eq!((record.response_status, record.response_body.as_slice()), (201, b"paid".as_slice()));
    assert_eq!(store.reserve(claim("old7", 1)).await, Ok(ClaimOutcome::Conflict));
    assert_eq!(store.reserve(claim("running", 0)).await, Ok(ClaimOutcome::InFlight), "its lease is its row's end");
    let taken_over = store.reserve(claim("over", 1)).await;
    assert!(matches!(taken_over, Ok(ClaimOutcome::Reserved { attempt: 1, .. })), "{taken_over:?}");
    // A moment, on a machine that may be busy with other tests.
    assert!(longest < 2_500, "{longest} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_processes_upgrade_at_once_and_traffic_goes_on() {
    under_load(50_000, |url, _| async move {
        let fleet = (0..20).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { PostgresStore::new(pool(&url, 1).await).migrate().await })
        });
        let outcomes: Vec<Result<(), StoreError>> =
            futures_util::future::join_all(fleet).await.into_iter().map(Result::unwrap).collect();
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_upgrade_and_build_the_index_while_traffic_goes_on() {
    under_load(50_000, |_, admin| async move {
        run(&admin, "DROP INDEX cratestack_idempotency_expires_idx").await;
        let numbering = Numbering { unix_seconds: 0, next: 1 };
        let files =
            Layout::default().files(Dialect::Postgres, Format::Plain, 1, IDEMPOTENCY.latest(), numbering).unwrap();
        for file in files.iter().filter(|file| file.path.ends_with(".up.sql")) {
            run(&admin, &file.contents).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_processes_create_the_table_at_once() {
    let (database, admin) = postgres(2).await;
    run(&admin, "CREATE SCHEMA \"an app\"").await;
    for name in [TableName::default(), TableName::new(Some("an app"), &"\"x".repeat(31)).unwrap()] {
        let fleet = (0..20).map(|_| {
            let (url, name) = (database.url().to_owned(), name.clone());
            tokio::spawn(async move { PostgresStore::new(pool(&url, 1).await).table(name).unwrap().migrate().await })
        });
        for process in futures_util::future::join_all(fleet).await {
            process.unwrap().unwrap();
        }
        let report = PostgresStore::new(admin.clone()).table(name).unwrap().check().await.unwrap();
        assert!(report.is_clean(), "{report}");
    }
}
