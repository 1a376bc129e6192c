use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cratestack_schema::{Dialect, IDEMPOTENCY};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, SqlitePool};
use uuid::Uuid;

use super::SqliteStore;
use crate::store::{
    Claim, ClaimOutcome, Completion, IdempotencyStore, LeaseState, ReservationOutcome, StepRecord, StoreError,
};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

async fn memory() -> SqlitePool {
    SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap()
}

async fn store() -> SqliteStore {
    let store = SqliteStore::new(memory().await);
    store.migrate().await.unwrap();
    store
}

/// A database file that goes when the test ends.
struct File(std::path::PathBuf);

impl File {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("cratestack-{}.db", Uuid::new_v4())))
    }

    async fn pool(&self, mode: SqliteJournalMode) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(&self.0).create_if_missing(true).journal_mode(mode);
        SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

fn claim(key: &str) -> Claim<'_> {
    Claim { principal: "alice", key, request_hash: [7; 32], lease: HOUR, retention: DAY }
}

async fn reserve(store: &SqliteStore, claim: Claim<'_>) -> (Uuid, u32) {
    match store.reserve(claim).await.unwrap() {
        ClaimOutcome::Reserved { token, attempt } => (token, attempt),
        other => panic!("{other:?}"),
    }
}

async fn finish(store: &SqliteStore, key: &str, token: Uuid, status: u16, body: &'static [u8]) -> LeaseState {
    let body = Bytes::from_static(body);
    let completion = Completion { principal: "alice", key, token, status, headers: &[], body: &body };
    store.finish(completion).await.unwrap()
}

async fn sql(store: &SqliteStore, text: &str) -> u64 {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&store.database.pool).await.unwrap().rows_affected()
}

/// Moves everything that happened into the past, instead of waiting.
async fn age(store: &SqliteStore, by: Duration) {
    let by = by.as_millis();
    sql(
        store,
        &format!(
            "UPDATE cratestack_idempotency SET created_at = created_at - {by}, expires_at = expires_at - {by},
                lease_expires_at = lease_expires_at - {by}"
        ),
    )
    .await;
}

#[tokio::test]
async fn a_key_is_reserved_once_finished_once_and_replayed() {
    let store = store().await;
    let (token, attempt) = reserve(&store, claim("k")).await;
    assert_eq!(attempt, 1);
    assert_eq!(store.reserve(claim("k")).await, Ok(ClaimOutcome::InFlight));
    let other = Claim { request_hash: [8; 32], ..claim("k") };
    assert_eq!(store.reserve(other).await, Ok(ClaimOutcome::Conflict));

    assert_eq!(finish(&store, "k", token, 503, b"paid").await, LeaseState::Held);
    assert_eq!(finish(&store, "k", token, 200, b"again").await, LeaseState::Held);
    assert_eq!(finish(&store, "k", Uuid::new_v4(), 200, b"stale").await, LeaseState::Lost);
    store.release("alice", "k", token).await.unwrap();

    let ClaimOutcome::Replay(record) = store.reserve(claim("k")).await.unwrap() else { panic!() };
    assert_eq!((record.response_status, record.response_body.as_slice()), (503, b"paid".as_slice()));
    assert_eq!(record.expires_at.duration_since(record.created_at).unwrap(), DAY);
    assert!(SystemTime::now().duration_since(record.created_at).unwrap_or_default() < Duration::from_mins(1));
    assert_eq!(store.reserve(other).await, Ok(ClaimOutcome::Conflict));
}

#[tokio::test]
async fn an_empty_outcome_is_an_outcome() {
    let store = store().await;
    let (token, _) = reserve(&store, claim("k")).await;
    store.complete("alice", "k", token, 204, &[], &[]).await.unwrap();
    let ClaimOutcome::Replay(record) = store.reserve(claim("k")).await.unwrap() else { panic!() };
    assert_eq!((record.response_status, record.response_body.len()), (204, 0));
}

#[tokio::test]
async fn release_gives_back_only_what_is_held_and_running() {
    let store = store().await;
    let (token, _) = reserve(&store, claim("k")).await;
    store.release("alice", "k", Uuid::new_v4()).await.unwrap();
    assert_eq!(store.reserve(claim("k")).await, Ok(ClaimOutcome::InFlight));
    store.release("alice", "k", token).await.unwrap();
    assert_eq!(reserve(&store, claim("k")).await.1, 1);
}

#[tokio::test]
async fn strings_are_whole() {
    let store = store().await;
    for key in ["k", "K", "k ", "k\0", "k\0a", "", "ключ"] {
        reserve(&store, claim(key)).await;
    }
    reserve(&store, Claim { principal: "alic", key: "ek", ..claim("k") }).await;
}

#[tokio::test]
async fn a_lease_that_ended_is_taken_over_and_counted() {
    let store = store().await;
    let (first, _) = reserve(&store, claim("k")).await;
    age(&store, HOUR).await;
    // What the first has done is not known, so nobody runs but who wants the same.
    assert_eq!(store.reserve(Claim { request_hash: [8; 32], ..claim("k") }).await, Ok(ClaimOutcome::Conflict));
    let (second, attempt) = reserve(&store, claim("k")).await;
    assert_eq!(attempt, 2);
    assert_eq!(finish(&store, "k", first, 200, b"stale").await, LeaseState::Lost);
    assert_eq!(store.renew("alice", "k", first, HOUR, DAY).await, Ok(LeaseState::Lost));
    store.release("alice", "k", first).await.unwrap();
    age(&store, HOUR / 2).await;
    assert_eq!(store.renew("alice", "k", second, HOUR, DAY).await, Ok(LeaseState::Held));
    age(&store, HOUR / 2).await;
    assert_eq!(store.reserve(claim("k")).await, Ok(ClaimOutcome::InFlight));
    age(&store, HOUR / 2).await;
    assert_eq!(reserve(&store, claim("k")).await.1, 3);
}

#[tokio::test]
async fn an_expired_row_starts_over() {
    let store = store().await;
    let (token, _) = reserve(&store, claim("k")).await;
    assert_eq!(finish(&store, "k", token, 200, b"old").await, LeaseState::Held);
    sql(&store, "UPDATE cratestack_idempotency SET expires_at = created_at, attempt = 9").await;
    assert_eq!(reserve(&store, claim("k")).await.1, 1);
    assert_eq!(store.reserve(claim("k")).await, Ok(ClaimOutcome::InFlight));
}

#[tokio::test]
async fn a_lease_from_before_a_foreign_takeover_does_not_count() {
    let store = store().await;
    reserve(&store, claim("k")).await;
    // What a program does that knows no lease: the row expired, it takes it over and leaves our columns alone.
    let moved = sql(
        &store,
        "UPDATE cratestack_idempotency SET created_at = lease_expires_at, attempt = 4,
            expires_at = CAST(unixepoch('subsec') * 1000 AS INTEGER) + 60000",
    )
    .await;
    assert_eq!(moved, 1);
    assert_eq!(store.reserve(claim("k")).await, Ok(ClaimOutcome::InFlight));
    sql(&store, "UPDATE cratestack_idempotency SET expires_at = 1").await;
    assert_eq!(reserve(&store, claim("k")).await.1, 1);
}

#[tokio::test]
async fn rows_of_version_1_are_leased_until_they_expire() {
    let store = store().await;
    reserve(&store, claim("k")).await;
    sql(&store, "UPDATE cratestack_idempotency SET lease_expires_at = NULL, attempt = NULL").await;
    assert_eq!(store.reserve(claim("k")).await, Ok(ClaimOutcome::InFlight));
    sql(&store, "UPDATE cratestack_idempotency SET expires_at = 1").await;
    assert_eq!(reserve(&store, claim("k")).await.1, 1);
}

#[tokio::test]
async fn renewing_keeps_the_lease_within_the_row() {
    let store = store().await;
    let (token, _) = reserve(&store, Claim { lease: Duration::from_millis(1), retention: HOUR, ..claim("k") }).await;
    assert_eq!(store.renew("alice", "k", token, DAY, Duration::ZERO).await, Ok(LeaseState::Held));
    let sound = "UPDATE cratestack_idempotency SET attempt = attempt
        WHERE lease_expires_at = expires_at AND lease_expires_at > created_at";
    assert_eq!(sql(&store, sound).await, 1);
    assert_eq!(store.renew("alice", "k", token, HOUR, DAY).await, Ok(LeaseState::Held));
    let sound = "UPDATE cratestack_idempotency SET attempt = attempt
        WHERE lease_expires_at < expires_at AND lease_expires_at > created_at AND expires_at >= created_at + 86400000";
    assert_eq!(sql(&store, sound).await, 1);
    assert_eq!(finish(&store, "k", token, 200, b"").await, LeaseState::Held);
    assert_eq!(store.renew("alice", "k", token, HOUR, DAY).await, Ok(LeaseState::Lost));
}

/// However quick the statement is.
#[tokio::test]
async fn a_lease_that_has_ended_when_its_renewal_is_answered_is_not_held() {
    let store = store().await;
    let (token, _) = reserve(&store, claim("k")).await;
    age(&store, HOUR / 2).await;
    let renewed = store.renew("alice", "k", token, Duration::ZERO, DAY).await;
    assert!(
        matches!(&renewed, Err(StoreError::Unavailable(text)) if text.contains("took longer than the lease")),
        "{renewed:?}"
    );
    assert_eq!(reserve(&store, claim("k")).await.1, 2, "it has been written all the same");
}

#[tokio::test]
async fn any_duration_will_do() {
    let store = store().await;
    let endless = Claim { lease: Duration::MAX, retention: Duration::MAX, ..claim("k") };
    let (token, _) = reserve(&store, endless).await;
    assert_eq!(store.reserve(endless).await, Ok(ClaimOutcome::InFlight));
    assert_eq!(store.renew("alice", "k", token, Duration::MAX, Duration::MAX).await, Ok(LeaseState::Held));

    let nothing = Claim { lease: Duration::ZERO, retention: Duration::ZERO, ..claim("n") };
    reserve(&store, nothing).await;
    reserve(&store, nothing).await;

    let past = SystemTime::UNIX_EPOCH;
    for _ in 0..2 {
        let outcome = store.reserve_or_fetch("alice", "p", [7; 32], past).await.unwrap();
        assert!(matches!(outcome, ReservationOutcome::Reserved { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn sweeping_takes_the_oldest_of_the_expired_and_nothing_else() {
    let store = store().await;
    for key in ["a", "b", "c", "live"] {
        reserve(&store, claim(key)).await;
    }
    sql(&store, "UPDATE cratestack_idempotency SET expires_at = unicode(key) WHERE key <> 'live'").await;
    assert_eq!(store.sweep(0).await, Ok(0));
    assert_eq!(store.sweep(2).await, Ok(2));
    assert_eq!(sql(&store, "UPDATE cratestack_idempotency SET attempt = 1 WHERE key IN ('c', 'live')").await, 2);
    assert_eq!(store.sweep(u32::MAX).await, Ok(1));
    assert_eq!(store.sweep(u32::MAX).await, Ok(0));
    assert_eq!(store.reserve(claim("live")).await, Ok(ClaimOutcome::InFlight));
}

#[tokio::test]
async fn a_status_that_is_none_is_not_recorded() {
    let store = store().await;
    let (token, _) = reserve(&store, claim("k")).await;
    for status in [0, 99, 1000] {
        let refused = store.complete("alice", "k", token, status, &[], &[]).await;
        assert!(matches!(refused, Err(StoreError::Internal(_))), "{refused:?}");
    }
    assert_eq!(store.reserve(claim("k")).await, Ok(ClaimOutcome::InFlight));
}

#[tokio::test]
async fn a_damaged_row_is_an_error_and_stays() {
    let store = store().await;
    let (token, _) = reserve(&store, claim("k")).await;
    finish(&store, "k", token, 200, b"paid").await;
    for (damage, sign) in [
        ("response_body = NULL", "response_body"),
        ("response_status = 7", "response_status is 7"),
        ("request_hash = x'00'", "request_hash has 1 bytes"),
    ] {
        sql(&store, &format!("UPDATE cratestack_idempotency SET {damage}")).await;
        match store.reserve(claim("k")).await {
            Err(StoreError::Codec(text)) => assert!(text.contains(sign), "{text}"),
            other => panic!("{damage}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn without_its_table_the_store_says_what_to_do() {
    let store = SqliteStore::new(memory().await);
    let missing = store.reserve(claim("k")).await;
    let Err(StoreError::Schema(text)) = missing else { panic!("{missing:?}") };
    for part in ["cratestack_idempotency", "SqliteStore::migrate()", "cratestack-schema ddl --dialect sqlite"] {
        assert!(text.contains(part), "{text}");
    }

    for version in 1..IDEMPOTENCY.latest() {
        sql(&store, &IDEMPOTENCY.ddl(Dialect::Sqlite, version).unwrap()).await;
        let old = store.reserve(claim("k")).await;
        assert!(matches!(old, Err(StoreError::Schema(_))), "{version}: {old:?}");
        let step = StepRecord { principal: "alice", key: "k", token: Uuid::nil(), name: "charge", value: b"" };
        let old = store.record_step(step).await;
        assert!(matches!(old, Err(StoreError::Schema(_))), "{version}: {old:?}");
        let old = store.steps("alice", "k", Uuid::nil()).await;
        assert!(matches!(old, Err(StoreError::Schema(_))), "{version}: {old:?}");
        if version == 1 {
            let old = store.renew("alice", "k", Uuid::nil(), HOUR, DAY).await;
            assert!(matches!(old, Err(StoreError::Schema(_))), "{old:?}");
        }
        sql(&store, "DROP TABLE cratestack_idempotency").await;
    }
}

#[tokio::test]
async fn migrating_upgrades_in_place() {
    let store = SqliteStore::new(memory().await);
    sql(&store, &IDEMPOTENCY.ddl(Dialect::Sqlite, 1).unwrap()).await;
    let row =
        "INSERT INTO cratestack_idempotency (principal_fingerprint, key, request_hash, reservation_id, expires_at)
        VALUES ('alice', 'k', zeroblob(32), zeroblob(16), 4102444800000)";
    sql(&store, row).await;
    for _ in 0..2 {
        store.migrate().await.unwrap();
        assert_eq!(store.reserve(Claim { request_hash: [0; 32], ..claim("k") }).await, Ok(ClaimOutcome::InFlight));
    }
    sql(&store, "DROP INDEX cratestack_idempotency_expires_idx").await;
    store.migrate().await.unwrap();
    sql(&store, "DROP INDEX cratestack_idempotency_expires_idx").await;
}

#[tokio::test]
async fn migrating_leaves_another_program_s_table_alone() {
    let store = SqliteStore::new(memory().await);
    sql(&store, "CREATE TABLE cratestack_idempotency (key TEXT)").await;
    let refused = store.migrate().await;
    let Err(StoreError::Schema(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("no column principal_fingerprint"), "{text}");
    sql(&store, "INSERT INTO cratestack_idempotency (key) VALUES ('still one column')").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_is_reserved_in_any_journal_mode() {
    for mode in [SqliteJournalMode::Wal, SqliteJournalMode::Delete] {
        let file = File::new();
        // Two pools stand for two processes.
        let pools = [file.pool(mode).await, file.pool(mode).await];
        let stores: Vec<_> = pools.iter().cloned().map(SqliteStore::new).collect();
        let starts: Vec<_> = stores
            .iter()
            .cycle()
            .take(20)
            .cloned()
            .map(|store| tokio::spawn(async move { store.migrate().await }))
            .collect();
        for start in starts {
            start.await.unwrap().unwrap();
        }
        for key in ["a", "b", "c"] {
            let tasks: Vec<_> = stores
                .iter()
                .cycle()
                .take(60)
                .cloned()
                .map(|store| tokio::spawn(async move { store.reserve(claim(key)).await.unwrap() }))
                .collect();
            let mut reserved = 0;
            for task in tasks {
                match task.await.unwrap() {
                    ClaimOutcome::Reserved { .. } => reserved += 1,
                    ClaimOutcome::InFlight => {}
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(reserved, 1, "{mode:?}");
        }
        for pool in pools {
            pool.close().await;
        }
    }
}

#[tokio::test]
async fn a_write_that_waits_too_long_is_unavailable() {
    let file = File::new();
    let store = SqliteStore::new(file.pool(SqliteJournalMode::Wal).await);
    store.migrate().await.unwrap();
    let options = SqliteConnectOptions::new().filename(&file.0).busy_timeout(Duration::from_millis(20));
    let hasty = SqliteStore::new(SqlitePoolOptions::new().connect_with(options).await.unwrap());

    let writing = store.database.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let refused = hasty.reserve(claim("k")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    writing.rollback().await.unwrap();
    reserve(&hasty, claim("k")).await;
}

#[tokio::test]
async fn a_closed_pool_is_unavailable() {
    let store = store().await;
    store.database.pool.close().await;
    assert!(matches!(store.sweep(1).await, Err(StoreError::Unavailable(_))));
}
