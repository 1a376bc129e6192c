//! What an operator does by the handle, over each store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use axum::http::StatusCode;
use cratestack_runtime::records::{
    IfRunning, Principal, RecordQuery, RecordState, Removal, RemovalOutcome, RemovedAll,
};
use cratestack_runtime::{
    Claim, ClaimOutcome, ClockSample, Idempotency, IdempotencyStore, MemoryStore, PostgresStore, ReservationOutcome,
    SqliteStore, StoreError,
};
use cratestack_tests::ThreeMethods;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::databases::{Service, postgres, sqlite};

/// The caller of `Service::post`.
fn alice() -> Principal {
    Principal::authorization("Bearer alice")
}

/// Runs over each store; the stores of one call share their rows, and each is a process of its own.
macro_rules! over_each {
    ($test:ident) => {{
        let memory = MemoryStore::new();
        $test(|| Arc::new(memory.clone()) as Arc<dyn IdempotencyStore>).await;
        let (_folder, pool, _) = sqlite(8).await;
        $test(|| Arc::new(SqliteStore::new(pool.clone())) as Arc<dyn IdempotencyStore>).await;
        let (_database, pool, _) = postgres(8).await;
        $test(|| Arc::new(PostgresStore::new(pool.clone())) as Arc<dyn IdempotencyStore>).await;
    }};
}

async fn what_is_forgotten_runs_anew(connect: impl Fn() -> Arc<dyn IdempotencyStore>) {
    let processes = [Service::over(Idempotency::new(connect())), Service::over(Idempotency::new(connect()))];
    let whole = |at: usize| {
        let service = processes[at].clone();
        async move { service.post("/pay", "k").await }
    };
    let (_, _, first) = whole(0).await;
    for at in [0, 1].repeat(20) {
        assert_eq!(whole(at).await.2, first);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let here = &processes[0].idempotency;
    let shown = here.show(&alice(), "k").await.unwrap().unwrap();
    assert_eq!((shown.state, shown.status, shown.attempt), (RecordState::Finished, Some(201), 1));
    assert_eq!(shown.body_bytes, first.len() as u64);

    let refused = here.release(&alice(), "k", IfRunning::Remove).await;
    assert_eq!(refused, Ok(RemovalOutcome::Refused(RecordState::Finished)));
    let forgotten = here.forget_record(&alice(), "k", IfRunning::Refuse).await;
    assert_eq!(forgotten, Ok(RemovalOutcome::Removed(RecordState::Finished)));
    assert_eq!(here.show(&alice(), "k").await, Ok(None));
    // Soon elsewhere, too: another request under the key is a conflict while the old one's outcome is kept.
    let begun = Instant::now();
    processes[1].gate.notify_one();
    while processes[1].post("/held", "k").await.0 == StatusCode::UNPROCESSABLE_ENTITY {
        assert!(begun.elapsed() < Duration::from_secs(30), "it replays what was forgotten");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Here at once: nothing has been asked of this process since.
    assert_eq!(processes[0].post("/held", "k").await.0, StatusCode::CREATED, "the new outcome");
    assert_eq!(processes[0].effects() + processes[1].effects(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handle_forgets_runs_anew_in_each_process() {
    over_each!(what_is_forgotten_runs_anew);
}

async fn a_run_is_released(connect: impl Fn() -> Arc<dyn IdempotencyStore>) {
    let processes = [Service::over(Idempotency::new(connect())), Service::over(Idempotency::new(connect()))];
    let running = {
        let service = processes[0].clone();
        tokio::spawn(async move { service.post("/held", "k").await })
    };
    processes[0].waiting.notified().await;
    let operator = &processes[1].idempotency;
    let stuck = operator.list(&RecordQuery::new(10)).await.unwrap();
    assert_eq!(stuck.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["k"]);
    assert_eq!(stuck[0].principal, alice().as_str());
    let refused = operator.release(&alice(), "k", IfRunning::Refuse).await;
    assert_eq!(refused, Ok(RemovalOutcome::Refused(RecordState::InFlight)));
    let kept = operator.forget_principal(&alice(), IfRunning::Refuse).await.unwrap();
    assert_eq!((kept.removed, kept.running), (0, 1));
    assert_eq!(processes[1].post("/pay", "k").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let released = operator.release(&alice(), "k", IfRunning::Remove).await;
    assert_eq!(released, Ok(RemovalOutcome::Removed(RecordState::InFlight)));
    let (status, _, told) = processes[1].post("/pay", "k").await;
    assert_eq!((status, &told[..]), (StatusCode::CREATED, &b"effect 1"[..]));
    processes[0].gate.notify_one();
    let (status, _, body) = running.await.unwrap();
    assert_ne!(status, StatusCode::CREATED, "its outcome is recorded nowhere: {body:?}");
    assert_eq!(processes[1].post("/pay", "k").await.2, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_released_only_when_that_is_said() {
    over_each!(a_run_is_released);
}

async fn namespaces_are_apart(connect: impl Fn() -> Arc<dyn IdempotencyStore>) {
    let plain = Idempotency::new(connect());
    let handles = [plain.clone(), plain.clone().namespace("orders").unwrap(), plain.namespace("order").unwrap()];
    for handle in &handles {
        for key in ["a", "b"] {
            assert_eq!(Service::over(handle.clone()).post("/pay", key).await.0, StatusCode::CREATED);
        }
    }
    let any = RecordQuery::new(10).states([]);
    for handle in &handles {
        assert_eq!(handle.list(&any).await.unwrap().len(), 2);
    }
    let erased = handles[1].forget_principal(&alice(), IfRunning::Refuse).await.unwrap();
    assert_eq!((erased.removed, erased.running), (2, 0));
    assert_eq!(handles[1].list(&any).await.unwrap(), []);
    for handle in [&handles[0], &handles[2]] {
        assert!(handle.show(&alice(), "a").await.unwrap().is_some(), "another namespace's");
    }
    let erased = handles[0].forget_principal(&alice(), IfRunning::Refuse).await.unwrap();
    assert_eq!(erased.removed, 2);
    assert_eq!(handles[2].list(&any).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_sees_its_namespace_and_no_other() {
    over_each!(namespaces_are_apart);
}

/// More than one statement takes.
async fn many_are_erased(connect: impl Fn() -> Arc<dyn IdempotencyStore>) {
    let store = connect();
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    let reserving = (0..2_100).map(|n| {
        let store = Arc::clone(&store);
        async move {
            let key = format!("k{n}");
            let reserved = store.reserve_or_fetch("p", &key, [0; 32], tomorrow).await.unwrap();
            let ReservationOutcome::Reserved { token } = reserved else { panic!("{reserved:?}") };
            store.complete("p", &key, token, 200, &[], &[]).await.unwrap();
        }
    });
    futures_util::future::join_all(reserving).await;
    let handle = Idempotency::new(Arc::clone(&store));
    let erased = handle.forget_principal(&Principal::stored("p"), IfRunning::Refuse).await.unwrap();
    assert_eq!((erased.removed, erased.running), (2_100, 0));
    assert_eq!(handle.list(&RecordQuery::new(10).states([])).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_of_many_records_is_erased() {
    over_each!(many_are_erased);
}

/// A row that somebody else deletes meanwhile, as a sweep does, or takes, makes a statement come to fewer than it may
/// delete. That does not mean that there are no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_erased_whole_whatever_others_do_to_the_rows() {
    let (_database, pool, store) = postgres(8).await;
    let rows = "INSERT INTO cratestack_idempotency (principal_fingerprint, key, request_hash, reservation_id,
            response_status, response_headers, response_body, expires_at)
        SELECT 'p', 'k' || lpad(n::text, 4, '0'), decode(repeat('00', 32), 'hex'), gen_random_uuid(), 200, '', '',
            NOW() + INTERVAL '1 day'
        FROM generate_series(1, 2500) AS n";
    sqlx::query(rows).execute(&pool).await.unwrap();
    let mut others = pool.begin().await.unwrap();
    for meanwhile in [
        "DELETE FROM cratestack_idempotency WHERE key IN ('k0007', 'k1500')",
        "UPDATE cratestack_idempotency SET response_body = 'changed' WHERE key IN ('k0100', 'k1600')",
        "UPDATE cratestack_idempotency SET response_status = NULL, lease_expires_at = expires_at
        WHERE key IN ('k0200', 'k1700')",
    ] {
        assert_eq!(sqlx::query(meanwhile).execute(&mut *others).await.unwrap().rows_affected(), 2);
    }

    let handle = Idempotency::new(store);
    let erasing = tokio::spawn({
        let handle = handle.clone();
        async move { handle.forget_principal(&Principal::stored("p"), IfRunning::Refuse).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&pool).await.unwrap() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it waits for nobody");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    others.commit().await.unwrap();
    let erased = erasing.await.unwrap().unwrap();
    let left = handle.list(&RecordQuery::new(10).states([])).await.unwrap();
    let left: Vec<_> = left.iter().map(|record| record.key.as_str()).collect();
    assert_eq!(left, ["k0200", "k1700"], "{erased:?}");
    assert_eq!((erased.removed, erased.running), (2_496, 2));
}

/// A store whose answer to a reservation comes late, once it is told to.
struct Late {
    inner: SqliteStore,
    delays_next: AtomicBool,
    answered: Notify,
    gate: Notify,
}

#[async_trait]
impl IdempotencyStore for Late {
    async fn reserve_or_fetch(
        &self,
        principal: &str,
        key: &str,
        request_hash: [u8; 32],
        expires_at: SystemTime,
    ) -> Result<ReservationOutcome, StoreError> {
        self.inner.reserve_or_fetch(principal, key, request_hash, expires_at).await
    }

    async fn complete(
        &self,
        principal: &str,
        key: &str,
        token: Uuid,
        status: u16,
        headers: &[u8],
        body: &[u8],
    ) -> Result<(), StoreError> {
        self.inner.complete(principal, key, token, status, headers, body).await
    }

    async fn release(&self, principal: &str, key: &str, token: Uuid) -> Result<(), StoreError> {
        self.inner.release(principal, key, token).await
    }

    async fn reserve(&self, claim: Claim<'_>) -> Result<ClaimOutcome, StoreError> {
        let outcome = self.inner.reserve(claim).await;
        if self.delays_next.swap(false, Ordering::SeqCst) {
            self.answered.notify_one();
            self.gate.notified().await;
        }
        outcome
    }

    async fn now(&self) -> Result<Option<ClockSample>, StoreError> {
        self.inner.now().await
    }

    async fn remove(&self, principal: &str, key: &str, removal: Removal) -> Result<RemovalOutcome, StoreError> {
        self.inner.remove(principal, key, removal).await
    }

    async fn remove_all_of(&self, principal: &str, removal: Removal, limit: u32) -> Result<RemovedAll, StoreError> {
        self.inner.remove_all_of(principal, removal, limit).await
    }
}

/// A question that was asked before, and is answered after, is answered to who asked; this process replays it to nobody
/// else.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_before_it_was_forgotten_is_told_to_nobody_after() {
    for erases in [false, true] {
        let (_folder, pool, store) = sqlite(8).await;
        let there = Service::over(Idempotency::new(store));
        let inner = SqliteStore::new(pool);
        let store = Late { inner, delays_next: AtomicBool::new(false), answered: Notify::new(), gate: Notify::new() };
        let store = Arc::new(store);
        let here = Service::over(Idempotency::new(Arc::clone(&store)));
        // The first outcome that could be kept lets the process look at the store's clock.
        here.post("/pay", "another").await;
        tokio::time::sleep(Duration::from_millis(200)).await;

        let (_, _, first) = there.post("/pay", "k").await;
        store.delays_next.store(true, Ordering::SeqCst);
        let asking = tokio::spawn({
            let here = here.clone();
            async move { here.post("/pay", "k").await }
        });
        store.answered.notified().await;
        if erases {
            let erased = here.idempotency.forget_principal(&alice(), IfRunning::Refuse).await.unwrap();
            assert_eq!(erased.removed, 2);
        } else {
            let forgotten = here.idempotency.forget_record(&alice(), "k", IfRunning::Refuse).await;
            assert_eq!(forgotten, Ok(RemovalOutcome::Removed(RecordState::Finished)));
        }
        let after = tokio::spawn({
            let here = here.clone();
            async move { here.post("/pay", "k").await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        store.gate.notify_one();
        let (_, headers, told) = asking.await.unwrap();
        assert!(headers.contains_key("idempotency-replayed") && told == first, "it was asked for before");
        let (status, headers, _) = after.await.unwrap();
        assert_eq!(status, StatusCode::CREATED);
        assert!(!headers.contains_key("idempotency-replayed"), "it was forgotten here: {headers:?}");
        assert_eq!(here.effects(), 2);
    }
}

/// However late the store's answer to a question comes: it is of the moment when it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_before_it_was_forgotten_elsewhere_is_told_to_nobody_after_a_second() {
    let (_folder, pool, store) = sqlite(8).await;
    let there = Service::over(Idempotency::new(store));
    let inner = SqliteStore::new(pool);
    let store = Late { inner, delays_next: AtomicBool::new(true), answered: Notify::new(), gate: Notify::new() };
    let store = Arc::new(store);
    let here = Service::over(Idempotency::new(Arc::clone(&store)));
    let post = || {
        let here = here.clone();
        tokio::spawn(async move { here.post("/pay", "k").await })
    };

    let (_, _, first) = there.post("/pay", "k").await;
    let asking = post();
    store.answered.notified().await;
    let beside = post();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let forgotten = there.idempotency.forget_record(&alice(), "k", IfRunning::Refuse).await;
    assert_eq!(forgotten, Ok(RemovalOutcome::Removed(RecordState::Finished)));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let after = post();
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.gate.notify_one();
    for before in [asking, beside] {
        let (_, headers, told) = before.await.unwrap();
        assert!(headers.contains_key("idempotency-replayed") && told == first, "it was asked for before");
    }
    let (status, headers, _) = after.await.unwrap();
    assert_eq!(status, StatusCode::CREATED);
    assert!(!headers.contains_key("idempotency-replayed"), "it was forgotten long ago: {headers:?}");
    assert_eq!(here.effects(), 1);
}

#[tokio::test]
async fn a_store_without_these_methods_says_so() {
    let handle = Idempotency::new(ThreeMethods::default());
    let whose = alice();
    let errors = [
        handle.show(&whose, "k").await.unwrap_err(),
        handle.list(&RecordQuery::new(1)).await.unwrap_err(),
        handle.release(&whose, "k", IfRunning::Refuse).await.unwrap_err(),
        handle.forget_record(&whose, "k", IfRunning::Refuse).await.unwrap_err(),
        handle.forget_principal(&whose, IfRunning::Refuse).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Unsupported(_)), "{error:?}");
        assert!(error.to_string().contains("does not implement that method of `IdempotencyStore`"), "{error}");
    }
}
