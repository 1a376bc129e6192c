//! Which messages a transaction sends beside its handler's own, in each case, on either sort of connection: the server
//! logs each message that is a statement, or a text of several, once. A pool's pings are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::routing::post as on_post;
use cratestack_runtime::{Idempotency, PostgresStore, Tx, idempotent};
use cratestack_tests::postgres::{PostgresOptions, PostgresServer};
use http_body_util::BodyExt as _;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::bank::{Failed, eventually, post};

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency<PostgresStore>,
    signs: Arc<Signs>,
}

#[derive(Default)]
struct Signs {
    runs: AtomicUsize,
    is_held: Notify,
    goes_on: Notify,
}

const WRITE: &str = "INSERT INTO written DEFAULT VALUES";

async fn write(tx: &mut Tx<Postgres>) -> Result<(), Failed> {
    sqlx::raw_sql(WRITE).execute(&mut **tx).await?;
    Ok(())
}

#[idempotent(transaction)]
async fn pay(mut tx: Tx<Postgres>, body: String) -> Result<(StatusCode, String), Failed> {
    write(&mut tx).await?;
    Ok((StatusCode::CREATED, body))
}

#[idempotent(transaction)]
async fn fail(mut tx: Tx<Postgres>) -> Result<StatusCode, Failed> {
    write(&mut tx).await?;
    Ok(StatusCode::UNPROCESSABLE_ENTITY)
}

#[idempotent(transaction, record = success)]
async fn undo(mut tx: Tx<Postgres>) -> Result<StatusCode, Failed> {
    write(&mut tx).await?;
    Ok(StatusCode::UNPROCESSABLE_ENTITY)
}

#[idempotent(transaction, isolation = serializable)]
async fn strict(mut tx: Tx<Postgres>) -> Result<StatusCode, Failed> {
    write(&mut tx).await?;
    Ok(StatusCode::CREATED)
}

#[idempotent(transaction, optional)]
async fn optional(mut tx: Tx<Postgres>) -> Result<StatusCode, Failed> {
    write(&mut tx).await?;
    Ok(StatusCode::CREATED)
}

/// Waits until it is told to go on.
#[idempotent(transaction)]
async fn hold(mut tx: Tx<Postgres>, State(signs): State<Arc<Signs>>) -> Result<StatusCode, Failed> {
    write(&mut tx).await?;
    signs.is_held.notify_one();
    signs.goes_on.notified().await;
    Ok(StatusCode::CREATED)
}

/// Begins a transaction within its own, as functions do that take any connection, and undoes it.
#[idempotent(transaction)]
async fn nest(mut tx: Tx<Postgres>) -> Result<StatusCode, Failed> {
    let mut inner = PgConnection::begin(&mut tx).await?;
    sqlx::raw_sql(WRITE).execute(&mut *inner).await?;
    inner.commit().await?;
    let mut inner = PgConnection::begin(&mut tx).await?;
    sqlx::raw_sql(WRITE).execute(&mut *inner).await?;
    inner.rollback().await?;
    Ok(StatusCode::CREATED)
}

/// Every other run meets what a serialization failure is.
#[idempotent(transaction, retry = 1)]
async fn again(mut tx: Tx<Postgres>, State(signs): State<Arc<Signs>>) -> Result<StatusCode, Failed> {
    write(&mut tx).await?;
    if signs.runs.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
        let failure = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END $$";
        sqlx::raw_sql(failure).execute(&mut *tx).await?;
    }
    Ok(StatusCode::CREATED)
}

#[idempotent(transaction)]
async fn named(mut tx: Tx<Postgres>, body: String) -> Result<String, Failed> {
    write(&mut tx).await?;
    Ok(body)
}

/// Its foreign key is looked at when it commits.
#[idempotent(transaction)]
async fn defer(mut tx: Tx<Postgres>, body: String) -> Result<([(&'static str, &'static str); 1], String), Failed> {
    sqlx::raw_sql("INSERT INTO child VALUES (7)").execute(&mut *tx).await?;
    Ok(([("x-told", HEADER)], body))
}

const HEADER: &str = "h3ader-of-the-0utcome";
const BODY: &str = "b0dy-of-the-0utcome";

struct World {
    server: PostgresServer,
    pool: PgPool,
    store: PostgresStore,
    signs: Arc<Signs>,
    router: Router,
    keys: AtomicUsize,
}

impl World {
    async fn with(own: u32) -> Self {
        let server = PostgresOptions::new().log_statements().start().await;
        let pool = PgPoolOptions::new().max_connections(4).connect(&server.url()).await.unwrap();
        let store = PostgresStore::new(pool.clone()).transaction_connections(own);
        store.migrate().await.unwrap();
        sqlx::raw_sql("CREATE TABLE written (entry BIGINT GENERATED ALWAYS AS IDENTITY)").execute(&pool).await.unwrap();
        let signs = Arc::<Signs>::default();
        let router = service(&store, &signs);
        Self { server, pool, store, signs, router, keys: AtomicUsize::new(0) }
    }

    fn key(&self) -> String {
        format!("key-{}", self.keys.fetch_add(1, Ordering::SeqCst))
    }

    /// The status of an answer, and what was sent for it.
    async fn sent(&self, router: &Router, path: &str, key: Option<&str>, body: &str) -> (u16, Vec<&'static str>) {
        let before = self.server.statements().len();
        let answer = post(router, path, key, body).await;
        let mut sent = Vec::new();
        // The rollback of a transaction that has nothing to do is not waited for.
        eventually("each transaction is ended", async || {
            let statements = self.server.statements().split_off(before);
            // A connection of the store's own that is opened meanwhile is asked for the encoding.
            let sent_for_it = statements.iter().filter(|statement| !statement.text.contains("server_encoding"));
            sent = sent_for_it.map(|statement| name(&statement.text)).collect();
            let of = |beginnings: &[&str]| {
                sent.iter().filter(|name| beginnings.iter().any(|beginning| name.starts_with(beginning))).count()
            };
            of(&["begin"]) == of(&["commit", "rollback"])
        })
        .await;
        (answer.status.as_u16(), sent)
    }

    /// Each case in turn, as often as it takes for all of its messages to go over connections of the expected sort:
    /// where the store has none to spare, it takes one of the pool.
    async fn expect(
        &self,
        case: &str,
        status: u16,
        expected: &[&str],
        mut send: impl AsyncFnMut() -> (u16, Vec<&'static str>),
    ) {
        let mut last = Vec::new();
        for _ in 0..100 {
            let (answered, messages) = send().await;
            assert_eq!(answered, status, "{case}: {messages:?}");
            if messages == expected {
                return;
            }
            last = messages;
        }
        panic!("{case}: {last:?} instead of {expected:?}");
    }

    /// A case that begins with a fresh key.
    async fn fresh(&self, path: &str, status: u16, expected: &[&str]) {
        self.expect(path, status, expected, async || self.sent(&self.router, path, Some(&self.key()), "1").await).await;
    }

    /// A case whose key has an outcome already.
    async fn finished(&self, path: &str, (body, status): (&str, u16), expected: &[&str]) {
        let key = self.key();
        assert_eq!(self.sent(&self.router, path, Some(&key), "1").await.0, 201);
        let send = async || self.sent(&self.router, path, Some(&key), body).await;
        self.expect(&format!("{path} {body}"), status, expected, send).await;
    }

    /// A duplicate at another process.
    async fn in_flight(&self, expected: &[&str]) {
        let (key, router) = (self.key(), self.router.clone());
        let elsewhere = service(&self.store, &self.signs);
        let held = key.clone();
        let first = tokio::spawn(async move { post(&router, "/hold", Some(&held), "1").await });
        self.signs.is_held.notified().await;
        let send = async || self.sent_beside(&elsewhere, &key).await;
        self.expect("in flight", 409, expected, send).await;
        self.signs.goes_on.notify_one();
        assert_eq!(first.await.unwrap().status, StatusCode::CREATED);
    }

    async fn sent_beside(&self, router: &Router, key: &str) -> (u16, Vec<&'static str>) {
        self.sent(router, "/hold", Some(key), "1").await
    }

    async fn count(&self) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM written").fetch_one(&self.pool).await.unwrap()
    }
}

fn service(store: &PostgresStore, signs: &Arc<Signs>) -> Router {
    let idempotency = Idempotency::transactional(store.clone()).replay_cache_bytes(0);
    Router::new()
        .route("/pay", on_post(pay))
        .route("/fail", on_post(fail))
        .route("/undo", on_post(undo))
        .route("/strict", on_post(strict))
        .route("/optional", on_post(optional))
        .route("/hold", on_post(hold))
        .route("/nest", on_post(nest))
        .route("/again", on_post(again))
        .route("/named", on_post(named))
        .route("/defer", on_post(defer))
        .with_state(App { idempotency, signs: Arc::clone(signs) })
}

/// What a message is for.
fn name(text: &str) -> &'static str {
    let beginnings = [
        (WRITE, "the handler's"),
        ("DO ", "the handler's"),
        ("SAVEPOINT _sqlx", "the handler's"),
        ("RELEASE SAVEPOINT _sqlx", "the handler's"),
        ("ROLLBACK TO SAVEPOINT _sqlx", "the handler's"),
        ("COMMIT", "commit"),
        ("ROLLBACK TO SAVEPOINT", "undo"),
        ("ROLLBACK", "rollback"),
        ("INSERT INTO ", "record"),
        ("SELECT CASE WHEN held", "look"),
        ("SELECT COALESCE(current_setting", "is it claimed"),
        ("SELECT 1", "has it failed"),
    ];
    match beginnings.iter().find(|(beginning, _)| text.starts_with(beginning)) {
        Some((_, name)) => name,
        None if text.starts_with("BEGIN") && text.contains("AS is_live") => "begin, claim and look",
        None if text.starts_with("BEGIN") => "begin and claim",
        None => panic!("what is this for? {text}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_a_connection_of_the_pool_four_messages_stand_around_the_handlers_own() {
    let world = World::with(0).await;
    let (begin, look, own, undo, record, commit, rollback) =
        ("begin and claim", "look", "the handler's", "undo", "record", "commit", "rollback");
    world.fresh("/pay", 201, &[begin, look, own, record, commit]).await;
    world.finished("/pay", ("1", 201), &[begin, look, rollback]).await;
    world.finished("/pay", ("2", 422), &[begin, look, rollback]).await;
    world.in_flight(&[begin, look, rollback]).await;
    world.fresh("/fail", 422, &[begin, look, own, undo, record, commit]).await;
    world.fresh("/undo", 422, &[begin, look, own, rollback]).await;
    let again = [begin, look, own, own, rollback, begin, look, own, record, commit];
    world.fresh("/again", 201, &again).await;
    world.fresh("/strict", 201, &[look, begin, "is it claimed", own, record, commit]).await;
    world.finished("/strict", ("1", 201), &[look]).await;
    let without = async || world.sent(&world.router, "/optional", None, "1").await;
    world.expect("without a key", 201, &[begin, own, "has it failed", commit], without).await;
    assert_eq!(world.count().await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_a_connection_of_the_stores_own_three_messages_stand_around_the_handlers_own() {
    let world = World::with(4).await;
    let (begin, look, own, undo, record, commit, rollback) =
        ("begin, claim and look", "look", "the handler's", "undo", "record", "commit", "rollback");
    world.fresh("/pay", 201, &[begin, own, record, commit]).await;
    world.finished("/pay", ("1", 201), &[begin, look, rollback]).await;
    world.finished("/pay", ("2", 422), &[begin, look, rollback]).await;
    world.in_flight(&[begin, rollback]).await;
    world.fresh("/fail", 422, &[begin, own, undo, record, commit]).await;
    world.fresh("/undo", 422, &[begin, own, rollback]).await;
    world.fresh("/again", 201, &[begin, own, own, rollback, begin, own, record, commit]).await;
    world.fresh("/strict", 201, &[begin, own, record, commit]).await;
    world.finished("/strict", ("1", 201), &[begin, look, rollback]).await;
    let nested = [begin, own, own, own, own, own, own, record, commit];
    let before = world.count().await;
    world
        .expect("nested", 201, &nested, async || {
            let before = world.count().await;
            let sent = world.sent(&world.router, "/nest", Some(&world.key()), "1").await;
            assert_eq!(world.count().await, before + 1);
            sent
        })
        .await;
    assert!(world.count().await > before);
    let without = async || world.sent(&world.router, "/optional", None, "1").await;
    world.expect("without a key", 201, &["begin and claim", own, "has it failed", commit], without).await;
}

/// A namespace stands before each key with a sign that is not ASCII.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn names_that_are_never_ascii_open_connections_of_the_stores_own_all_the_same() {
    let world = World::with(4).await;
    let idempotency =
        Idempotency::transactional(world.store.clone()).replay_cache_bytes(0).namespace("orders").unwrap();
    let app = App { idempotency, signs: Arc::clone(&world.signs) };
    let router = Router::new().route("/pay", on_post(pay)).with_state(app);
    let expected = ["begin, claim and look", "the handler's", "record", "commit"];
    let send = async || world.sent(&router, "/pay", Some(&world.key()), "1").await;
    world.expect("in a namespace", 201, &expected, send).await;
}

/// Text that a setting could make something else of, or end early.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_a_key_is_called_and_a_session_is_set_to_it_is_the_same_key() {
    let server = PostgresOptions::new().log_statements().start().await;
    let settings = "standard_conforming_strings=off|backslash_quote=on|bytea_output=escape|DateStyle=SQL,DMY|\
        TimeZone=Asia/Kathmandu|extra_float_digits=-15|quote_all_identifiers=on|lc_numeric=C";
    let settings: Vec<_> = settings.split('|').map(|setting| setting.split_once('=').unwrap()).collect();
    let options = server.url().parse::<sqlx::postgres::PgConnectOptions>().unwrap().options(settings);
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    let plain = PgPoolOptions::new().max_connections(4).connect(&server.url()).await.unwrap();
    let (at_once, apart) = (PostgresStore::new(pool).transaction_connections(4), PostgresStore::new(plain.clone()));
    at_once.migrate().await.unwrap();
    sqlx::raw_sql("CREATE TABLE written (entry BIGINT GENERATED ALWAYS AS IDENTITY)").execute(&plain).await.unwrap();
    let signs = Arc::<Signs>::default();
    let (at_once, apart) = (named_service(&at_once, &signs), named_service(&apart, &signs));
    let principals = [
        "alice",
        "'",
        "''",
        "\\",
        "\\'",
        "\\'; DROP TABLE written; --",
        "$$",
        "E'\\047'",
        "%s{}",
        "\n\t",
        "ünï ☃ 𝄞",
        "\\x00",
        "NULL",
        "$1",
    ];
    // As a header has them: a string, in which a quote and a backslash are escaped.
    let keys = [
        "k",
        "\"'\"",
        "\"''\"",
        "\"\\\\\"",
        "\"\\\\'\"",
        "\"'; DROP TABLE written; --\"",
        "\"\\\"\"",
        "\"', 'hex'), '\"",
        "$1",
    ];
    let mut looked_at_once = 0;
    for (key, principal) in keys.iter().flat_map(|key| principals.map(|principal| (*key, principal))) {
        let before = server.statements().len();
        let first = post_named(&at_once, key, principal).await;
        let sent = server.statements().split_off(before);
        let told = format!("{key} of {principal}: {} {}", first.0, first.2);
        assert_eq!((first.0, first.1), (200, false), "{told}");
        for router in [&at_once, &apart] {
            assert_eq!(post_named(router, key, principal).await, (200, true, first.2.clone()), "{told}");
        }
        looked_at_once += usize::from(sent.iter().any(|statement| statement.text.contains("AS is_live")));
    }
    let written: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM written").fetch_one(&plain).await.unwrap();
    assert_eq!(usize::try_from(written).unwrap(), keys.len() * principals.len());
    assert!(looked_at_once > keys.len(), "{looked_at_once}");
}

/// Its callers are whoever they say, whatever that is.
fn named_service(store: &PostgresStore, signs: &Arc<Signs>) -> Router {
    let caller = |parts: &axum::http::request::Parts| {
        let name = parts.headers.get("x-caller")?.as_bytes();
        String::from_utf8(name.to_vec()).ok().map(|name| name.replace("(n)", "\n").replace("(t)", "\t"))
    };
    let idempotency = Idempotency::transactional(store.clone()).replay_cache_bytes(0).principal(caller);
    Router::new().route("/named", on_post(named)).with_state(App { idempotency, signs: Arc::clone(signs) })
}

/// Status, whether it is a replay, and body.
async fn post_named(router: &Router, key: &str, principal: &str) -> (u16, bool, String) {
    let principal = principal.replace('\n', "(n)").replace('\t', "(t)");
    let request = axum::http::Request::post("/named").header("idempotency-key", key);
    let request = request.header("x-caller", axum::http::HeaderValue::from_bytes(principal.as_bytes()).unwrap());
    let response = router.clone().oneshot(request.body(axum::body::Body::from(key.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let is_replay = parts.headers.contains_key("idempotency-replayed");
    (parts.status.as_u16(), is_replay, String::from_utf8(body.to_vec()).unwrap())
}

/// A table has many rows, and a text is planned each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_looked_for_in_a_text_is_found_by_the_index() {
    let world = World::with(4).await;
    world.fresh("/pay", 201, &["begin, claim and look", "the handler's", "record", "commit"]).await;
    let texts = world.server.statements();
    let text = texts.iter().rev().find(|statement| statement.text.contains("AS is_live")).unwrap();
    let look = text.text.split(';').find(|statement| statement.contains("AS is_live")).unwrap();
    let rows =
        "INSERT INTO cratestack_idempotency (principal_fingerprint, key, request_hash, reservation_id, expires_at)
            SELECT n, n, '', gen_random_uuid(), NOW() FROM generate_series(1, 10000) AS n;
        ANALYZE cratestack_idempotency";
    sqlx::raw_sql(rows).execute(&world.pool).await.unwrap();
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {look}"));
    let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&world.pool).await.unwrap();
    assert!(plan.iter().any(|step| step.contains("Index Scan using")), "{plan:#?}");
}

/// Each statement of a transaction fails once, where the server tells of failures all that it can without being told
/// to show parameters.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_outcome_is_in_the_servers_log_whatever_fails() {
    for own in [0, 4] {
        let server = PostgresOptions::new()
            .set("log_min_error_statement", "debug5")
            .set("log_min_messages", "debug1")
            .set("log_error_verbosity", "verbose")
            .start()
            .await;
        let pool = PgPoolOptions::new().max_connections(4).connect(&server.url()).await.unwrap();
        let store = PostgresStore::new(pool.clone()).transaction_connections(own);
        store.migrate().await.unwrap();
        let tables = "CREATE TABLE parent (id INT PRIMARY KEY);
            CREATE TABLE child (id INT REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
            INSERT INTO parent VALUES (7)";
        sqlx::raw_sql(tables).execute(&pool).await.unwrap();
        let router = service(&store, &Arc::default());
        let ask = async |key: String| post(&router, "/defer", Some(&key), BODY).await.status.as_u16();
        // Until the store has connections of its own.
        for round in 0..20 {
            assert_eq!(ask(format!("warm-{round}")).await, 200);
        }
        let object = "CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'objects'; END $$;
            CREATE TRIGGER objects BEFORE INSERT ON cratestack_idempotency FOR EACH ROW EXECUTE FUNCTION object()";
        let failures = [
            ("the commit", "DELETE FROM child; DELETE FROM parent", "INSERT INTO parent VALUES (7)", "COMMIT"),
            ("the record", object, "DROP TRIGGER objects ON cratestack_idempotency", "INSERT INTO"),
            (
                "the look",
                "ALTER TABLE cratestack_idempotency RENAME TO gone",
                "ALTER TABLE gone RENAME TO cratestack_idempotency",
                if own == 0 { "SELECT CASE WHEN held" } else { "AS is_live" },
            ),
        ];
        for (what, breaks, mends, text) in failures {
            sqlx::raw_sql(sqlx::AssertSqlSafe(breaks)).execute(&pool).await.unwrap();
            for round in 0..5 {
                assert!(ask(format!("{own}-{}-{round}", what.len())).await >= 500, "{what}");
            }
            sqlx::raw_sql(sqlx::AssertSqlSafe(mends)).execute(&pool).await.unwrap();
            let log = server.log();
            let is_there = log.lines().any(|line| line.contains("STATEMENT:") && line.contains(text));
            assert!(is_there, "{what} is not in the log");
        }
        let log = server.log();
        for secret in [BODY, HEADER] {
            let digits = secret.bytes().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
            assert!(!log.contains(secret) && !log.contains(&digits), "{secret} is in the log");
        }
    }
}

/// Where its connections are killed, a transaction begins on another, and nobody is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_of_the_stores_own_that_has_died_costs_nobody_an_error() {
    let world = World::with(4).await;
    for _ in 0..5 {
        world.fresh("/pay", 201, &["begin, claim and look", "the handler's", "record", "commit"]).await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()";
        let mut apart = PgConnection::connect(&world.server.url()).await.unwrap();
        sqlx::raw_sql(kill).execute(&mut apart).await.unwrap();
        for path in ["/pay", "/strict", "/optional"] {
            let key = world.key();
            assert_eq!(post(&world.router, path, Some(&key), "1").await.status, StatusCode::CREATED, "{path}");
        }
    }
}
