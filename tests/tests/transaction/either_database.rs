//! What holds on either database.

use std::time::{Duration, SystemTime};

use axum::http::{Method, StatusCode};

use cratestack_runtime::{Claim, ClaimOutcome, TransactionalStore, hash_request};
use sqlx::Database;

use crate::bank::{ALICE, Bank, eventually, on_postgres, on_sqlite, post};

/// Each test, over each database; `$pool` connections. On Postgres also with as many of the store's own.
macro_rules! over_both {
    ($($name:ident($pool:literal),)*) => {
        mod postgres {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    let database = cratestack_tests::TestDatabase::create().await;
                    let pool = sqlx::postgres::PgPoolOptions::new().max_connections($pool);
                    let pool = pool.connect(database.url()).await.unwrap();
                    let store = cratestack_runtime::PostgresStore::new(pool.clone());
                    store.migrate().await.unwrap();
                    let bank = on_postgres::open(pool, store).await;
                    super::$name(&bank).await;
                }
            )*
        }
        mod postgres_on_connections_of_the_stores_own {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    let database = cratestack_tests::TestDatabase::create().await;
                    let pool = sqlx::postgres::PgPoolOptions::new().max_connections($pool);
                    let pool = pool.connect(database.url()).await.unwrap();
                    let store = cratestack_runtime::PostgresStore::new(pool.clone()).transaction_connections($pool);
                    store.migrate().await.unwrap();
                    let bank = on_postgres::open(pool, store).await;
                    // They are opened beside the first transactions.
                    for key in 0..10 {
                        bank.post("/untouched", &format!("warm-{key}")).await;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    bank.signs.outcomes.lock().unwrap().clear();
                    super::$name(&bank).await;
                }
            )*
        }
        mod sqlite {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    let options = sqlx::sqlite::SqliteConnectOptions::new()
                        .filename(folder.path().join("bank.db"))
                        .create_if_missing(true)
                        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
                    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections($pool);
                    let pool = pool.connect_with(options).await.unwrap();
                    let store = cratestack_runtime::SqliteStore::new(pool.clone());
                    store.migrate().await.unwrap();
                    let bank = on_sqlite::open(pool, store).await;
                    super::$name(&bank).await;
                }
            )*
        }
    };
}

over_both! {
    // How many connections the pool has.
    the_effect_and_its_record_are_one(4),
    an_error_undoes_its_writes_and_is_recorded(4),
    an_error_may_keep_its_writes(4),
    a_success_that_cannot_be_committed_is_never_told(1),
    what_is_not_recorded_is_not_written(4),
    all_but_5xx_undoes_a_5xx_and_frees_the_key(4),
    what_a_4xx_keeps_a_5xx_undoes_beside_commit_all(4),
    of_those_who_waited_for_a_5xx_one_commits(2),
    a_panic_undoes_everything_and_frees_the_key(4),
    a_handler_past_its_deadline_is_undone(4),
    a_duplicate_is_told_at_once_and_a_conflict_too(1),
    one_connection_is_enough_for_all(1),
    whoever_waits_gets_the_outcome(2),
    whoever_waits_runs_where_the_first_panicked(2),
    a_hang_up_changes_nothing_in_a_transaction(2),
    without_a_key_it_is_a_plain_transaction(2),
    a_transaction_that_is_lent_out_is_not_committed(2),
    what_the_handler_commits_itself_is_recorded_all_the_same(2),
    savepoints_of_the_handler_are_its_own(2),
    replays_do_not_stand_in_each_others_way(4),
    what_was_committed_here_is_replayed_without_asking(2),
    a_dead_reservation_is_its_requests_in_a_transaction_too(4),
    an_outcome_is_kept_from_its_transactions_beginning_on(4),
}

fn claim(body: &[u8], lease: Duration, retention: Duration) -> Claim<'static> {
    let request_hash = hash_request(&Method::POST, "/pay", None, body);
    Claim { principal: ALICE, key: "k", request_hash, lease, retention }
}

/// What the request before did is not known, so the key is no other request's before the row expires.
async fn a_dead_reservation_is_its_requests_in_a_transaction_too<S: TransactionalStore, DB: Database>(
    bank: &Bank<S, DB>,
) {
    let (short, long) = (Duration::from_millis(1), Duration::from_secs(600));
    let reserved = bank.store.reserve(claim(b"50", short, long)).await;
    assert!(matches!(reserved, Ok(ClaimOutcome::Reserved { attempt: 1, .. })), "{reserved:?}");
    tokio::time::sleep(Duration::from_millis(20)).await;
    let other = bank.post("/pay", "k").await;
    assert_eq!((other.status, other.code().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_conflict"));
    assert_eq!(bank.payments().await, 0);
    assert_eq!(post(&bank.router, "/pay", Some("k"), "50").await.status, StatusCode::CREATED);
    let other = bank.post("/pay", "k").await;
    assert_eq!((other.code().as_str(), bank.payments().await), ("idempotency_key_conflict", 1));
}

/// As a reservation's is kept from the reservation on.
async fn an_outcome_is_kept_from_its_transactions_beginning_on<S: TransactionalStore, DB: Database>(
    bank: &Bank<S, DB>,
) {
    let ttl = Duration::from_secs(24 * 60 * 60);
    let running = bank.hold("/pay", "k").await;
    let within = SystemTime::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    bank.signs.gate.notify_one();
    assert_eq!(running.await.unwrap().status, StatusCode::CREATED);
    let request_hash = hash_request(&Method::POST, "/pay?hold=true", None, b"100");
    let replayed = bank.store.reserve(Claim { request_hash, ..claim(b"100", ttl, ttl) }).await;
    let Ok(ClaimOutcome::Replay(record)) = replayed else { panic!("{replayed:?}") };
    assert!(record.created_at < within + Duration::from_millis(2), "{record:?}, {within:?}");
    assert_eq!(record.expires_at, record.created_at + ttl);
}

async fn the_effect_and_its_record_are_one<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    let first = bank.post("/pay", "k").await;
    assert_eq!((first.status, first.body.as_ref()), (StatusCode::CREATED, b"run 1".as_slice()));
    let again = bank.post("/pay", "k").await;
    assert!(again.is_replay());
    assert_eq!((again.status, again.body), (first.status, first.body));
    assert_eq!(bank.payments().await, 1);
    let other = post(&bank.router, "/pay", Some("k"), "200").await;
    assert_eq!((other.status, other.code().as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_conflict"));
    assert_eq!(bank.signs.outcomes(), ["reserved", "recorded", "replayed", "conflict"]);
}

async fn an_error_undoes_its_writes_and_is_recorded<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    for status in [402, 500] {
        let key = format!("k{status}");
        let path = format!("/pay?fail={status}");
        let failed = bank.post(&path, &key).await;
        assert_eq!((failed.status.as_u16(), failed.is_replay()), (status, false));
        let again = bank.post(&path, &key).await;
        assert_eq!((again.status.as_u16(), again.is_replay(), again.body), (status, true, failed.body));
    }
    assert_eq!((bank.payments().await, bank.signs.runs()), (0, 2));
}

async fn an_error_may_keep_its_writes<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    assert_eq!(bank.post("/keep?fail=402", "k").await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(bank.payments().await, 1);
    assert!(bank.post("/keep?fail=402", "k").await.is_replay());
    assert_eq!(bank.payments().await, 1);
}

async fn what_is_not_recorded_is_not_written<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    assert_eq!(bank.post("/success?fail=402", "k").await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(bank.post("/success?fail=402", "k").await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(bank.post("/unrecorded", "u").await.status, StatusCode::OK);
    assert_eq!(bank.post("/unrecorded", "u").await.status, StatusCode::OK);
    assert_eq!((bank.payments().await, bank.signs.runs()), (0, 4));
    assert_eq!(bank.post("/success", "k2").await.status, StatusCode::CREATED);
    assert!(bank.post("/success", "k2").await.is_replay());
    assert_eq!(bank.payments().await, 1);
}

async fn all_but_5xx_undoes_a_5xx_and_frees_the_key<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    for (n, status) in [500, 502, 503, 599].into_iter().enumerate() {
        let (path, key) = (format!("/all-but-5xx?fail={status}"), format!("k{status}"));
        for _ in 0..2 {
            let failed = bank.post(&path, &key).await;
            assert_eq!((failed.status.as_u16(), failed.is_replay()), (status, false));
            assert_eq!(bank.payments().await, i64::try_from(n).unwrap(), "nothing of it is left");
        }
        // Free for any request.
        let paid = bank.post("/all-but-5xx", &key).await;
        assert_eq!((paid.status, paid.is_replay()), (StatusCode::CREATED, false));
        assert!(bank.post("/all-but-5xx", &key).await.is_replay());
    }
    let (payments, runs) = (bank.payments().await, bank.signs.runs());
    assert_eq!((payments, runs), (4, 12));
    for status in [400, 402, 409, 422, 499] {
        let (path, key) = (format!("/all-but-5xx?fail={status}"), format!("k{status}"));
        let refused = bank.post(&path, &key).await;
        assert_eq!((refused.status.as_u16(), refused.is_replay()), (status, false));
        let again = bank.post(&path, &key).await;
        assert_eq!((again.status, again.is_replay(), again.body), (refused.status, true, refused.body));
    }
    assert_eq!((bank.payments().await, bank.signs.runs()), (payments, runs + 5));
    assert_eq!(bank.signs.outcomes()[..3], ["reserved", "released", "reserved"]);
}

async fn what_a_4xx_keeps_a_5xx_undoes_beside_commit_all<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    const PATH: &str = "/all-but-5xx/keep";
    let refused = format!("{PATH}?fail=402");
    assert_eq!(bank.post(&refused, "k402").await.status, StatusCode::PAYMENT_REQUIRED);
    assert!(bank.post(&refused, "k402").await.is_replay());
    assert_eq!((bank.payments().await, bank.signs.runs()), (1, 1), "an attempt that was refused is written down, once");
    let broken = format!("{PATH}?fail=503");
    for key in [Some("k503"), Some("k503"), None, None] {
        let failed = post(&bank.router, &broken, key, "100").await;
        assert_eq!((failed.status, failed.is_replay()), (StatusCode::SERVICE_UNAVAILABLE, false), "{key:?}");
        assert_eq!(bank.payments().await, 1, "nor is a 5xx without a key kept");
    }
    assert_eq!(post(&bank.router, &refused, None, "100").await.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(bank.post(PATH, "k503").await.status, StatusCode::CREATED);
    assert!(bank.post(PATH, "k503").await.is_replay());
    assert_eq!((bank.payments().await, bank.signs.runs()), (3, 7));
}

async fn of_those_who_waited_for_a_5xx_one_commits<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    const PATH: &str = "/all-but-5xx?hold=true&fail=503&once=true";
    let ask = || {
        let router = bank.router.clone();
        tokio::spawn(async move { post(&router, PATH, Some("k"), "100").await })
    };
    let first = ask();
    bank.signs.waiting.notified().await;
    let waiting: Vec<_> = (0..20).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    bank.signs.gate.notify_one();
    assert_eq!(first.await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    bank.signs.waiting.notified().await;
    assert_eq!(bank.payments().await, 0);
    bank.signs.gate.notify_one();
    let mut replays = 0;
    for answer in waiting {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, answer.body.as_ref()), (StatusCode::CREATED, b"run 2".as_slice()));
        replays += usize::from(answer.is_replay());
    }
    assert_eq!((replays, bank.payments().await, bank.signs.runs()), (19, 1, 2));
}

async fn a_panic_undoes_everything_and_frees_the_key<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    let failed = bank.post("/pay?panic=true", "k").await;
    assert_eq!(
        (failed.status, failed.code().as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "idempotency_handler_panicked")
    );
    assert_eq!(failed.retry(), (true, Some("5")), "nothing of it is left, so it may be sent again");
    assert_eq!(bank.payments().await, 0);
    // Free for any request.
    let other = post(&bank.router, "/pay", Some("k"), "200").await;
    assert_eq!(other.status, StatusCode::CREATED);
    assert_eq!(bank.payments().await, 1);
}

async fn a_handler_past_its_deadline_is_undone<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    let late = bank.post("/short?hold=true", "k").await;
    assert_eq!(
        (late.status, late.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "idempotency_transaction_timed_out")
    );
    assert_eq!(late.retry(), (true, Some("5")));
    assert_eq!(bank.payments().await, 0);
    assert_eq!(bank.post("/short?hold=false", "k").await.status, StatusCode::CREATED);
    assert_eq!(bank.payments().await, 1);
}

// With one connection the first request has it, so the others must be told without.
async fn a_duplicate_is_told_at_once_and_a_conflict_too<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    let running = bank.hold("/pay", "k").await;
    for _ in 0..50 {
        let duplicate = bank.post("/pay?hold=true", "k").await;
        assert_eq!(
            (duplicate.status, duplicate.code().as_str()),
            (StatusCode::CONFLICT, "idempotency_request_in_flight")
        );
    }
    let other = post(&bank.router, "/pay?hold=true", Some("k"), "200").await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    bank.signs.gate.notify_one();
    let first = running.await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(bank.post("/pay?hold=true", "k").await.body, first.body);
    assert_eq!(bank.payments().await, 1);
}

async fn one_connection_is_enough_for_all<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    let mut requests = tokio::task::JoinSet::new();
    for key in 0..20 {
        for _ in 0..10 {
            let router = bank.router.clone();
            requests.spawn(async move { (key, post(&router, "/pay", Some(&key.to_string()), "100").await) });
        }
    }
    let mut bodies = std::collections::HashMap::new();
    while let Some(answered) = requests.join_next().await {
        let (key, answer) = answered.unwrap();
        match answer.status {
            StatusCode::CREATED => assert_eq!(*bodies.entry(key).or_insert_with(|| answer.body.clone()), answer.body),
            status => assert_eq!(status, StatusCode::CONFLICT),
        }
    }
    assert_eq!((bodies.len(), bank.payments().await, bank.signs.runs()), (20, 20, 20));
}

async fn whoever_waits_gets_the_outcome<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    let running = bank.hold("/patient", "k").await;
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let router = bank.router.clone();
        waiters.spawn(async move { post(&router, "/patient?hold=true", Some("k"), "100").await });
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    // Nobody who waits has a connection.
    assert!(bank.payments().await == 0);
    bank.signs.gate.notify_one();
    let first = running.await.unwrap();
    while let Some(waiter) = waiters.join_next().await {
        let waiter = waiter.unwrap();
        assert!(waiter.is_replay());
        assert_eq!((waiter.status, &waiter.body), (first.status, &first.body));
    }
    assert_eq!((bank.payments().await, bank.signs.runs()), (1, 1));
}

async fn whoever_waits_runs_where_the_first_panicked<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    const PATH: &str = "/patient?hold=true&panic=true";
    let router = bank.router.clone();
    let first = tokio::spawn(async move { post(&router, PATH, Some("k"), "100").await });
    bank.signs.waiting.notified().await;
    let router = bank.router.clone();
    let second = tokio::spawn(async move { post(&router, PATH, Some("k"), "100").await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    bank.signs.gate.notify_one();
    assert_eq!(first.await.unwrap().code(), "idempotency_handler_panicked");
    bank.signs.waiting.notified().await;
    bank.signs.gate.notify_one();
    let run = second.await.unwrap();
    assert_eq!((run.status, run.body.as_ref()), (StatusCode::CREATED, b"run 2".as_slice()));
    assert_eq!(bank.payments().await, 1);
}

async fn a_hang_up_changes_nothing_in_a_transaction<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    let running = bank.hold("/pay", "k").await;
    running.abort();
    assert_eq!(bank.post("/pay?hold=true", "k").await.status, StatusCode::CONFLICT);
    bank.signs.gate.notify_one();
    eventually("the outcome is recorded", async || bank.post("/pay?hold=true", "k").await.is_replay()).await;
    assert_eq!((bank.payments().await, bank.signs.runs()), (1, 1));
}

async fn without_a_key_it_is_a_plain_transaction<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    let keyless = async |path: &str| post(&bank.router, path, None, "100").await.status;
    assert_eq!(keyless("/optional?panic=true").await, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(keyless("/optional?fail=402").await, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(bank.payments().await, 0);
    assert_eq!(keyless("/optional").await, StatusCode::CREATED);
    assert_eq!(keyless("/optional").await, StatusCode::CREATED);
    assert_eq!(bank.payments().await, 2);
    assert_eq!(bank.post("/optional", "k").await.status, StatusCode::CREATED);
    assert!(bank.post("/optional", "k").await.is_replay());
    assert_eq!(bank.payments().await, 3);
    assert_eq!(keyless("/pay").await, StatusCode::BAD_REQUEST);
}

async fn a_transaction_that_is_lent_out_is_not_committed<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    let lent = bank.post("/lent", "k").await;
    assert_eq!(
        (lent.status, lent.code().as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "idempotency_transaction_refused")
    );
    assert_eq!(lent.retry(), (false, None));
    bank.signs.gate.notify_one();
    eventually("the connection is back", async || bank.pool.num_idle() == bank.pool.size() as usize).await;
    assert_eq!(bank.payments().await, 0);
}

async fn what_the_handler_commits_itself_is_recorded_all_the_same<S: TransactionalStore, DB: Database>(
    bank: &Bank<S, DB>,
) {
    assert_eq!(bank.post("/ends", "k").await.status, StatusCode::CREATED);
    assert!(bank.post("/ends", "k").await.is_replay());
    assert_eq!((bank.payments().await, bank.signs.runs()), (1, 1));
}

async fn savepoints_of_the_handler_are_its_own<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    assert_eq!(bank.post("/nested", "k").await.status, StatusCode::CREATED);
    assert_eq!(bank.payments().await, 1);
    assert_eq!(bank.post("/untouched", "u").await.status, StatusCode::OK);
    assert!(bank.post("/untouched", "u").await.is_replay());
}

async fn replays_do_not_stand_in_each_others_way<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    bank.post("/pay", "k").await;
    let mut replays = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let router = bank.router.clone();
        replays.spawn(async move { post(&router, "/pay", Some("k"), "100").await });
    }
    while let Some(replay) = replays.join_next().await {
        assert!(replay.unwrap().is_replay());
    }
    assert_eq!(bank.payments().await, 1);
}

async fn a_success_that_cannot_be_committed_is_never_told<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    for key in [Some("k"), None] {
        let refused = post(&bank.router, "/leaks", key, "").await;
        assert_eq!(refused.code(), "idempotency_transaction_refused", "{key:?}");
        assert_eq!(bank.payments().await, 0);
    }
    assert_eq!(bank.post("/pay", "after").await.status, StatusCode::CREATED);
}

async fn what_was_committed_here_is_replayed_without_asking<S: TransactionalStore, DB: Database>(bank: &Bank<S, DB>) {
    // The first request lets the process look at the store's session, beside it.
    for n in 0..40 {
        let key = format!("k{n}");
        let first = bank.post("/pay", &key).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let mut taken = Vec::new();
        for _ in 0..bank.pool.options().get_max_connections() {
            taken.push(bank.pool.acquire().await.unwrap());
        }
        // The first to ask may find that the session was last looked at a second ago, and has that done.
        for _ in 0..3 {
            let asking = std::time::Duration::from_millis(200);
            if let Ok(again) = tokio::time::timeout(asking, bank.post("/pay", &key)).await {
                assert!(again.is_replay());
                assert_eq!((again.status, again.body), (first.status, first.body));
                return;
            }
        }
    }
    panic!("whoever asks again waits for a connection");
}
