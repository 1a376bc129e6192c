//! Duplicates that wait: they get the outcome at once, and cost the database next to nothing.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use cratestack_runtime::{Claim, ClaimOutcome, Completion, Idempotency, IdempotencyStore, PostgresStore, Watch};
use cratestack_tests::postgres::{PostgresOptions, PostgresServer};
use futures_util::future::{join_all, poll_immediate};
use sqlx::PgPool;
use uuid::Uuid;

use crate::databases::{Service, postgres, postgres_on, postgres_pool, sqlite};

async fn server_with_log() -> PostgresServer {
    PostgresOptions::new().log_statements().start().await
}

/// Statements that touch the table or its waiters, by what they begin with.
fn statements(server: &PostgresServer, of: &str) -> Vec<String> {
    let all = server.statements().into_iter().map(|statement| statement.text);
    all.filter(|text| text.contains("cratestack_idempotency") || text.contains("advisory"))
        .filter(|text| text.contains(of))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_waiters_cost_a_handful_of_statements() {
    let server = server_with_log().await;
    let (_database, pool, store) = postgres_on(&server, 10).await;
    let running = Service::over(Idempotency::new(store));
    let elsewhere = Service::over(Idempotency::new(PostgresStore::new(pool.clone())));
    let first = tokio::spawn({
        let running = running.clone();
        async move { running.post("/patient", "k1").await }
    });
    running.waiting.notified().await;
    let before = statements(&server, "").len();
    let waiters = join_all((0..500).map(|n| {
        // Half of them in the process that runs the request, half in another.
        let service = if n % 2 == 0 { running.clone() } else { elsewhere.clone() };
        tokio::spawn(async move {
            let (status, headers, body) = service.post("/patient", "k1").await;
            (status, headers.contains_key("idempotency-replayed"), body, Instant::now())
        })
    }));
    let waiters = tokio::spawn(waiters);
    tokio::time::sleep(Duration::from_millis(700)).await;
    running.gate.notify_one();
    let (status, _, body) = first.await.unwrap();
    let finished = Instant::now();
    assert_eq!((status, &body[..]), (StatusCode::CREATED, &b"effect 1"[..]));
    let mut slowest = Duration::ZERO;
    for waiter in waiters.await.unwrap() {
        let (status, replayed, outcome, at) = waiter.unwrap();
        assert_eq!((status, replayed, outcome), (StatusCode::CREATED, true, body.clone()));
        slowest = slowest.max(at.saturating_duration_since(finished));
    }
    let cost = statements(&server, "").len() - before;
    println!("500 waiters: {cost} statements; the last was answered {slowest:?} after the first request");
    assert!(cost <= 20, "{cost} statements");
    assert_eq!((running.effects(), elsewhere.effects()), (1, 0));
}

/// The safety net polls every two seconds, so an answer well before that came by notification. Of ten rounds one may be
/// slow, because this machine may be busy.
#[tokio::test(flavor = "multi_thread")]
async fn a_completion_elsewhere_wakes_who_waits_here() {
    let (_database, pool, store) = postgres(10).await;
    let there = Service::over(Idempotency::new(store));
    let here = Service::over(Idempotency::new(PostgresStore::new(pool.clone())));
    let mut quick = 0;
    for round in 0..10 {
        let key = format!("k{round}");
        let first = tokio::spawn({
            let (there, key) = (there.clone(), key.clone());
            async move { there.post("/patient", &key).await }
        });
        there.waiting.notified().await;
        let second = tokio::spawn({
            let (here, key) = (here.clone(), key.clone());
            async move { here.post("/patient", &key).await }
        });
        watched(&pool).await;
        there.gate.notify_one();
        first.await.unwrap();
        let finished = Instant::now();
        let (status, headers, _) = second.await.unwrap();
        assert_eq!((status, headers.contains_key("idempotency-replayed")), (StatusCode::CREATED, true));
        quick += usize::from(finished.elapsed() < Duration::from_millis(1_000));
    }
    assert!(quick >= 9, "only {quick} of 10 waiters were told");
}

/// Waits until a session holds the lock of one who waits.
async fn watched(pool: &PgPool) {
    for _ in 0..1_000 {
        let held: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND mode = 'ExclusiveLock'
             AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        if held {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody watches");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_nobody_waits_for_notifies_nobody() {
    let (_database, pool, store) = postgres(10).await;
    let service = Service::over(Idempotency::new(store));
    let mut listener = sqlx::postgres::PgListener::connect_with(&pool).await.unwrap();
    listener.listen("cratestack_idempotency").await.unwrap();
    for key in 0..20 {
        service.post("/pay", &format!("k{key}")).await;
    }
    let heard = tokio::time::timeout(Duration::from_millis(500), listener.recv()).await;
    assert!(heard.is_err(), "{heard:?}");
    // The same listener does hear a completion that another process waits for.
    let first = tokio::spawn({
        let service = service.clone();
        async move { service.post("/patient", "waited").await }
    });
    service.waiting.notified().await;
    let elsewhere = Service::over(Idempotency::new(PostgresStore::new(pool.clone())));
    let second = tokio::spawn(async move { elsewhere.post("/patient", "waited").await });
    watched(&pool).await;
    service.gate.notify_one();
    tokio::time::timeout(Duration::from_secs(10), listener.recv()).await.unwrap().unwrap();
    first.await.unwrap();
    assert_eq!(second.await.unwrap().0, StatusCode::CREATED);
}

/// A holder that died tells nobody: whoever waits takes over once its lease has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_takes_over_from_the_dead() {
    let (_database, pool, store) = postgres(10).await;
    let service = Service::over(Idempotency::new(store));
    let first = tokio::spawn({
        let service = service.clone();
        async move { service.post("/patient", "k1").await }
    });
    service.waiting.notified().await;
    // Its process is gone, as far as the database can tell: another token, and a lease that nobody renews.
    sqlx::query(
        "UPDATE cratestack_idempotency
         SET reservation_id = gen_random_uuid(), lease_expires_at = NOW() + INTERVAL '1 second'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let elsewhere = Service::over(Idempotency::new(PostgresStore::new(pool)));
    let second = tokio::spawn({
        let elsewhere = elsewhere.clone();
        async move { elsewhere.post("/patient", "k1").await }
    });
    elsewhere.waiting.notified().await;
    service.gate.notify_one();
    elsewhere.gate.notify_one();
    let statuses = [first.await.unwrap().0, second.await.unwrap().0];
    assert_eq!(statuses, [StatusCode::CONFLICT, StatusCode::CREATED], "the stale holder does not answer for the key");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_cannot_notify_the_poll_finds_it() {
    let (_folder, pool, store) = sqlite(4).await;
    let there = Service::over(Idempotency::new(store));
    let here = Service::over(Idempotency::new(cratestack_runtime::SqliteStore::new(pool)));
    let first = tokio::spawn({
        let there = there.clone();
        async move { there.post("/patient", "k1").await }
    });
    there.waiting.notified().await;
    let second = tokio::spawn({
        let here = here.clone();
        async move { here.post("/patient", "k1").await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    there.gate.notify_one();
    assert_eq!(first.await.unwrap().2, second.await.unwrap().2);
    assert_eq!(here.effects(), 0);
}

/// The listening session is cut off while somebody waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_listener_loses_no_waiter() {
    let (database, pool, store) = postgres(10).await;
    let there = Service::over(Idempotency::new(store));
    let here = Service::over(Idempotency::new(PostgresStore::new(postgres_pool(database.url(), 4).await)));
    let first = tokio::spawn({
        let there = there.clone();
        async move { there.post("/patient", "k1").await }
    });
    there.waiting.notified().await;
    let second = tokio::spawn({
        let here = here.clone();
        async move { here.post("/patient", "k1").await }
    });
    watched(&pool).await;
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2
         AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    .execute(&pool)
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    there.gate.notify_one();
    first.await.unwrap();
    let (status, headers, _) = second.await.unwrap();
    assert_eq!((status, headers.contains_key("idempotency-replayed")), (StatusCode::CREATED, true));
    assert_eq!(here.effects(), 0);
}

async fn reserve(store: &PostgresStore, key: &str) -> Uuid {
    let lease = Duration::from_secs(600);
    let claim = Claim { principal: "p", key, request_hash: [0; 32], lease, retention: lease };
    match store.reserve(claim).await.unwrap() {
        ClaimOutcome::Reserved { token, .. } => token,
        other => panic!("{other:?}"),
    }
}

async fn finish(store: &PostgresStore, key: &str, token: Uuid) {
    let completion =
        Completion { principal: "p", key, token, status: 201, headers: &[], body: &bytes::Bytes::from_static(b"done") };
    store.finish(completion).await.unwrap();
}

async fn watch(store: &PostgresStore, key: &str) -> Watch {
    store.watch("p", key).await.unwrap().expect("this server notifies")
}

/// The sessions that hold locks of those who wait, each as often as it holds one, in order.
async fn holders(pool: &PgPool) -> Vec<i32> {
    sqlx::query_scalar(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY pid",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn told(watch: &mut Watch) {
    tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.expect("is told");
}

async fn is_told(watch: &mut Watch) -> bool {
    poll_immediate(watch.changed()).await.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn four_thousand_awaited_keys_hold_256_locks_and_each_is_told() {
    const KEYS: usize = 4_000;
    let (database, pool, there) = postgres(4).await;
    let here = PostgresStore::new(postgres_pool(database.url(), 4).await);
    let keys: Vec<_> = (0..KEYS).map(|n| format!("k{n}")).collect();
    let tokens = join_all(keys.iter().map(|key| reserve(&there, key))).await;
    let mut watches = join_all(keys.iter().map(|key| watch(&here, key))).await;
    let held = holders(&pool).await.len();
    println!("{KEYS} awaited keys: {held} locks");
    assert!(held <= 256, "{held} locks for {KEYS} keys");
    let (now, later) = (0..KEYS / 2, KEYS / 2..KEYS);
    join_all(now.clone().map(|n| finish(&there, &keys[n], tokens[n]))).await;
    for n in now {
        told(&mut watches[n]).await;
    }
    for n in later.clone() {
        assert!(!is_told(&mut watches[n]).await, "{n} is woken for another key");
    }
    join_all(later.clone().map(|n| there.release("p", &keys[n], tokens[n]))).await;
    for n in later {
        told(&mut watches[n]).await;
    }
    for _ in 0..1_000 {
        if holders(&pool).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("locks are left though nobody waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_without_the_lock_is_told_too_and_takes_it_over() {
    let (database, pool, there) = postgres(4).await;
    let first = PostgresStore::new(postgres_pool(database.url(), 2).await);
    let second = PostgresStore::new(postgres_pool(database.url(), 2).await);
    // So many that the first process has every lock.
    let many: Vec<_> = (0..4_000).map(|n| format!("k{n}")).collect();
    let theirs = join_all(many.iter().map(|key| watch(&first, key))).await;
    let before = holders(&pool).await;
    assert_eq!(before.len(), 256);
    let (one, other) = (reserve(&there, "one").await, reserve(&there, "other").await);
    let mut watch_one = watch(&second, "one").await;
    let mut watch_other = watch(&second, "other").await;
    finish(&there, "one", one).await;
    told(&mut watch_one).await;
    // Tries again meanwhile, and has nothing to tell.
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(!is_told(&mut watch_other).await);
    assert_eq!(holders(&pool).await, before);

    drop(theirs);
    // What was completed since the first has left was notified to nobody, so the second is to look.
    told(&mut watch_other).await;
    let mut watch_other = watch(&second, "other").await;
    for _ in 0..1_000 {
        match holders(&pool).await.as_slice() {
            [holder] if !before.contains(holder) => break,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    assert_eq!(holders(&pool).await.len(), 1);
    assert!(!is_told(&mut watch_other).await);
    there.release("p", "other", other).await.unwrap();
    told(&mut watch_other).await;
}

/// A completion that is under way has the lock when the waiter tries.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_during_a_commit_is_told_after_it() {
    let (database, pool, there) = postgres(4).await;
    let here = PostgresStore::new(postgres_pool(database.url(), 2).await);
    sqlx::raw_sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER dawdling AFTER UPDATE ON cratestack_idempotency DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION dawdle()",
    )
    .execute(&pool)
    .await
    .unwrap();
    let token = reserve(&there, "k").await;
    let mut held_up = pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(7)").execute(&mut *held_up).await.unwrap();
    let finishing = tokio::spawn(async move { finish(&there, "k", token).await });
    let committing = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    while !sqlx::query_scalar::<_, bool>(committing).fetch_one(&pool).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It does not wait for the commit.
    let mut watch = watch(&here, "k").await;
    assert!(!finishing.is_finished());
    held_up.commit().await.unwrap();
    told(&mut watch).await;
    finishing.await.unwrap();
}
