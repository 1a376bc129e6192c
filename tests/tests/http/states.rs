//! Every kind of state that a router has, and what stands in a handler's arguments, on real servers.

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{
    DefaultBodyLimit, FromRef, FromRequest, FromRequestParts, Json, Path, Query, Request, State,
    rejection::JsonRejection,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use cratestack_runtime::{Idempotency, MAX_BODY_BYTES, MemoryStore, PostgresStore, SqliteStore, Tx, idempotent};
use cratestack_tests::{Client, TestDatabase};
use serde_json::{Value, json};
use sqlx::{Postgres, Sqlite};
use tower::ServiceExt as _;

use crate::server::serve;

/// Sends eight requests of one key at once, and then one more, and checks that one of all has run.
pub async fn runs_once(client: &Client, path: &str, effects: &AtomicUsize) {
    let before = effects.load(Ordering::SeqCst);
    let request = client.post(path).key("k").header("authorization", "Bearer alice").json(&json!({ "a": 1 }));
    let answers = futures_util::future::join_all((0..8).map(|_| request.send())).await;
    let fresh = answers.into_iter().map(Result::unwrap).filter(|answer| answer.status == 200 && !answer.is_replay());
    assert_eq!(fresh.count(), 1, "{path}");
    let again = request.send().await.unwrap();
    assert!(again.is_replay(), "{path}: {}", again.status);
    assert_eq!(effects.load(Ordering::SeqCst) - before, 1, "{path}");
}

#[derive(Clone, Default)]
pub struct Effects(pub Arc<AtomicUsize>);

impl Effects {
    pub fn happen(&self) -> String {
        format!("effect {}", self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// It is not `Clone`.
struct App {
    idempotency: Idempotency,
    effects: Effects,
}

impl App {
    fn new(effects: &Effects) -> Self {
        Self { idempotency: Idempotency::new(MemoryStore::new()), effects: effects.clone() }
    }
}

impl FromRef<App> for Idempotency {
    fn from_ref(app: &App) -> Self {
        app.idempotency.clone()
    }
}

#[idempotent]
async fn of_arc(State(app): State<Arc<App>>, _: Json<Value>) -> String {
    app.effects.happen()
}

#[idempotent]
#[allow(clippy::redundant_allocation)]
async fn of_two_arcs(State(app): State<Arc<Arc<App>>>) -> String {
    app.effects.happen()
}

/// Another's, which nobody can give a field.
#[derive(Clone)]
struct Plain {
    idempotency: Idempotency,
    pool: Effects,
}

impl FromRef<Plain> for Idempotency {
    fn from_ref(plain: &Plain) -> Self {
        plain.idempotency.clone()
    }
}

impl FromRef<Plain> for Effects {
    fn from_ref(plain: &Plain) -> Self {
        plain.pool.clone()
    }
}

#[idempotent(state = Plain)]
async fn of_part(State(effects): State<Effects>, _: String) -> String {
    effects.happen()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_state_provides_the_handle() {
    let effects = Effects::default();
    let app = Arc::new(App::new(&effects));
    let plain = Plain { idempotency: app.idempotency.clone(), pool: effects.clone() };
    // The handle alone: what the handler has besides comes with the closure of a layer.
    let alone = effects.clone();
    let of_handle = post({
        #[idempotent]
        async fn of_handle(axum::Extension(effects): axum::Extension<Effects>) -> String {
            effects.happen()
        }
        of_handle
    });
    let router = Router::new()
        .route("/arc", post(of_arc).get(|| async { "bare" }))
        .nest("/nested", Router::new().route("/arc", post(of_arc)))
        .route("/method", post(of_part).with_state(plain.clone()))
        .merge(Router::new().route("/part", post(of_part)).with_state(plain.clone()))
        .nest("/own", Router::new().route("/part", post(of_part)).with_state(plain.clone()))
        .nest_service("/service", Router::new().route("/part", post(of_part)).with_state::<()>(plain))
        .merge(Router::new().route("/arcs", post(of_two_arcs)).with_state(Arc::new(Arc::clone(&app))))
        .merge(
            Router::new()
                .route("/handle", of_handle)
                .with_state(Idempotency::new(MemoryStore::new()))
                .layer(axum::Extension(alone)),
        )
        .fallback_service(post(of_arc).with_state(Arc::clone(&app)))
        .with_state(app);
    let client = serve(router).await;
    for path in
        ["/arc", "/nested/arc", "/method", "/part", "/own/part", "/service/part", "/arcs", "/handle", "/no/such/path"]
    {
        // All but one share a handle, so a key is one caller's at one path.
        let request = client.get(path).send().await.unwrap();
        assert!(request.status.as_u16() < 500, "{path}");
        let key = path.to_owned();
        let before = effects.0.load(Ordering::SeqCst);
        let request = client.post(path).key(&key).header("authorization", "Bearer alice").json(&json!({ "a": 1 }));
        let answers = futures_util::future::join_all((0..8).map(|_| request.send())).await;
        let fresh = answers.into_iter().map(Result::unwrap).filter(|it| it.status == 200 && !it.is_replay()).count();
        assert_eq!(fresh, 1, "{path}");
        assert!(request.send().await.unwrap().is_replay(), "{path}");
        assert_eq!(effects.0.load(Ordering::SeqCst) - before, 1, "{path}");
    }
}

/// Handlers of both kinds and both databases, of one state in an `Arc`.
struct Ledgers {
    on_postgres: Idempotency<PostgresStore>,
    on_sqlite: Idempotency<SqliteStore>,
    effects: Effects,
}

impl FromRef<Ledgers> for Idempotency<PostgresStore> {
    fn from_ref(ledgers: &Ledgers) -> Self {
        ledgers.on_postgres.clone()
    }
}

impl FromRef<Ledgers> for Idempotency<SqliteStore> {
    fn from_ref(ledgers: &Ledgers) -> Self {
        ledgers.on_sqlite.clone()
    }
}

impl FromRef<Ledgers> for Idempotency {
    fn from_ref(ledgers: &Ledgers) -> Self {
        ledgers.on_postgres.clone().into()
    }
}

#[idempotent(transaction, wait = "10s")]
async fn on_postgres(
    mut tx: Tx<Postgres>,
    State(ledgers): State<Arc<Ledgers>>,
    doc: Doc,
) -> Result<String, StatusCode> {
    let insert = sqlx::query("INSERT INTO payments (body) VALUES ($1)").bind(doc.0);
    insert.execute(&mut *tx).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(ledgers.effects.happen())
}

#[idempotent(transaction, wait = "10s")]
async fn on_sqlite(mut tx: Tx<Sqlite>, State(ledgers): State<Arc<Ledgers>>, doc: Doc) -> Result<String, StatusCode> {
    let insert = sqlx::query("INSERT INTO payments (body) VALUES ($1)").bind(doc.0);
    insert.execute(&mut *tx).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(ledgers.effects.happen())
}

#[idempotent]
async fn leased(State(ledgers): State<Arc<Ledgers>>, _: Doc) -> String {
    ledgers.effects.happen()
}

/// A last argument that implements `FromRequest` under a marker of its own.
struct Doc(String);

impl<S: Sync> FromRequest<S, Body> for Doc {
    type Rejection = (StatusCode, &'static str);

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        if request.headers().contains_key("x-reject") {
            return Err((StatusCode::IM_A_TEAPOT, "no document"));
        }
        let body = to_bytes(request.into_body(), 1000).await.map_err(|_| (StatusCode::BAD_REQUEST, "no body"))?;
        Ok(Self(String::from_utf8_lossy(&body).into_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_in_an_arc_provides_the_handles_of_transactions() {
    let database = TestDatabase::create().await;
    let on_postgres_pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("db")).create_if_missing(true);
    let on_sqlite_pool = sqlx::SqlitePool::connect_with(file).await.unwrap();
    let (postgres, sqlite) = (PostgresStore::new(on_postgres_pool.clone()), SqliteStore::new(on_sqlite_pool.clone()));
    postgres.migrate().await.unwrap();
    sqlite.migrate().await.unwrap();
    sqlx::query("CREATE TABLE payments (body TEXT)").execute(&on_postgres_pool).await.unwrap();
    sqlx::query("CREATE TABLE payments (body TEXT)").execute(&on_sqlite_pool).await.unwrap();
    let effects = Effects::default();
    let ledgers = Ledgers {
        on_postgres: Idempotency::transactional(postgres),
        on_sqlite: Idempotency::transactional(sqlite),
        effects: effects.clone(),
    };
    let router = Router::new()
        .route("/postgres", post(on_postgres))
        .nest("/nested", Router::new().route("/sqlite", post(on_sqlite)))
        .route("/leased", get(|_: State<Arc<Ledgers>>| async {}).post(leased))
        .with_state(Arc::new(ledgers));
    let client = serve(router).await;
    runs_once(&client, "/postgres", &effects.0).await;
    runs_once(&client, "/nested/sqlite", &effects.0).await;
    // Of one store, so the key is another request's.
    let taken = client.post("/leased").key("k").header("authorization", "Bearer alice").send().await.unwrap();
    assert_eq!(taken.code(), "idempotency_key_conflict");
    let written: String = sqlx::query_scalar("SELECT body FROM payments").fetch_one(&on_postgres_pool).await.unwrap();
    assert_eq!(written, r#"{"a":1}"#);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM payments").fetch_one(&on_postgres_pool).await.unwrap();
    assert_eq!(count, 1);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM payments").fetch_one(&on_sqlite_pool).await.unwrap();
    assert_eq!(count, 1);
}

struct Refused;

impl FromRequestParts<Idempotency> for Refused {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Idempotency) -> Result<Self, Response> {
        if parts.headers.contains_key("x-refuse") {
            return Err((StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")], "who is it?").into_response());
        }
        // Those after it see what it has left.
        parts.extensions.insert(7_u8);
        Ok(Self)
    }
}

/// The handle of those that do not take it from the state.
static HANDLE: LazyLock<Idempotency> = LazyLock::new(|| Idempotency::new(MemoryStore::new()));

/// The same handler, bare and guarded, under the state's handle and under another.
macro_rules! twin {
    ($name:ident($($argument:pat => $ty:ty),*) -> $returned:ty $body:block) => {
        mod $name {
            use super::*;

            pub async fn bare($($argument: $ty),*) -> $returned $body

            #[idempotent]
            pub async fn guarded($($argument: $ty),*) -> $returned $body

            #[idempotent(handle = *HANDLE)]
            pub async fn handled($($argument: $ty),*) -> $returned $body
        }
    };
}

twin!(json_body(_ => Refused, Path(id) => Path<u32>, Json(body) => Json<u32>) -> String { format!("{id} {body}") });
twin!(form(Query(query) => Query<std::collections::BTreeMap<String, u8>>, Form(body) => Form<std::collections::BTreeMap<String, u8>>) -> String {
    format!("{query:?} {body:?}")
});
twin!(optional(id => Result<Path<u32>, axum::extract::rejection::PathRejection>, body => Result<Json<u32>, JsonRejection>)
    -> String { format!("{:?} {:?}", id.is_ok(), body.map(|body| body.0).map_err(|error| error.body_text())) });
twin!(document(_ => Refused, axum::Extension(left) => axum::Extension<u8>, doc => Doc) -> String {
    format!("{left} {}", doc.0)
});
twin!(text(headers => HeaderMap, body => String) -> String { format!("{} {body}", headers.contains_key("x-refuse")) });
twin!(parts_alone(_ => Refused, Path(id) => Path<u32>) -> String { id.to_string() });
twin!(whole(request => Request) -> String {
    let left = request.extensions().get::<u8>().copied();
    format!("{left:?} {:?}", to_bytes(request.into_body(), 1000).await.unwrap())
});

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_what_axum_alone_answers() {
    macro_rules! routes {
        ($($name:ident),*) => {
            Router::new()
                $(.route(concat!("/", stringify!($name), "/bare/{id}"), post($name::bare)))*
                $(.route(concat!("/", stringify!($name), "/guarded/{id}"), post($name::guarded)))*
                $(.route(concat!("/", stringify!($name), "/handled/{id}"), post($name::handled)))*
        };
    }
    const NAMES: [&str; 7] = ["json_body", "form", "optional", "document", "text", "parts_alone", "whole"];
    let router = routes!(json_body, form, optional, document, text, parts_alone, whole);
    let client = serve(router.with_state(Idempotency::new(MemoryStore::new()))).await;
    let headers: [&[(&str, &str)]; 5] = [
        &[],
        &[("content-type", "application/json")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/json"), ("x-refuse", "1")],
        &[("content-type", "application/json"), ("x-reject", "1")],
    ];
    let (mut compared, mut rejected) = (0, 0);
    for name in NAMES {
        for headers in headers {
            for id in ["7", "x", "7?0=1"] {
                for body in [&b"7"[..], b"a=1", b"{", b"", b"\xff"] {
                    let key = compared.to_string();
                    let case = format!("{name}, {headers:?}, {id}, {body:?}");
                    let send = async |kind: &str| {
                        let path = format!("/{name}/{kind}/{id}");
                        let mut request = client.post(&path).key(&key).header("authorization", "Bearer alice");
                        for (name, value) in headers {
                            request = request.header(name, value);
                        }
                        request.body(body.to_vec()).send().await.unwrap()
                    };
                    let without_date = |headers: &HeaderMap| {
                        let mut headers = headers.clone();
                        headers.remove("date");
                        headers
                    };
                    let bare = send("bare").await;
                    for kind in ["guarded", "handled"] {
                        let guarded = send(kind).await;
                        assert_eq!((bare.status, &bare.body), (guarded.status, &guarded.body), "{kind}: {case}");
                        assert_eq!(without_date(&bare.headers), without_date(&guarded.headers), "{kind}: {case}");
                    }
                    compared += 1;
                    rejected += usize::from(bare.status.as_u16() >= 400);
                }
            }
        }
    }
    assert_eq!(compared, 7 * 5 * 3 * 5);
    assert!(rejected > 100 && rejected < compared - 100, "{rejected} of {compared}");
}

#[idempotent(optional)]
async fn upload(request: Request) -> String {
    to_bytes(request.into_body(), usize::MAX).await.unwrap().len().to_string()
}

#[idempotent(body_limit = 4_194_304)]
async fn upload_within_its_own_limit(body: Body) -> String {
    to_bytes(body, usize::MAX).await.unwrap().len().to_string()
}

/// axum bounds what its extractors buffer, which `Request` and `Body` do not: they have no bound there. A guarded one is
/// read before its handler runs, because what it says is part of the request that a retry must match, and so is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_streamed_is_bounded_where_there_is_a_key() {
    let bare = |request: Request| async { to_bytes(request.into_body(), usize::MAX).await.unwrap().len().to_string() };
    let router = Router::new()
        .route("/bare", post(bare))
        .route("/guarded", post(upload))
        .route("/own", post(upload_within_its_own_limit))
        .route("/axums", post(upload).layer(DefaultBodyLimit::max(2 * MAX_BODY_BYTES)))
        .route("/disabled", post(upload).layer(DefaultBodyLimit::disable()))
        .with_state(Idempotency::new(MemoryStore::new()));
    // Not over a connection: a server that refuses a body stops reading it, and the client may see that first.
    let size = MAX_BODY_BYTES + 1;
    for (path, key, status) in [
        ("/bare", None, 200),
        ("/bare", Some("k1"), 200),
        ("/guarded", None, 200),
        ("/guarded", Some("k1"), 413),
        ("/disabled", None, 200),
        ("/disabled", Some("k2"), 413),
        ("/own", Some("k3"), 200),
        ("/axums", Some("k4"), 200),
    ] {
        let mut request = Request::post(path).header("authorization", "Bearer alice");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Body::from(vec![7; size])).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{path} {key:?}");
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        if status == 200 {
            assert_eq!(body, size.to_string().as_bytes(), "{path} {key:?}");
        } else {
            let problem: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["code"], "idempotency_request_too_large", "{path}");
        }
    }
}

/// How many there are.
static PERMITS: AtomicUsize = AtomicUsize::new(0);

/// What an extractor may hand out, to be held while the handler runs.
struct Permit;

impl<S: Sync> FromRequestParts<S> for Permit {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        PERMITS.fetch_add(1, Ordering::SeqCst);
        Ok(Self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        PERMITS.fetch_sub(1, Ordering::SeqCst);
    }
}

trait Ledger: Clone + Send + Sync + 'static {
    fn pay(&self, amount: u64) -> Result<String, String>;
}

#[derive(Clone)]
struct Book(Idempotency);

impl FromRef<Book> for Idempotency {
    fn from_ref(book: &Book) -> Self {
        book.0.clone()
    }
}

impl Ledger for Book {
    fn pay(&self, amount: u64) -> Result<String, String> {
        if amount == 0 { Err("nothing to pay".to_owned()) } else { Ok(format!("paid {amount}")) }
    }
}

struct Shop<Store>(Store);

impl<Store: Ledger> Shop<Store> {
    #[idempotent(principal = "shop", key = amount)]
    async fn pay(
        _: Permit,
        _permit: Permit,
        State(store): State<Store>,
        Path(mut amount): Path<u64>,
        _: Bytes,
    ) -> Result<String, (StatusCode, String)> {
        tokio::task::yield_now().await;
        let held = PERMITS.load(Ordering::SeqCst);
        if amount == 1 {
            return Err((StatusCode::CONFLICT, "early".into()));
        }
        amount = amount.saturating_sub(2);
        let paid = store.pay(amount).map_err(|error| (StatusCode::BAD_GATEWAY, error))?;
        Ok(format!("{paid}, {held} held"))
    }

    #[idempotent]
    fn plain(
        _: Permit,
        State(store): State<Store>,
        body: String,
    ) -> impl Future<Output = Result<String, String>> + Send {
        async move { store.pay(7).map(|paid| paid + &body) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_of_a_generic_impl_runs_as_any_other() {
    let router = Router::new()
        .route("/pay/{amount}", post(Shop::<Book>::pay))
        .route("/plain", post(Shop::<Book>::plain))
        .with_state(Shop(Book(Idempotency::new(MemoryStore::new()))).0);
    let client = serve(router).await;
    for (path, status, body) in [
        ("/pay/9", 200, "paid 7, 2 held"),
        ("/pay/1", 409, "early"),
        ("/pay/2", 502, "nothing to pay"),
        ("/plain", 200, "paid 7!"),
    ] {
        let request = client.post(path).key("k").header("authorization", "Bearer alice").body("!");
        let (first, again) = (request.send().await.unwrap(), request.send().await.unwrap());
        assert_eq!((first.status.as_u16(), &first.body[..]), (status, body.as_bytes()), "{path}");
        assert!(!first.is_replay() && again.is_replay(), "{path}");
        assert_eq!(first.body, again.body);
    }
    assert_eq!(PERMITS.load(Ordering::SeqCst), 0);
}
