//! Statements that wait: what they write counts from when they write it, alone and in a batch.
//!
//! ```text
//! another session │ lock ───────────────────── clock? ─ unlock
//! the calls       │   one alone, the rest in a batch ──────┴─ written
//! ```
//!
//! No time that was written may be of before the other session looked at the clock.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use cratestack_runtime::{Claim, ClaimOutcome, IdempotencyStore, LeaseState, PostgresStore, SqliteStore, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::databases::{postgres, postgres_pool};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const LOCKS: [&str; 2] =
    ["SELECT 1 FROM cratestack_idempotency FOR UPDATE", "LOCK TABLE cratestack_idempotency IN SHARE MODE"];

fn keys(prefix: &str) -> Vec<String> {
    (0..20).map(|n| format!("{prefix} {n}")).collect()
}

async fn reserve(store: PostgresStore, key: String, lease: Duration) -> Uuid {
    let claim = Claim { principal: "p", key: &key, request_hash: [1; 32], lease, retention: HOUR };
    match store.reserve(claim).await {
        Ok(ClaimOutcome::Reserved { token, .. }) => token,
        other => panic!("{other:?}"),
    }
}

async fn until_they_wait(pool: &PgPool) {
    let waiting = "SELECT COUNT(*) FILTER (WHERE query LIKE '%asked%') > 0 AND COUNT(*) FILTER (WHERE query NOT LIKE '%asked%') > 0
        FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..5_000 {
        if sqlx::query_scalar(waiting).fetch_one(pool).await.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the calls do not wait");
}

type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Makes the calls under a lock of another session; says what the database's clock showed while they waited.
async fn under<T: Send + 'static>(lock: &'static str, pool: &PgPool, calls: Vec<Call<T>>) -> (String, Vec<T>) {
    let mut other = pool.begin().await.unwrap();
    sqlx::raw_sql(lock).execute(&mut *other).await.unwrap();
    let calls = tokio::spawn(calls.into_iter().collect::<JoinSet<_>>().join_all());
    until_they_wait(pool).await;
    let clock = sqlx::query_scalar("SELECT clock_timestamp()::text").fetch_one(pool).await.unwrap();
    other.rollback().await.unwrap();
    (clock, calls.await.unwrap())
}

/// How many rows hold.
async fn count(pool: &PgPool, prefix: &str, what: &str, clock: &str) -> i64 {
    let count = format!("SELECT COUNT(*) FROM cratestack_idempotency WHERE starts_with(key, $1) AND {what}");
    sqlx::query_scalar(AssertSqlSafe(count)).bind(prefix).bind(clock).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn that_wait_are_counted_from_their_write() {
    let (database, pool, _) = postgres(4).await;
    // Of batches too, which else go alone where they wait for a row.
    let waiting = format!("{}?options=-c%20lock_timeout%3D60s", database.url());
    let store = PostgresStore::new(postgres_pool(&waiting, 4).await);
    for lock in LOCKS {
        sqlx::raw_sql("TRUNCATE cratestack_idempotency").execute(&pool).await.unwrap();
        let mut renewals = Vec::new();
        for key in keys("renewed") {
            renewals.push((key.clone(), reserve(store.clone(), key, MINUTE).await));
        }
        for key in keys("dead") {
            reserve(store.clone(), key, Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;

        let mut calls: Vec<Call<_>> = Vec::new();
        for (key, token) in renewals {
            let store = store.clone();
            calls.push(Box::pin(async move { store.renew("p", &key, token, MINUTE, HOUR).await }));
        }
        let (clock, renewed) = under(lock, &pool, calls).await;
        assert!(renewed.iter().all(|renewed| *renewed == Ok::<_, StoreError>(LeaseState::Held)), "{renewed:?}");
        let after = "lease_expires_at >= $2::timestamptz + INTERVAL '1 minute' AND lease_expires_at < expires_at";
        assert_eq!(count(&pool, "renewed", after, &clock).await, 20, "{lock}");
        let kept = "expires_at >= $2::timestamptz + INTERVAL '1 hour'";
        assert_eq!(count(&pool, "renewed", kept, &clock).await, 20, "{lock}");

        let mut claimed = vec!["dead"];
        let mut calls: Vec<Call<_>> = Vec::new();
        for key in keys("dead") {
            calls.push(Box::pin(reserve(store.clone(), key, MINUTE)));
        }
        if lock.contains("SHARE") {
            claimed.push("fresh");
            for key in keys("fresh") {
                calls.push(Box::pin(reserve(store.clone(), key, MINUTE)));
            }
        }
        let (clock, _) = under(lock, &pool, calls).await;
        for prefix in claimed {
            let after = "created_at >= $2::timestamptz AND lease_expires_at >= $2::timestamptz + INTERVAL '1 minute'
                AND lease_expires_at < expires_at AND expires_at >= $2::timestamptz + INTERVAL '1 hour'";
            assert_eq!(count(&pool, prefix, after, &clock).await, 20, "{lock}, {prefix}");
        }
    }
}

/// However quick the statement is.
#[tokio::test]
async fn that_end_before_they_are_answered_hold_nothing() {
    let (_database, pool, store) = postgres(4).await;
    let mut calls: Vec<Call<_>> = Vec::new();
    for key in keys("k") {
        let token = reserve(store.clone(), key.clone(), MINUTE).await;
        let store = store.clone();
        calls.push(Box::pin(async move { store.renew("p", &key, token, Duration::ZERO, HOUR).await }));
    }
    for renewed in under(LOCKS[1], &pool, calls).await.1 {
        assert!(matches!(renewed, Err(StoreError::Unavailable(_))), "{renewed:?}");
    }
}

/// The lease is over when the first commit is, as where it waits for a standby.
#[tokio::test]
async fn whose_commit_takes_longer_than_their_lease_are_made_again() {
    let (_database, pool, store) = postgres(4).await;
    let token = reserve(store.clone(), "k".to_owned(), MINUTE).await;
    let slow = "CREATE SEQUENCE commits;
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM CASE WHEN nextval('commits') = 1 THEN pg_sleep(1.5) END;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON cratestack_idempotency DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slow()";
    sqlx::raw_sql(slow).execute(&pool).await.unwrap();
    assert_eq!(store.renew("p", "k", token, Duration::from_secs(1), HOUR).await, Ok(LeaseState::Held));
    let commits: i64 = sqlx::query_scalar("SELECT last_value FROM commits").fetch_one(&pool).await.unwrap();
    assert_eq!(commits, 2);
}

/// Where the file's journal is a rollback journal, a commit waits for whoever reads.
#[tokio::test]
async fn whose_commit_waits_for_readers_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("test.db"))
        .create_if_missing(true)
        .busy_timeout(Duration::from_secs(60))
        .journal_mode(SqliteJournalMode::Delete);
    let pool = SqlitePoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    let lease = Duration::from_millis(200);
    let claim = Claim { principal: "p", key: "k", request_hash: [1; 32], lease: MINUTE, retention: HOUR };
    let Ok(ClaimOutcome::Reserved { token, .. }) = store.reserve(claim).await else { panic!() };
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("SELECT * FROM cratestack_idempotency").fetch_all(&mut *reader).await.unwrap();
    let renewing = tokio::spawn(async move { store.renew("p", "k", token, lease, HOUR).await });
    tokio::time::sleep(3 * lease).await;
    // SQLite's clock is this machine's.
    let read = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    reader.rollback().await.unwrap();
    assert_eq!(renewing.await.unwrap(), Ok(LeaseState::Held));
    let ends = "SELECT lease_expires_at FROM cratestack_idempotency";
    let ends: i64 = sqlx::query_scalar(ends).fetch_one(&pool).await.unwrap();
    let ends = Duration::from_millis(u64::try_from(ends).unwrap());
    assert!(
        ends + Duration::from_millis(1) >= read + lease,
        "the lease ends {ends:?}, the commit waited until {read:?}"
    );
}
