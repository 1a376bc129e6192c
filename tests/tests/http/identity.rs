//! Whose a key is, and when a request has one: what names nobody is nobody's.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRef, FromRequestParts, Json, OptionalFromRequestParts, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::routing::post;
use cratestack_runtime::{Idempotency, MemoryStore, Reservation, idempotent};
use serde::Deserialize;
use serde_json::json;

use crate::app::{Answer, keyless, request, send};
use crate::logs::Log;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    effects: Arc<AtomicUsize>,
    principals: Arc<Mutex<Vec<String>>>,
}

impl App {
    fn over(idempotency: Idempotency) -> Self {
        Self { idempotency, effects: Arc::default(), principals: Arc::default() }
    }

    fn new() -> Self {
        Self::over(Idempotency::new(MemoryStore::new()))
    }

    fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let router = Router::new()
            .route("/user", post(of_user))
            .route("/tenant", post(of_tenant))
            .route("/orders", post(order))
            .route("/orders/perhaps", post(perhaps))
            .route("/orders/reserved", post(reserved))
            .route("/orders/nested", post(nested))
            .route("/events", post(event))
            .route("/payments", post(pay).get(pay))
            .route("/optional", post(pay_optionally))
            .with_state(self.clone());
        send(router, request).await
    }

    async fn post(&self, uri: &str, body: &serde_json::Value) -> Answer {
        self.send(keyless(uri, &body.to_string(), |request| request)).await
    }
}

async fn effect(effects: &AtomicUsize) -> (StatusCode, String) {
    (StatusCode::CREATED, (effects.fetch_add(1, Ordering::SeqCst) + 1).to_string())
}

/// What a middleware has found out about the caller, if anything.
struct User {
    name: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let name = parts.headers.get("x-user").map(|name| name.to_str().unwrap().to_owned());
        Ok(Self { name })
    }
}

#[idempotent(principal = user.name)]
async fn of_user(State(effects): State<Arc<AtomicUsize>>, user: User) -> (StatusCode, String) {
    drop(user);
    effect(&effects).await
}

#[idempotent(principal = (7, user.name))]
async fn of_tenant(State(effects): State<Arc<AtomicUsize>>, user: User) -> (StatusCode, String) {
    drop(user);
    effect(&effects).await
}

#[tokio::test]
async fn a_principal_that_comes_to_nothing_is_nobodys() {
    for uri in ["/user", "/tenant"] {
        let app = App::new();
        let of = |user: Option<&str>| {
            let mut request = request("k1", uri, "");
            if let Some(user) = user {
                request.headers_mut().insert("x-user", user.parse().unwrap());
            }
            app.send(request)
        };
        for nobody in [None, Some("")] {
            let refused = of(nobody).await;
            assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR, "{uri} {nobody:?}");
            assert_eq!(refused.code(), "idempotency_caller_unknown");
        }
        assert_eq!(app.effects(), 0, "{uri}");
        assert!(!of(Some("ann")).await.is_replay());
        assert!(of(Some("ann")).await.is_replay());
        assert!(!of(Some("bob")).await.is_replay());
    }
}

#[derive(Deserialize)]
struct Order {
    request_id: Option<String>,
}

#[idempotent(key = order.request_id)]
async fn order(State(effects): State<Arc<AtomicUsize>>, Json(order): Json<Order>) -> (StatusCode, String) {
    drop(order);
    effect(&effects).await
}

#[idempotent(optional, key = order.request_id)]
async fn perhaps(
    State(effects): State<Arc<AtomicUsize>>,
    reservation: Option<Reservation>,
    Json(order): Json<Order>,
) -> (StatusCode, String) {
    // One that is there has something to tell.
    let has_key = reservation.is_some_and(|reservation| !reservation.key().is_empty());
    assert_eq!(has_key, order.request_id.is_some_and(|id| !id.is_empty()));
    effect(&effects).await
}

#[idempotent(optional, key = order.request_id)]
async fn reserved(
    State(effects): State<Arc<AtomicUsize>>,
    reservation: Reservation,
    Json(order): Json<Order>,
) -> (StatusCode, String) {
    drop((reservation.key(), order));
    effect(&effects).await
}

/// An extractor of the service's that looks at the reservation later.
struct Audit(Option<Reservation>);

impl<S: Send + Sync> FromRequestParts<S> for Audit {
    type Rejection = axum::response::Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let reservation = <Reservation as OptionalFromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(Self(reservation))
    }
}

#[idempotent(optional, key = order.request_id)]
async fn nested(
    State(effects): State<Arc<AtomicUsize>>,
    audit: Audit,
    Json(order): Json<Order>,
) -> (StatusCode, String) {
    drop((audit.0.map(|reservation| reservation.key().to_owned()), order));
    effect(&effects).await
}

#[tokio::test]
async fn a_key_that_comes_to_nothing_is_a_missing_key() {
    let (nothing, empty, one) = (json!({}), json!({ "request_id": "" }), json!({ "request_id": "1" }));
    for uri in ["/orders", "/orders/reserved", "/orders/nested"] {
        let app = App::new();
        for body in [&nothing, &empty] {
            let missing = app.post(uri, body).await;
            assert_eq!(missing.status, StatusCode::BAD_REQUEST, "{uri} {body}");
            assert_eq!(missing.code(), "idempotency_key_missing");
        }
        assert_eq!(app.effects(), 0, "{uri}");
        assert!(!app.post(uri, &one).await.is_replay());
        assert!(app.post(uri, &one).await.is_replay(), "{uri}");
    }
}

#[tokio::test]
async fn without_a_key_it_runs_unguarded_where_that_is_optional() {
    let app = App::new();
    for (effects, body) in [json!({}), json!({}), json!({ "request_id": "" })].iter().enumerate() {
        let answer = app.post("/orders/perhaps", body).await;
        assert_eq!((answer.status, answer.is_replay()), (StatusCode::CREATED, false), "{body}");
        assert_eq!(app.effects(), effects + 1);
    }
    let one = json!({ "request_id": "1" });
    assert!(!app.post("/orders/perhaps", &one).await.is_replay());
    assert!(app.post("/orders/perhaps", &one).await.is_replay());
    assert_eq!(app.effects(), 4);
}

const PROVIDER: &str = "provider";

#[idempotent(key = event.request_id, principal = PROVIDER)]
async fn event(State(effects): State<Arc<AtomicUsize>>, Json(event): Json<Order>) -> (StatusCode, String) {
    drop(event);
    effect(&effects).await
}

#[tokio::test]
async fn a_constant_caller_is_one_wherever_it_calls_from() {
    let app = App::new();
    let from = |peer: &str| {
        let mut request = keyless("/events", r#"{"request_id":"evt_1"}"#, |request| request);
        request.headers_mut().remove("authorization");
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        request
    };
    assert!(!app.send(from("192.0.2.1:1")).await.is_replay());
    assert!(app.send(from("192.0.2.2:1")).await.is_replay());
    assert_eq!(app.effects(), 1);
}

#[idempotent]
async fn pay(State(app): State<App>, reservation: Option<Reservation>) -> (StatusCode, String) {
    app.principals.lock().unwrap().extend(reservation.map(|reservation| reservation.principal().to_owned()));
    effect(&app.effects).await
}

#[idempotent(optional)]
async fn pay_optionally(State(effects): State<Arc<AtomicUsize>>) -> (StatusCode, String) {
    effect(&effects).await
}

fn cookied(mut request: Request<Body>, authorization: Option<&'static str>) -> Request<Body> {
    let headers = request.headers_mut();
    headers.insert("cookie", "session=alice".parse().unwrap());
    headers.remove("authorization");
    if let Some(value) = authorization {
        headers.insert("authorization", value.parse().unwrap());
    }
    request.extensions_mut().insert(ConnectInfo("192.0.2.1:1".parse::<SocketAddr>().unwrap()));
    request
}

/// Behind one proxy the address is everybody's. It is one test, because the log speaks once a minute in a process.
#[tokio::test]
async fn a_cookie_without_authorization_is_nobody_to_the_default() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = crate::logs::listen(subscriber);
    let app = App::new();
    for authorization in [None, Some(""), Some(" ")] {
        let refused = app.send(cookied(request("k1", "/payments", ""), authorization)).await;
        assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(refused.code(), "idempotency_caller_unknown");
    }
    assert_eq!(app.effects(), 0);
    let text = log.text();
    assert_eq!(text.lines().filter(|line| line.contains("`Cookie`")).count(), 1, "{text}");
    assert!(text.contains("`principal = …`") && text.contains("`Idempotency::principal`"), "{text}");
    assert!(!text.contains("alice"), "{text}");

    // Nowhere else.
    let mut safe = cookied(request("k1", "/payments", ""), None);
    *safe.method_mut() = Method::GET;
    let mut said = cookied(request("k1", "/user", ""), None);
    said.headers_mut().insert("x-user", "ann".parse().unwrap());
    let unkeyed = cookied(keyless("/optional", "", |request| request), None);
    let known = cookied(request("k1", "/payments", ""), Some("Bearer alice"));
    for request in [safe, said, unkeyed, known] {
        assert_eq!(app.send(request).await.status, StatusCode::CREATED);
    }
    let identified = App::over(Idempotency::new(MemoryStore::new()).principal(|_| Some("ann".to_owned())));
    assert_eq!(identified.send(cookied(request("k1", "/payments", ""), None)).await.status, StatusCode::CREATED);
}

/// A gateway may add one of its own before the client's: the first is then everybody's.
#[tokio::test]
async fn two_authorizations_are_nobody_to_the_default() {
    let app = App::new();
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = crate::logs::listen(subscriber);
    for first in ["Bearer gateway", ""] {
        for client in ["Bearer ann", "Bearer bob"] {
            let mut request = request("k1", "/payments", r#"{"amount":100}"#);
            request.headers_mut().insert(AUTHORIZATION, first.parse().unwrap());
            request.headers_mut().append(AUTHORIZATION, client.parse().unwrap());
            assert_eq!(app.send(request).await.code(), "idempotency_caller_unknown");
        }
    }
    assert_eq!(app.effects(), 0);
    let text = log.text();
    assert_eq!(text.lines().filter(|line| line.contains("more than one `Authorization`")).count(), 1, "{text}");
    assert!(!text.contains("Bearer"), "{text}");
}

#[tokio::test]
async fn an_address_is_one_caller_however_it_is_written() {
    let app = App::new();
    let from = |peer: &str| {
        let mut request = request("k1", "/payments", "");
        request.headers_mut().remove("authorization");
        request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        request
    };
    assert!(!app.send(from("192.0.2.7:1")).await.is_replay());
    assert!(app.send(from("[::ffff:192.0.2.7]:1")).await.is_replay());
    assert!(!app.send(from("[::192.0.2.7]:1")).await.is_replay(), "another address");
}

/// The name that a client chose is what one of another's rows bears.
#[tokio::test]
async fn an_identity_of_ones_own_cannot_spell_anothers_digest() {
    let store = MemoryStore::new();
    let default = App::over(Idempotency::new(store.clone()));
    assert_eq!(default.send(request("k1", "/payments", "secret")).await.status, StatusCode::CREATED);
    let victim = default.principals.lock().unwrap().pop().unwrap();
    let named =
        |headers: &HeaderMap| headers.get("x-name").map(|name| String::from_utf8(name.as_bytes().to_vec()).unwrap());
    let identified = App::over(Idempotency::new(store).principal(move |request| named(&request.headers)));
    let as_ = |name: &str| {
        let mut request = request("k1", "/payments", "secret");
        request.headers_mut().insert("x-name", axum::http::HeaderValue::from_bytes(name.as_bytes()).unwrap());
        request
    };
    assert!(!identified.send(as_(&victim)).await.is_replay());
    // Its own row's name is no way in either.
    let marked = identified.principals.lock().unwrap().pop().unwrap();
    assert_ne!(marked, victim);
    assert!(!identified.send(as_(&marked)).await.is_replay());
    assert!(identified.send(as_(&victim)).await.is_replay(), "and it is the same name every time");
    assert!(!identified.send(as_("plain")).await.is_replay());
    assert_eq!(identified.principals.lock().unwrap().pop().unwrap(), "plain");
}

#[tokio::test]
async fn namespaces_do_not_meet() {
    let store = MemoryStore::new();
    let seen = Arc::<Mutex<Vec<(String, uuid::Uuid)>>>::default();
    let within = |namespace: Option<&str>| {
        let seen = Arc::clone(&seen);
        let handle = Idempotency::new(store.clone());
        let handle = match namespace {
            Some(namespace) => handle.namespace(namespace).unwrap(),
            None => handle,
        };
        Router::new().route("/pay", post(derives)).with_state(Seen { idempotency: handle, seen })
    };
    for namespace in [None, Some("orders"), Some("payments")] {
        let router = within(namespace);
        assert!(!send(router.clone(), request("k1", "/pay", "")).await.is_replay(), "{namespace:?}");
        assert!(send(router, request("k1", "/pay", "")).await.is_replay(), "{namespace:?}");
    }
    assert!(
        send(within(Some("orders")), request("k1", "/pay", "")).await.is_replay(),
        "another process of the service"
    );
    let seen = seen.lock().unwrap();
    let [(plain, of_plain), (orders, of_orders), (_, of_payments)] = &seen[..] else { panic!("three ran: {seen:?}") };
    assert_eq!(*orders, format!("orders→{plain}"));
    assert!(of_plain != of_orders && of_orders != of_payments && of_plain != of_payments);
    // Not set, nothing changes: rows and providers know these. Computed with Python's `hashlib`.
    assert_eq!(plain, "9d7cce461e4b2f090a3d686b4ae72d25ea18e93573d2772bb52ff548e6262aa3");
    assert_eq!(of_plain.to_string(), "c7342d6c-3b8a-83d1-9507-0c8c506d0955");
}

#[derive(Clone, FromRef)]
struct Seen {
    idempotency: Idempotency,
    seen: Arc<Mutex<Vec<(String, uuid::Uuid)>>>,
}

#[idempotent]
async fn derives(State(state): State<Seen>, reservation: Reservation) -> StatusCode {
    state.seen.lock().unwrap().push((reservation.principal().to_owned(), reservation.derive("charge")));
    StatusCode::CREATED
}
