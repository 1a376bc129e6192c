//! `handle = …`: the handle is taken from the handler's arguments, in every form that an expression has, on real servers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, FromRef, FromRequestParts, Json, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Router, middleware};
use cratestack_runtime::{Idempotency, MemoryStore, PostgresStore, Reservation, SqliteStore, Tx, idempotent};
use cratestack_tests::{Client, TestDatabase};
use serde_json::{Value, json};
use sqlx::{Postgres, Sqlite, SqlitePool};

use crate::logs::{Log, listen};
use crate::server::serve;
use crate::states::{Effects, runs_once};

fn memory() -> Idempotency {
    Idempotency::new(MemoryStore::new())
}

/// It provides no handle by `FromRef`.
#[derive(Clone)]
struct App {
    idempotency: Idempotency,
    nested: Nested,
    /// One for each tenant.
    tenants: [Idempotency; 2],
    behind_a_lock: Arc<Mutex<Idempotency>>,
    effects: Effects,
}

#[derive(Clone)]
struct Nested {
    inner: (Arc<Idempotency>, u8),
}

impl App {
    fn new(effects: &Effects) -> Self {
        Self {
            idempotency: memory(),
            nested: Nested { inner: (Arc::new(memory()), 0) },
            tenants: [memory(), memory()],
            behind_a_lock: Arc::new(Mutex::new(memory())),
            effects: effects.clone(),
        }
    }

    fn handle(&self) -> &Idempotency {
        &self.idempotency
    }

    fn cloned_handle(&self) -> Idempotency {
        self.idempotency.clone()
    }
}

/// Extracts itself; also what is taken of the state through an extractor.
struct Caller {
    idempotency: Idempotency,
    effects: Effects,
}

impl FromRequestParts<App> for Caller {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        // What an extractor takes away is compared all the same.
        parts.headers.remove("authorization").ok_or(StatusCode::UNAUTHORIZED)?;
        Ok(Self { idempotency: app.idempotency.clone(), effects: app.effects.clone() })
    }
}

impl Caller {
    #[idempotent(handle = self.idempotency)]
    async fn method(self, _: Json<Value>) -> String {
        self.effects.happen()
    }

    #[idempotent(handle = self.idempotency, state = App)]
    async fn lone_method(self) -> String {
        self.effects.happen()
    }

    #[idempotent(handle = self.idempotency, key = (Arc::strong_count(&self.effects.0) > 0, body["a"].as_u64()))]
    async fn keyed_method(self: Box<Self>, body: Json<Value>) -> String {
        drop(body);
        self.effects.happen()
    }
}

impl FromRequestParts<App> for Box<Caller> {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        Caller::from_request_parts(parts, app).await.map(Box::new)
    }
}

#[idempotent(handle = app.idempotency)]
async fn field(State(app): State<App>, _: Json<Value>) -> String {
    app.effects.happen()
}

#[idempotent(handle = app.idempotency)]
async fn field_of_arc(State(app): State<Arc<App>>, _: Json<Value>) -> String {
    app.effects.happen()
}

#[idempotent(handle = &app.idempotency)]
async fn reference(State(app): State<App>, _: String) -> String {
    app.effects.happen()
}

#[idempotent(handle = app.idempotency.clone())]
async fn clone_of_field(State(app): State<App>, _: String) -> String {
    app.effects.happen()
}

#[idempotent(handle = app.handle())]
async fn method_by_reference(State(app): State<App>, _: String) -> String {
    app.effects.happen()
}

#[idempotent(handle = app.cloned_handle())]
async fn method_by_value(app: State<App>, _: String) -> String {
    app.effects.happen()
}

#[idempotent(handle = *app.nested.inner.0)]
async fn nested(State(ref app): State<App>, _: String) -> String {
    app.effects.happen()
}

#[idempotent(handle = *app.behind_a_lock.lock().unwrap())]
async fn locked(State(app): State<App>, _: String) -> String {
    app.effects.happen()
}

#[idempotent(handle = app.tenants[tenant % 2], principal = tenant)]
async fn chosen(Path(tenant): Path<usize>, State(app): State<App>, _: String) -> String {
    app.effects.happen()
}

#[idempotent(handle = if let Some(it) = app.tenants.first() { it } else { &app.idempotency })]
async fn decided(State(app): State<App>, _: String) -> String {
    app.effects.happen()
}

#[idempotent(handle = app.idempotency)]
async fn lone(State(app): State<App>) -> String {
    app.effects.happen()
}

#[idempotent(handle = caller.idempotency)]
async fn own_extractor(caller: Caller, body: Body) -> String {
    drop(body);
    caller.effects.happen()
}

#[idempotent(handle = app.idempotency)]
fn plain(State(app): State<App>, _: String) -> impl Future<Output = String> + Send {
    std::future::ready(app.effects.happen())
}

#[idempotent(handle = app.idempotency)]
async fn generic<T: Send + Sync + Clone + 'static>(
    State(app): State<App>,
    _: Option<Extension<T>>,
    _: String,
) -> String {
    app.effects.happen()
}

/// The last argument has a name that the expression has for a field.
#[idempotent(handle = app.idempotency)]
async fn named_like_a_field(State(app): State<App>, idempotency: String) -> String {
    drop(idempotency);
    app.effects.happen()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_is_taken_from_the_state_by_any_expression() {
    let effects = Effects::default();
    let app = App::new(&effects);
    let of_arc = Router::new().route("/field-of-arc", post(field_of_arc)).with_state(Arc::new(app.clone()));
    let router = Router::new()
        .route("/field", post(field))
        .route("/reference", post(reference))
        .route("/clone", post(clone_of_field))
        .route("/method-by-reference", post(method_by_reference))
        .route("/method-by-value", post(method_by_value))
        .route("/nested", post(nested))
        .route("/locked", post(locked))
        .route("/chosen/{tenant}", post(chosen))
        .route("/decided", post(decided))
        .route("/lone", post(lone))
        .route("/own-extractor", post(own_extractor))
        .route("/plain", post(plain))
        .route("/generic", post(generic::<u8>))
        .route("/named-like-a-field", post(named_like_a_field))
        .route("/self", post(Caller::method))
        .route("/lone-self", post(Caller::lone_method))
        .route("/boxed-self", post(Caller::keyed_method))
        .with_state(app)
        .merge(of_arc);
    let client = serve(router).await;
    for path in [
        "/field",
        "/field-of-arc",
        "/reference",
        "/clone",
        "/method-by-reference",
        "/method-by-value",
        "/nested",
        "/locked",
        "/chosen/0",
        "/chosen/1",
        "/decided",
        "/lone",
        "/own-extractor",
        "/plain",
        "/generic",
        "/named-like-a-field",
        "/self",
        "/lone-self",
        "/boxed-self",
    ] {
        runs_once_of_its_own_key(&client, path, &effects).await;
    }
}

/// Most handlers here share a handle, so each path has its own key.
async fn runs_once_of_its_own_key(client: &Client, path: &str, effects: &Effects) {
    let before = effects.0.load(Ordering::SeqCst);
    let request = client.post(path).key(path).header("authorization", "Bearer alice").json(&json!({ "a": 1 }));
    let answers = futures_util::future::join_all((0..8).map(|_| request.send())).await;
    let fresh = answers.into_iter().map(Result::unwrap).filter(|answer| answer.status == 200 && !answer.is_replay());
    assert_eq!(fresh.count(), 1, "{path}");
    let again = request.send().await.unwrap();
    assert!(again.is_replay(), "{path}: {}", again.status);
    assert_eq!(effects.0.load(Ordering::SeqCst) - before, 1, "{path}");
    let other = client.post(path).key(path).header("authorization", "Bearer bob").json(&json!({ "a": 1 }));
    let told = other.send().await.unwrap();
    // Whom the tenant names, the header does not.
    assert_eq!(told.is_replay(), path.starts_with("/chosen"), "{path}");
}

static SHARED: LazyLock<Idempotency> = LazyLock::new(memory);

#[idempotent(handle = h)]
async fn of_extension(Extension(h): Extension<Idempotency>) -> String {
    drop(h);
    "paid".to_owned()
}

#[idempotent(handle = h)]
async fn of_extension_before_a_body(Extension(h): Extension<Idempotency>, body: String) -> String {
    drop(h);
    body
}

#[idempotent(handle = app.idempotency)]
async fn of_extension_of_app(Extension(app): Extension<Arc<App>>, body: String) -> String {
    drop(app);
    body
}

#[idempotent(handle = *SHARED)]
async fn of_static(body: String) -> String {
    body
}

#[idempotent(handle = *SHARED)]
async fn of_static_without_arguments() -> &'static str {
    "paid"
}

#[tokio::test(flavor = "multi_thread")]
async fn no_state_is_needed() {
    let app = Arc::new(App::new(&Effects::default()));
    let router: Router = Router::new()
        .route("/extension", post(of_extension))
        .route("/extension-and-body", post(of_extension_before_a_body))
        .layer(Extension(memory()))
        .route("/app", post(of_extension_of_app).layer(Extension(app)))
        .route("/static", post(of_static))
        .route("/nothing", post(of_static_without_arguments));
    let client = serve(router).await;
    for path in ["/extension", "/extension-and-body", "/app", "/static", "/nothing"] {
        let request = client.post(path).key(path).body("paid");
        let first = request.send().await.unwrap();
        assert_eq!((first.status, first.is_replay(), &first.body[..]), (StatusCode::OK, false, &b"paid"[..]), "{path}");
        assert!(request.send().await.unwrap().is_replay(), "{path}");
        let conflict = client.post(path).key(path).body("refunded").send().await.unwrap();
        assert_eq!(conflict.code(), "idempotency_key_conflict", "{path}");
    }
}

#[tokio::test]
async fn without_its_layer_an_extension_is_answered_500_and_the_log_names_the_fix() {
    for path in ["/extension", "/extension-and-body", "/app"] {
        let log = Log::default();
        let _guard = listen(log.subscriber("cratestack_runtime=trace"));
        let router: Router = Router::new()
            .route("/extension", post(of_extension))
            .route("/extension-and-body", post(of_extension_before_a_body))
            .route("/app", post(of_extension_of_app));
        let mut request = crate::app::request("k", path, "");
        // It never comes, and is not waited for.
        *request.body_mut() = Body::from_stream(futures_util::stream::pending::<Result<&[u8], std::io::Error>>());
        let answer = crate::app::send(router, request).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        let text = log.text();
        let missing = if path == "/app" { "Arc<http::handles::App>" } else { "Idempotency" };
        for part in ["axum::Extension", "layer", missing] {
            assert!(text.contains(part), "{path}: {part} is not in {text}");
        }
    }
}

/// Who may call.
struct Known;

impl<S: Sync> FromRequestParts<S> for Known {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.headers.contains_key("x-known").then_some(Self).ok_or(StatusCode::UNAUTHORIZED)
    }
}

type Found = (Option<String>, String);

async fn told(client: &Client, path: &str, headers: &[(&str, &str)]) -> (StatusCode, Found) {
    let mut request = client.post(path).header("authorization", "Bearer alice").body("paid");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    let link = answer.header("link").map(str::to_owned);
    let is_problem = answer.header("content-type") == Some("application/problem+json");
    let said = if is_problem { answer.code() } else { String::from_utf8(answer.body.to_vec()).unwrap() };
    (answer.status, (link, said))
}

#[derive(Clone, FromRef)]
struct Shop {
    idempotency: Idempotency,
}

macro_rules! reserving {
    ($door:ident, $shop:ident, $($handle:tt)*) => {
        mod $door {
            use super::*;

            pub fn router() -> Router {
                let idempotency = memory().documentation_url("https://shop.example/keys");
                Router::new()
                    .route("/last", post(last))
                    .route("/leading", post(leading))
                    .route("/maybe", post(maybe))
                    .route("/keyed", post(keyed))
                    .with_state(Shop { idempotency })
            }

            #[idempotent($($handle)*)]
            async fn last(_: Known, State($shop): State<Shop>, reservation: Reservation) -> String {
                drop($shop);
                reservation.key().to_owned()
            }

            #[idempotent($($handle)*)]
            async fn leading(reservation: Reservation, State($shop): State<Shop>, body: String) -> String {
                drop($shop);
                format!("{} {body}", reservation.key())
            }

            #[idempotent(optional, $($handle)*)]
            async fn maybe(it: Option<Reservation>, _: Known, State($shop): State<Shop>, _: String) -> String {
                drop($shop);
                it.map_or_else(String::new, |it| it.key().to_owned())
            }

            #[idempotent(optional, key = (body.len() > 100).then_some(1), principal = "counter", $($handle)*)]
            async fn keyed(State($shop): State<Shop>, it: Option<Reservation>, body: String) -> String {
                drop(($shop, body));
                it.map_or_else(String::new, |it| it.key().to_owned())
            }
        }
    };
}

reserving!(by_state, shop,);
reserving!(by_argument, shop, handle = shop.idempotency);

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_finds_its_slot_and_what_is_refused_is_told_in_the_same_order() {
    let (state, argument) = (serve(by_state::router()).await, serve(by_argument::router()).await);
    for path in ["/last", "/leading", "/maybe", "/keyed"] {
        // One handle, so each path has a key of its own.
        let (key, malformed) = (&path[1..], "\"unfinished");
        for (key, is_known) in
            [None, Some(key), Some(malformed)].into_iter().flat_map(|key| [(key, false), (key, true)])
        {
            let mut headers = Vec::new();
            headers.extend(key.map(|key| ("idempotency-key", key)));
            headers.extend(is_known.then_some(("x-known", "1")));
            let (by_state, by_argument) = (told(&state, path, &headers).await, told(&argument, path, &headers).await);
            let (status, (link, said)) = by_state;
            if path == "/leading" && key != Some("leading") {
                // Before its handle is known, a request is answered as one is that has none.
                assert!(link.is_some() && status == StatusCode::BAD_REQUEST);
                assert_eq!(by_argument, (status, (None, said)), "{path}, {headers:?}");
            } else {
                assert_eq!(by_argument, (status, (link, said)), "{path}, {headers:?}");
            }
        }
    }
    let known = |key| [("idempotency-key", key), ("x-known", "1")];
    assert_eq!(told(&argument, "/last", &known("last")).await.1.1, "last");
    assert_eq!(told(&argument, "/leading", &known("leading")).await.1.1, "leading paid");
    assert_eq!(told(&argument, "/last", &known("leading")).await.1.1, "idempotency_key_conflict", "one handle");
    let keyless = told(&argument, "/last", &[("x-known", "1")]).await;
    assert!(keyless.1.0.is_some(), "the last argument is refused as the handle has it: {keyless:?}");
    let stranger = told(&argument, "/last", &[("idempotency-key", "\"k")]).await;
    assert_eq!(stranger, (StatusCode::UNAUTHORIZED, (None, String::new())), "who may not call is told so first");
}

#[idempotent(handle = app.idempotency, principal = ("shop", tenant), key = order["id"].as_u64(),
    fingerprint = order["amount"].as_u64())]
async fn order(Path(tenant): Path<u64>, State(app): State<App>, Json(order): Json<Value>) -> String {
    drop(order);
    app.effects.happen()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_expressions_are_evaluated_over_all_arguments() {
    let effects = Effects::default();
    let client = serve(Router::new().route("/{tenant}", post(order)).with_state(App::new(&effects))).await;
    let send = async |tenant: &str, body: Value| client.post(tenant).json(&body).send().await.unwrap();
    assert_eq!(send("/1", json!({ "id": 7, "amount": 5, "at": 1 })).await.body, "effect 0");
    assert!(send("/1", json!({ "at": 2, "id": 7, "amount": 5 })).await.is_replay());
    assert_eq!(send("/1", json!({ "id": 7, "amount": 6 })).await.code(), "idempotency_key_conflict");
    assert_eq!(send("/2", json!({ "id": 7, "amount": 5 })).await.body, "effect 1");
    assert_eq!(send("/1", json!({ "amount": 5 })).await.code(), "idempotency_key_missing");
    assert_eq!(effects.0.load(Ordering::SeqCst), 2);
}

/// Takes the caller's name away from whoever comes after it.
struct Anonymous;

impl<S: Sync> FromRequestParts<S> for Anonymous {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.headers.remove("authorization");
        parts.headers.remove("content-type");
        parts.headers.insert("idempotency-key", "another".parse().unwrap());
        parts.uri = "/elsewhere".parse().unwrap();
        parts.method = axum::http::Method::GET;
        Ok(Self)
    }
}

#[idempotent(handle = shop.idempotency)]
async fn by_argument_after_changes(_: Anonymous, State(shop): State<Shop>, body: String) -> String {
    drop(shop);
    body
}

#[idempotent]
async fn by_state_after_changes(_: Anonymous, State(_): State<Shop>, body: String) -> String {
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_extractors_change_changes_neither_key_nor_caller_nor_fingerprint() {
    let shop = Shop { idempotency: memory() };
    let by_argument = serve(Router::new().route("/", post(by_argument_after_changes)).with_state(shop.clone())).await;
    let by_state = serve(Router::new().route("/", post(by_state_after_changes)).with_state(shop)).await;
    let request = |client: &Client, who: &str, body: &str, content_type: &str| {
        client
            .post("/")
            .key("k")
            .header("authorization", who)
            .header("content-type", content_type)
            .body(body.to_owned())
    };
    assert_eq!(request(&by_argument, "Bearer alice", "a", "text/plain").send().await.unwrap().body, "a");
    assert_eq!(
        request(&by_argument, "Bearer bob", "b", "text/plain").send().await.unwrap().body,
        "b",
        "another caller's key"
    );
    // The two doors know the requests by the same.
    for (who, body) in [("Bearer alice", "a"), ("Bearer bob", "b")] {
        let replayed = request(&by_state, who, body, "text/plain").send().await.unwrap();
        assert!(replayed.is_replay() && replayed.body == body.as_bytes(), "{who}");
    }
    let other = request(&by_argument, "Bearer alice", "a", "text/html").send().await.unwrap();
    assert_eq!(other.code(), "idempotency_key_conflict");
}

#[idempotent(handle = shop.idempotency)]
async fn for_anyone(State(shop): State<Shop>, body: String) -> String {
    drop(shop);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_the_handle_says_who_calls() {
    let named = memory().principal(|parts| {
        let tenant = parts.extensions.get::<u64>();
        let user = parts.headers.get("x-user").and_then(|user| user.to_str().ok()).filter(|user| !user.is_empty());
        user.map(|user| format!("{user} of {tenant:?}"))
    });
    let tenant = middleware::map_request(|mut request: Request| async {
        request.extensions_mut().insert(7_u64);
        request
    });
    let router = Router::new().route("/", post(for_anyone)).layer(tenant).with_state(Shop { idempotency: named });
    let client = serve(router).await;
    let send = async |user: &str| client.post("/").key("k").header("x-user", user).body("paid").send().await.unwrap();
    assert!(!send("ann").await.is_replay());
    assert!(send("ann").await.is_replay());
    assert!(!send("bob").await.is_replay());
    assert_eq!(send("").await.code(), "idempotency_caller_unknown");
}

#[idempotent(handle = app.idempotency, optional)]
async fn streamed(headers: HeaderMap, State(app): State<App>, request: Request) -> String {
    drop((headers, app));
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    body.len().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_streamed_is_bounded_where_there_is_a_key() {
    let router = Router::new().route("/", post(streamed)).with_state(App::new(&Effects::default()));
    let client = serve(router).await;
    let size = cratestack_runtime::MAX_BODY_BYTES + 1;
    let keyless = client.post("/").body(vec![b'x'; size]).send().await.unwrap();
    assert_eq!(keyless.body, size.to_string());
    let refused = client.post("/").key("k").body(vec![b'x'; size]).send().await.unwrap();
    assert_eq!(refused.code(), "idempotency_request_too_large");
    let fits = client.post("/").key("k").body(vec![b'x'; size - 1]).send().await.unwrap();
    assert_eq!(fits.body, (size - 1).to_string());
}

/// Two typed handles, and no `FromRef`.
struct Ledgers {
    on_postgres: Idempotency<PostgresStore>,
    on_sqlite: Idempotency<SqliteStore>,
    effects: Effects,
}

impl Ledgers {
    async fn pay<DB>(&self, insert: impl Future<Output = Result<DB, sqlx::Error>>) -> Result<String, StatusCode> {
        insert.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(self.effects.happen())
    }
}

#[idempotent(transaction, handle = ledgers.on_postgres, wait = "10s")]
async fn on_postgres(
    mut tx: Tx<Postgres>,
    State(ledgers): State<Arc<Ledgers>>,
    body: String,
) -> Result<String, StatusCode> {
    ledgers.pay(sqlx::query("INSERT INTO payments (body) VALUES ($1)").bind(body).execute(&mut *tx)).await
}

#[idempotent(transaction, handle = ledgers.on_sqlite, wait = "10s", retry = 2, state = Arc<Ledgers>)]
async fn on_sqlite(
    State(ledgers): State<Arc<Ledgers>>,
    mut tx: Tx<Sqlite>,
    body: String,
) -> Result<String, StatusCode> {
    ledgers.pay(sqlx::query("INSERT INTO payments (body) VALUES ($1)").bind(body).execute(&mut *tx)).await
}

/// All arguments come from the request's parts.
#[idempotent(transaction, handle = ledgers.on_sqlite, wait = "10s")]
async fn on_sqlite_without_body(mut tx: Tx<Sqlite>, State(ledgers): State<Arc<Ledgers>>) -> Result<String, StatusCode> {
    ledgers.pay(sqlx::query("INSERT INTO payments (body) VALUES ('')").execute(&mut *tx)).await
}

/// A typed handle serves where an untyped one is asked for.
#[idempotent(handle = ledgers.on_sqlite, wait = "10s")]
async fn leased_on_sqlite(State(ledgers): State<Arc<Ledgers>>, _: String) -> String {
    ledgers.effects.happen()
}

#[idempotent(handle = ledgers.on_postgres, wait = "10s")]
async fn leased_on_postgres(State(ledgers): State<Arc<Ledgers>>, _: String) -> String {
    ledgers.effects.happen()
}

async fn sqlite() -> (SqlitePool, SqliteStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("db")).create_if_missing(true);
    let pool = SqlitePool::connect_with(file).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    sqlx::query("CREATE TABLE payments (body TEXT)").execute(&pool).await.unwrap();
    (pool, store, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_leases_run_under_a_typed_handle() {
    let database = TestDatabase::create().await;
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let postgres = PostgresStore::new(pool.clone());
    postgres.migrate().await.unwrap();
    sqlx::query("CREATE TABLE payments (body TEXT)").execute(&pool).await.unwrap();
    let (sqlite_pool, sqlite, _folder) = sqlite().await;
    let effects = Effects::default();
    let ledgers = Ledgers {
        on_postgres: Idempotency::transactional(postgres),
        on_sqlite: Idempotency::transactional(sqlite),
        effects: effects.clone(),
    };
    let router = Router::new()
        .route("/postgres", post(on_postgres))
        .route("/sqlite", post(on_sqlite))
        .route("/sqlite-without-body", post(on_sqlite_without_body))
        .route("/leased-on-sqlite", post(leased_on_sqlite))
        .route("/leased-on-postgres", post(leased_on_postgres))
        .with_state(Arc::new(ledgers));
    let client = serve(router).await;
    for path in ["/postgres", "/sqlite", "/sqlite-without-body", "/leased-on-sqlite", "/leased-on-postgres"] {
        runs_once_of_its_own_key(&client, path, &effects).await;
    }
    // Once for alice, and once for bob.
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM payments").fetch_one(&pool).await.unwrap();
    assert_eq!(count, 2);
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM payments").fetch_one(&sqlite_pool).await.unwrap();
    assert_eq!(count, 4);
}

/// A name of one's own, behind which the macro sees no `Tx`.
type Writer = Tx<Sqlite>;

#[derive(Clone)]
struct Either {
    typed: Idempotency<SqliteStore>,
    untyped: Idempotency,
    effects: Effects,
}

#[idempotent(transaction, handle = it.typed)]
async fn behind_an_alias(mut tx: Writer, State(it): State<Either>, body: String) -> Result<String, StatusCode> {
    let insert = sqlx::query("INSERT INTO payments (body) VALUES ($1)").bind(body);
    insert.execute(&mut *tx).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(it.effects.happen())
}

#[idempotent(transaction, handle = it.untyped)]
async fn behind_an_alias_untyped(tx: Writer, State(it): State<Either>, _: String) -> String {
    drop(tx);
    it.effects.happen()
}

#[tokio::test]
async fn where_the_compiler_does_not_see_the_transaction_its_store_is_found_at_run_time() {
    let (_, store, _folder) = sqlite().await;
    let typed = Idempotency::transactional(store);
    let effects = Effects::default();
    let state = Either { untyped: typed.clone().into(), typed, effects: effects.clone() };
    let log = Log::default();
    let _guard = listen(log.subscriber("cratestack_runtime=error"));
    let router = Router::new().route("/typed", post(behind_an_alias)).route("/untyped", post(behind_an_alias_untyped));
    let router = router.with_state(state);
    let send = async |path: &str| crate::app::send(router.clone(), crate::app::request("k", path, "paid")).await;
    assert_eq!(send("/typed").await.body, "effect 0");
    assert!(send("/typed").await.is_replay());
    assert!(!log.text().contains("ERROR"), "{}", log.text());
    let refused = send("/untyped").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "idempotency_no_reservation")
    );
    assert!(log.text().contains("Idempotency<cratestack_runtime::"), "{}", log.text());
    assert!(log.text().contains("Idempotency::transactional"), "{}", log.text());
    assert_eq!(effects.0.load(Ordering::SeqCst), 1);
}

/// The state's own handle is another one, and not asked.
#[derive(Clone, FromRef)]
struct Two {
    idempotency: Idempotency,
    #[from_ref(skip)]
    other: Idempotency,
    effects: Effects,
}

#[idempotent(handle = two.other)]
async fn of_the_other(State(two): State<Two>, _: Json<Value>) -> String {
    two.effects.happen()
}

#[idempotent]
async fn of_the_states(State(two): State<Two>, _: Json<Value>) -> String {
    two.effects.happen()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_named_handle_is_the_one_that_is_used() {
    let effects = Effects::default();
    let two = Two { idempotency: memory(), other: memory(), effects: effects.clone() };
    let router = Router::new().route("/", post(of_the_other).put(of_the_states)).with_state(two.clone());
    let client = serve(router).await;
    runs_once(&client, "/", &effects.0).await;
    // A key of the other's is free here.
    let put = client.request(axum::http::Method::PUT, "/").key("k").header("authorization", "Bearer alice");
    assert_eq!(put.json(&json!({ "a": 1 })).send().await.unwrap().body, "effect 1");
    assert_eq!(two.other.shutdown(std::time::Duration::from_secs(30)).await, 0);
}
