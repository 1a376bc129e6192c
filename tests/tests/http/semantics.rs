//! What the attribute and the handle can say beyond the table: parts, waiting, what is recorded, the reservation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts, Json, Path, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, body::Body, http::Request};
use cratestack_runtime::{EventKind, Idempotency, MemoryStore, OnStoreError, Reservation, Unrecorded, idempotent};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::app::{Answer, eventually, keyless, request, send};

#[derive(Clone, FromRef)]
struct Shop {
    idempotency: Idempotency,
    effects: Arc<AtomicUsize>,
    gate: Arc<Notify>,
    seen: Arc<Mutex<Vec<Reservation>>>,
}

impl Shop {
    fn over(idempotency: Idempotency) -> Self {
        Self { idempotency, effects: Arc::default(), gate: Arc::default(), seen: Arc::default() }
    }

    fn new() -> Self {
        Self::over(Idempotency::new(MemoryStore::new()))
    }

    fn effect(&self) -> usize {
        self.effects.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/orders/{shop}", post(order))
            .route("/transfers", post(transfer))
            .route("/success", post(success))
            .route("/unrecorded", post(unrecorded))
            .route("/wait", post(wait).get(wait))
            .route("/anyway", post(anyway))
            .route("/small", post(small))
            .route("/strict", post(strict))
            .route("/reserved", post(reserved).get(reserved))
            .route("/perhaps", post(perhaps).get(perhaps))
            .with_state(self.clone())
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        send(self.router(), request).await
    }
}

struct User {
    tenant: u64,
    name: String,
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let user = parts.headers.get("x-user").ok_or(StatusCode::UNAUTHORIZED)?;
        let (tenant, name) = user.to_str().unwrap().split_once('/').unwrap();
        Ok(Self { tenant: tenant.parse().unwrap(), name: name.to_owned() })
    }
}

#[derive(Deserialize)]
struct Order {
    request_id: Uuid,
    amount: i64,
    currency: String,
    #[serde(default)]
    sent_at: String,
}

#[idempotent(
    key = req.request_id,
    principal = (user.tenant, user.name),
    fingerprint = (req.amount, &req.currency, shop),
    state = Shop
)]
async fn order(
    State(state): State<Shop>,
    Path(shop): Path<String>,
    mut user: User,
    Json(req): Json<Order>,
) -> (StatusCode, String) {
    user.name.push_str(&req.sent_at);
    (StatusCode::CREATED, format!("{} {shop} {}", state.effect(), user.name))
}

fn order_of(user: &'static str, uri: &str, body: &serde_json::Value) -> Request<Body> {
    keyless(uri, &body.to_string(), |request| request.header("x-user", user))
}

const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

#[tokio::test]
async fn a_key_from_the_body_needs_no_header_and_compares_what_it_is_told_to() {
    let shop = Shop::new();
    let body = json!({"request_id": ID, "amount": 5, "currency": "EUR", "sent_at": " at noon"});
    let first = shop.send(order_of("1/ann", "/orders/a", &body)).await;
    assert_eq!((first.status, &first.body[..]), (StatusCode::CREATED, &b"1 a ann at noon"[..]));

    let reserialised = json!({"sent_at": " later", "currency": "EUR", "amount": 5, "request_id": ID});
    let again = shop.send(order_of("1/ann", "/orders/a?retry=2", &reserialised)).await;
    assert!(again.is_replay(), "what is not in the fingerprint may change, the query too");
    assert_eq!(again.body, first.body);

    let dearer = json!({"request_id": ID, "amount": 6, "currency": "EUR"});
    assert_eq!(shop.send(order_of("1/ann", "/orders/a", &dearer)).await.code(), "idempotency_key_conflict");
    assert_eq!(shop.send(order_of("1/ann", "/orders/b", &body)).await.code(), "idempotency_key_conflict");
    assert_eq!(shop.effects(), 1);

    assert!(!shop.send(order_of("2/ann", "/orders/a", &body)).await.is_replay(), "another tenant");
    assert!(!shop.send(order_of("1/bob", "/orders/a", &body)).await.is_replay(), "another user");
    let other = json!({"request_id": Uuid::nil(), "amount": 5, "currency": "EUR"});
    assert!(!shop.send(order_of("1/ann", "/orders/a", &other)).await.is_replay(), "another key");
    assert_eq!(shop.effects(), 4);

    let mut malformed = order_of("1/ann", "/orders/a", &body);
    malformed.headers_mut().insert("idempotency-key", "a,b".parse().unwrap());
    assert!(shop.send(malformed).await.is_replay(), "the header is not looked at");
    let mut nobody = order_of("1/ann", "/orders/a", &body);
    nobody.headers_mut().remove("x-user");
    assert_eq!(shop.send(nobody).await.status, StatusCode::UNAUTHORIZED, "extractors first");
    let mut unauthorised = order_of("1/ann", "/orders/a", &body);
    unauthorised.headers_mut().remove("authorization");
    assert!(shop.send(unauthorised).await.is_replay(), "with a principal of its own the default is not needed");
}

#[idempotent(principal = user.name)]
async fn transfer(State(state): State<Shop>, user: User) -> String {
    format!("{} by {}", state.effect(), user.name)
}

#[tokio::test]
async fn a_principal_of_the_handlers_own_survives_a_renewed_token() {
    let shop = Shop::new();
    let mut first = request("k1", "/transfers", "");
    first.headers_mut().insert("x-user", "1/ann".parse().unwrap());
    shop.send(first).await;
    let mut renewed = request("k1", "/transfers", "");
    renewed.headers_mut().insert("x-user", "1/ann".parse().unwrap());
    renewed.headers_mut().insert("authorization", "Bearer renewed".parse().unwrap());
    assert!(shop.send(renewed).await.is_replay());
}

#[idempotent(record = success)]
async fn success(State(state): State<Shop>, body: String) -> (StatusCode, String) {
    // Fails the first time, by the status that it is told.
    let count = state.effect();
    let status = if count == 1 { body.parse().unwrap() } else { 201 };
    (StatusCode::from_u16(status).unwrap(), count.to_string())
}

#[tokio::test]
async fn record_success_keeps_successes_and_redirects_only() {
    for (status, kept) in [("200", true), ("204", true), ("303", true), ("400", false), ("404", false), ("503", false)]
    {
        let shop = Shop::new();
        let first = shop.send(request("k1", "/success", status)).await;
        assert_eq!(first.status.as_str(), status);
        assert_eq!(shop.send(request("k1", "/success", status)).await.is_replay(), kept, "{status}");
        assert_eq!(shop.effects(), if kept { 1 } else { 2 }, "{status}");
        assert!(shop.send(request("k1", "/success", status)).await.is_replay(), "a success after a failure is kept");
    }
}

#[idempotent]
async fn unrecorded(State(state): State<Shop>) -> Response {
    match state.effect() {
        1 => (StatusCode::SERVICE_UNAVAILABLE, Unrecorded, "send it again").into_response(),
        count => count.to_string().into_response(),
    }
}

#[tokio::test]
async fn a_response_tagged_unrecorded_gives_the_key_back() {
    let shop = Shop::new();
    let first = shop.send(request("k1", "/unrecorded", "")).await;
    assert_eq!((first.status, &first.body[..]), (StatusCode::SERVICE_UNAVAILABLE, &b"send it again"[..]));
    let second = shop.send(request("k1", "/unrecorded", "")).await;
    assert_eq!((second.body.as_ref(), second.is_replay()), (&b"2"[..], false));
    assert!(shop.send(request("k1", "/unrecorded", "")).await.is_replay());
}

#[idempotent(wait = "5s")]
async fn wait(State(state): State<Shop>) -> String {
    let count = state.effect();
    state.gate.notified().await;
    count.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_waits_for_the_outcome_and_gives_up_at_its_deadline() {
    let shop = Shop::new();
    let ask = || {
        let shop = shop.clone();
        tokio::spawn(async move { shop.send(request("k1", "/wait", "")).await })
    };
    let first = ask();
    eventually("the first runs", async || shop.effects() == 1).await;
    let started = tokio::time::Instant::now();
    let impatient = ask();
    assert_eq!(impatient.await.unwrap().code(), "idempotency_request_in_flight");
    assert_eq!(started.elapsed().as_secs(), 5);
    let patient: Vec<_> = (0..20).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tokio::time::Instant::now();
    shop.gate.notify_one();
    for duplicate in patient {
        let answer = duplicate.await.unwrap();
        assert_eq!((answer.is_replay(), &answer.body[..]), (true, &b"1"[..]));
    }
    assert!(before.elapsed() < Duration::from_millis(50), "who waits in this process is woken, and does not poll");
    assert_eq!(first.await.unwrap().body, "1");
    assert_eq!(shop.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_duplicate_takes_a_released_key() {
    let shop = Shop::new();
    let ask = || {
        let shop = shop.clone();
        tokio::spawn(async move { shop.send(request("k1", "/wait", "")).await })
    };
    let first = ask();
    eventually("the first runs", async || shop.effects() == 1).await;
    let duplicates = [ask(), ask()];
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The row goes as a panic would make it go, and a waiter is there to take the key.
    shop.gate.notify_one();
    assert_eq!(first.await.unwrap().status, StatusCode::OK);
    for duplicate in duplicates {
        assert!(duplicate.await.unwrap().is_replay());
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_hangs_up_leaves_no_trace() {
    let shop = Shop::new();
    let first = tokio::spawn({
        let shop = shop.clone();
        async move { shop.send(request("k1", "/wait", "")).await }
    });
    eventually("the first runs", async || shop.effects() == 1).await;
    let waiter = tokio::spawn({
        let shop = shop.clone();
        async move { shop.send(request("k1", "/wait", "")).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    waiter.abort();
    tokio::time::sleep(Duration::from_millis(10)).await;
    // Of the two tasks that the engine had, the one of the waiter is gone.
    assert_eq!(shop.idempotency.shutdown(Duration::ZERO).await, 1);
    shop.gate.notify_one();
    first.await.unwrap();
    assert_eq!(shop.idempotency.shutdown(Duration::from_secs(1)).await, 0);
}

#[tokio::test]
async fn a_safe_method_runs_whatever_the_attribute_says() {
    let shop = Shop::new();
    shop.gate.notify_one();
    let mut get = request("k1", "/wait", "");
    *get.method_mut() = Method::GET;
    assert_eq!(shop.send(get).await.body, "1");
}

#[idempotent(on_store_error = run)]
async fn anyway(State(state): State<Shop>, reservation: Reservation) -> String {
    format!("{} {}", state.effect(), reservation.attempt())
}

struct Down;

#[cratestack_runtime::async_trait]
impl cratestack_runtime::IdempotencyStore for Down {
    async fn reserve_or_fetch(
        &self,
        _: &str,
        _: &str,
        _: [u8; 32],
        _: std::time::SystemTime,
    ) -> Result<cratestack_runtime::ReservationOutcome, cratestack_runtime::StoreError> {
        Err(cratestack_runtime::StoreError::Unavailable("down".to_owned()))
    }

    async fn complete(
        &self,
        _: &str,
        _: &str,
        _: Uuid,
        _: u16,
        _: &[u8],
        _: &[u8],
    ) -> Result<(), cratestack_runtime::StoreError> {
        unreachable!("nothing is reserved")
    }

    async fn release(&self, _: &str, _: &str, _: Uuid) -> Result<(), cratestack_runtime::StoreError> {
        unreachable!("nothing is reserved")
    }
}

#[tokio::test]
async fn a_failing_store_can_be_ignored_knowingly() {
    let shop = Shop::over(Idempotency::new(Down));
    assert_eq!(shop.send(request("k1", "/success", "200")).await.code(), "idempotency_store_unavailable");
    assert_eq!(shop.send(request("k1", "/anyway", "")).await.body, "1 0");
    let all = Shop::over(Idempotency::new(Down).on_store_error(OnStoreError::Run));
    assert_eq!(all.send(request("k1", "/success", "200")).await.status, StatusCode::OK);
    let refused = all.send(request("k1", "/strict", "")).await;
    assert_eq!(refused.code(), "idempotency_store_unavailable", "the attribute has the last word");
}

#[idempotent(on_store_error = refuse)]
async fn strict() {}

#[idempotent(body_limit = 8)]
async fn small(body: String) -> String {
    body
}

#[tokio::test]
async fn the_attributes_bound_replaces_the_handles_and_axums() {
    let shop = Shop::over(Idempotency::new(MemoryStore::new()).max_request_bytes(4));
    assert_eq!(shop.send(request("k1", "/small", "12345678")).await.body, "12345678");
    assert_eq!(shop.send(request("k2", "/small", "123456789")).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[idempotent]
async fn reserved(State(state): State<Shop>, reservation: Reservation) -> String {
    state.effect();
    state.seen.lock().unwrap().push(reservation.clone());
    reservation.key().to_owned()
}

#[idempotent(optional)]
async fn perhaps(reservation: Option<Reservation>) -> String {
    reservation.map_or_else(|| "unguarded".to_owned(), |reservation| reservation.key().to_owned())
}

#[tokio::test]
async fn a_reservation_tells_its_handler_what_it_runs_under() {
    let shop = Shop::new();
    assert_eq!(shop.send(request("\"k 1\"", "/reserved", "")).await.body, "k 1");
    shop.send(request("k2", "/reserved", "")).await;
    let mut bob = request("k2", "/reserved", "");
    bob.headers_mut().insert("authorization", "Bearer bob".parse().unwrap());
    shop.send(bob).await;
    let seen = std::mem::take(&mut *shop.seen.lock().unwrap());
    let [first, second, bobs] = &seen[..] else { panic!("three ran") };
    assert_eq!((first.attempt(), first.principal() == second.principal()), (1, true));
    assert_ne!(first.token(), second.token());
    let derived =
        [first.derive("charge"), first.derive("refund"), second.derive("charge"), bobs.derive("charge"), first.token()];
    let distinct: std::collections::HashSet<_> = derived.iter().collect();
    assert_eq!(distinct.len(), derived.len());
    assert_eq!(first.derive("charge"), first.derive("charge"));
    assert_eq!(first.derive("charge").get_version_num(), 8);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_derives_the_same_and_bears_another_token() {
    // No lease is renewed by a store that cannot: the first holder goes silent.
    let store = MemoryStore::new();
    let shop = Shop::over(Idempotency::new(store.clone()));
    shop.send(request("k1", "/reserved", "")).await;
    let first = shop.seen.lock().unwrap().pop().unwrap();
    // A fresh store is what a released key is: the same request again, in another process.
    let elsewhere = Shop::new();
    elsewhere.send(request("k1", "/reserved", "")).await;
    let second = elsewhere.seen.lock().unwrap().pop().unwrap();
    assert_eq!(first.derive("charge"), second.derive("charge"));
    assert_ne!(first.token(), second.token());
    let other = Shop::new();
    other.send(request("k1", "/reserved", "another request")).await;
    let third = other.seen.lock().unwrap().pop().unwrap();
    assert_ne!(first.derive("charge"), third.derive("charge"), "another request under a reused key");
}

#[tokio::test]
async fn a_reservation_is_refused_where_there_is_none_and_optional_where_told_so() {
    let shop = Shop::new();
    let without = |method: Method, uri: &str| {
        let mut request = keyless(uri, "", |request| request);
        *request.method_mut() = method;
        request
    };
    assert_eq!(shop.send(without(Method::POST, "/reserved")).await.code(), "idempotency_key_missing");
    assert_eq!(shop.send(request("a,b", "/reserved", "")).await.code(), "idempotency_key_invalid");
    assert_eq!(shop.send(without(Method::GET, "/reserved")).await.code(), "idempotency_no_reservation");
    assert_eq!(shop.effects(), 0);
    assert_eq!(shop.send(without(Method::POST, "/perhaps")).await.body, "unguarded");
    assert_eq!(shop.send(without(Method::GET, "/perhaps")).await.body, "unguarded");
    assert_eq!(shop.send(request("k1", "/perhaps", "")).await.body, "k1");
}

#[tokio::test]
async fn events_tell_what_happened_and_no_secret() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let idempotency = Idempotency::new(MemoryStore::new()).on_event({
        let told = Arc::clone(&told);
        move |event| {
            let seen = (event.kind, event.key.to_owned(), event.principal.to_owned(), event.attempt);
            told.lock().unwrap().push(seen);
            assert!(event.kind != EventKind::Conflict, "a hook that panics takes nothing along");
        }
    });
    let shop = Shop::over(idempotency);
    shop.send(request("k1", "/reserved", "")).await;
    shop.send(request("k1", "/reserved", "")).await;
    let conflict = shop.send(request("k1", "/reserved", "other")).await;
    assert_eq!(conflict.code(), "idempotency_key_conflict");
    shop.send(request("k2", "/unrecorded", "")).await;
    let told = told.lock().unwrap();
    let outcomes: Vec<_> = told.iter().map(|(outcome, ..)| outcome.as_str()).collect();
    assert_eq!(outcomes, ["reserved", "recorded", "replayed", "conflict", "reserved", "recorded"]);
    for (_, key, principal, _) in told.iter() {
        assert!(key.len() == 16 && principal.len() == 16, "{key} {principal}");
        assert!(!key.contains("k1") && !principal.contains("alice"));
    }
    assert_eq!(told[0].3, 1);
}

#[tokio::test]
async fn a_shutdown_lets_running_handlers_record() {
    let shop = Shop::new();
    let running = tokio::spawn({
        let shop = shop.clone();
        async move { shop.send(request("k1", "/wait", "")).await }
    });
    eventually("the handler runs", async || shop.effects() == 1).await;
    running.abort();
    assert_eq!(shop.idempotency.shutdown(Duration::from_millis(20)).await, 1, "the deadline is kept");
    let shutdown = tokio::spawn({
        let idempotency = shop.idempotency.clone();
        async move { idempotency.shutdown(Duration::from_secs(30)).await }
    });
    shop.gate.notify_one();
    assert_eq!(shutdown.await.unwrap(), 0);
    assert!(shop.send(request("k1", "/wait", "")).await.is_replay());
}
