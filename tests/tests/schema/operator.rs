//! One key at three in the morning: what an operator does by the command, beside services that go on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::post;
use cratestack_runtime::records::{Principal, RecordQuery};
use cratestack_runtime::schema::TableName;
use cratestack_runtime::{
    Claim, ClaimOutcome, Idempotency, IdempotencyStore, PostgresStore, SqliteStore, StepRecord, idempotent,
};
use cratestack_schema::{Dialect, RecordFilter, Removal, StatementValue};
use cratestack_tests::postgres::TestDatabase;
use http_body_util::BodyExt;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::command::{Done, cratestack_schema, cratestack_schema_reading};
use crate::databases::{postgres, run, run_sqlite, sqlite};

/// A database of either kind, with the table in it.
enum Place {
    Postgres(TestDatabase, PgPool),
    Sqlite(tempfile::TempDir, SqlitePool),
}

const BOTH: [Dialect; 2] = [Dialect::Postgres, Dialect::Sqlite];

impl Place {
    async fn of(dialect: Dialect) -> Self {
        let place = if dialect == Dialect::Postgres {
            let (database, pool) = postgres(8).await;
            Self::Postgres(database, pool)
        } else {
            let (folder, pool, _) = sqlite(TableName::default()).await;
            Self::Sqlite(folder, pool)
        };
        match &place {
            Self::Postgres(_, pool) => PostgresStore::new(pool.clone()).migrate().await.unwrap(),
            Self::Sqlite(_, pool) => SqliteStore::new(pool.clone()).migrate().await.unwrap(),
        }
        place
    }

    fn dialect(&self) -> Dialect {
        if matches!(self, Self::Postgres(..)) { Dialect::Postgres } else { Dialect::Sqlite }
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(database, _) => database.url().to_owned(),
            Self::Sqlite(folder, _) => format!("sqlite:{}", folder.path().join("test.db").display()),
        }
    }

    fn store(&self) -> Arc<dyn IdempotencyStore> {
        match self {
            Self::Postgres(_, pool) => Arc::new(PostgresStore::new(pool.clone())),
            Self::Sqlite(_, pool) => Arc::new(SqliteStore::new(pool.clone())),
        }
    }

    /// Each call is a process of its own to the others.
    fn service(&self) -> Service {
        Service::over(Idempotency::new(self.store()))
    }

    async fn count(&self, condition: &str) -> i64 {
        let text = AssertSqlSafe(format!("SELECT count(*) FROM cratestack_idempotency WHERE {condition}"));
        match self {
            Self::Postgres(_, pool) => sqlx::query_scalar(text).fetch_one(pool).await.unwrap(),
            Self::Sqlite(_, pool) => sqlx::query_scalar(text).fetch_one(pool).await.unwrap(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Done {
        cratestack_schema(&[arguments, &["--database-url", &self.url()]].concat())
    }

    fn json(&self, arguments: &[&str], code: i32) -> Value {
        let done = self.command(&[arguments, &["--json"]].concat());
        assert_eq!(done.code, code, "{arguments:?}: {}{}", done.stdout, done.stderr);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout))
    }
}

/// What an event says a key and a principal are.
type Hashes = (String, String);

#[derive(Clone)]
struct Service {
    idempotency: Idempotency,
    effects: Arc<AtomicUsize>,
    gate: Arc<Notify>,
    running: Arc<Notify>,
    told: Arc<Mutex<Vec<Hashes>>>,
}

impl FromRef<Service> for Idempotency {
    fn from_ref(service: &Service) -> Self {
        service.idempotency.clone()
    }
}

impl Service {
    fn over(idempotency: Idempotency) -> Self {
        let told: Arc<Mutex<Vec<Hashes>>> = Arc::default();
        let heard = Arc::clone(&told);
        let idempotency = idempotency
            .on_event(move |event| heard.lock().unwrap().push((event.key.to_owned(), event.principal.to_owned())));
        Self { idempotency, effects: Arc::default(), gate: Arc::default(), running: Arc::default(), told }
    }

    fn within(mut self, namespace: &str) -> Self {
        self.idempotency = self.idempotency.namespace(namespace).unwrap();
        self
    }

    async fn post(&self, path: &str, key: &str, body: &str) -> (StatusCode, String, bool) {
        self.send(Request::post(path).header("authorization", "Bearer alice"), key, body).await
    }

    async fn send(&self, request: axum::http::request::Builder, key: &str, body: &str) -> (StatusCode, String, bool) {
        let router = Router::new()
            .route("/pay", post(pay))
            .route("/held", post(held))
            .route("/by-number", post(by_number))
            .route("/by-text", post(by_text))
            .route("/by-uuid", post(by_uuid))
            .with_state(self.clone());
        let request = request.header("idempotency-key", key).body(Body::from(body.to_owned())).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let (status, replayed) = (response.status(), response.headers().contains_key("idempotency-replayed"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap(), replayed)
    }

    fn effect(&self) -> String {
        format!("effect {}", self.effects.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }

    fn last_hashes(&self) -> Hashes {
        self.told.lock().unwrap().last().cloned().unwrap()
    }
}

#[idempotent]
async fn pay(State(service): State<Service>, body: String) -> (StatusCode, String) {
    (StatusCode::CREATED, format!("{} of {body}", service.effect()))
}

/// Waits at the gate.
#[idempotent]
async fn held(State(service): State<Service>, body: String) -> (StatusCode, String) {
    service.running.notify_one();
    service.gate.notified().await;
    (StatusCode::CREATED, format!("{} of {body}", service.effect()))
}

fn user(headers: &HeaderMap) -> &str {
    headers["user"].to_str().unwrap()
}

#[idempotent(principal = user(&headers).parse::<i64>().unwrap())]
async fn by_number(State(service): State<Service>, headers: HeaderMap) -> (StatusCode, String) {
    let _ = headers;
    (StatusCode::CREATED, service.effect())
}

#[idempotent(principal = user(&headers))]
async fn by_text(State(service): State<Service>, headers: HeaderMap) -> (StatusCode, String) {
    let _ = headers;
    (StatusCode::CREATED, service.effect())
}

#[idempotent(principal = user(&headers).parse::<uuid::Uuid>().unwrap())]
async fn by_uuid(State(service): State<Service>, headers: HeaderMap) -> (StatusCode, String) {
    let _ = headers;
    (StatusCode::CREATED, service.effect())
}

const KEY: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";
const DAY: Duration = Duration::from_secs(86_400);
/// Of `Bearer alice`.
const ALICE: &str = "9d7cce461e4b2f090a3d686b4ae72d25ea18e93573d2772bb52ff548e6262aa3";

/// A reservation whose process died long ago: that of a request with the body `first`.
async fn dead(place: &Place) {
    let service = place.service();
    let service = Service { idempotency: service.idempotency.clone().lease(Duration::from_millis(30)), ..service };
    let request = {
        let service = service.clone();
        async move { service.post("/held", KEY, "first").await }
    };
    let request = tokio::spawn(request);
    service.running.notified().await;
    let text = "UPDATE cratestack_idempotency SET lease_expires_at = created_at + ";
    let ended = match place.dialect() {
        Dialect::Postgres => format!("{text} INTERVAL '1 microsecond', reservation_id = gen_random_uuid()"),
        _ => format!("{text} 1, reservation_id = randomblob(16)"),
    };
    // With another token it is nobody's who lives.
    match place {
        Place::Postgres(_, pool) => run(pool, &ended).await,
        Place::Sqlite(_, pool) => run_sqlite(pool, &ended).await,
    }
    service.gate.notify_one();
    request.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_key_is_found_by_a_log_line_and_released() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        dead(&place).await;
        let service = place.service();
        // Another request under the key: its effect may not happen, as that of the first one may have.
        assert_eq!(service.post("/pay", KEY, "second").await.0, StatusCode::UNPROCESSABLE_ENTITY);
        let (key, principal) = service.last_hashes();

        let listed = place.json(&["list"], 0);
        assert_eq!((&listed["key_hash"], &listed["state"]), (&key.as_str().into(), &"past_lease".into()));
        let found = ["--key-hash", &key, "--principal-hash", &principal];
        let shown = place.json(&[&["show"][..], &found].concat(), 0);
        assert_eq!((&shown["status"], &shown["attempt"], &shown["namespace"]), (&Value::Null, &1.into(), &Value::Null));
        assert!(shown.get("key").is_none() && shown.get("principal").is_none() && shown.get("body").is_none());

        let release = [&["release"][..], &found].concat();
        for dry in [&release[..], &[&release[..], &["--dry-run"]].concat()] {
            let said = place.json(dry, 0);
            assert_eq!((&said["result"], &said["dry_run"]), (&"would_remove".into(), &true.into()));
            assert_eq!(place.count("response_status IS NULL").await, 1, "nothing was changed");
        }
        let done = place.command(&[&release[..], &["--yes", "--by", "a person"]].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        let audit: Vec<_> = done.stderr.lines().filter(|line| line.starts_with("audit: ")).collect();
        let [audit] = audit[..] else { panic!("one line: {}", done.stderr) };
        for part in [
            "action=release",
            " rows=1 ",
            " past_lease=1 ",
            &format!(" key_hash={key} "),
            " by=\"a person\" ",
            " at=20",
        ] {
            assert!(audit.contains(part), "{audit} lacks {part}");
        }
        assert!(done.stderr.contains("its effect may have happened"), "{}", done.stderr);
        assert!(!done.stderr.contains(KEY) && !done.stdout.contains(KEY), "only hashed");
        assert_eq!(
            service.post("/pay", KEY, "second").await,
            (StatusCode::CREATED, "effect 1 of second".into(), false)
        );

        let again = place.command(&[&release[..], &["--yes"]].concat());
        assert_eq!(again.code, 3, "what has finished is no reservation: {}", again.stderr);
        assert!(again.stderr.contains("the request has finished"), "{}", again.stderr);
        assert_eq!(place.command(&["release", "--key", "none", "--yes"]).code, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_released_only_when_that_is_said_and_then_records_nothing() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        let (first, other) = (place.service(), place.service());
        let running = tokio::spawn({
            let first = first.clone();
            async move { first.post("/held", KEY, "same").await }
        });
        first.running.notified().await;
        for command in ["release", "forget"] {
            let refused = place.json(&[command, "--key", KEY, "--yes"], 3);
            assert_eq!((&refused["result"], &refused["records"][0]["state"]), (&"refused".into(), &"in_flight".into()));
        }
        let customer = ["forget", "--principal", "Bearer alice", "--principal-as", "authorization", "--yes"];
        let erased = place.json(&customer, 3);
        assert_eq!((&erased["removed"], &erased["running"]), (&0.into(), &1.into()));
        assert_eq!(other.post("/pay", KEY, "another").await.0, StatusCode::UNPROCESSABLE_ENTITY, "it has its key");

        let done = place.json(&["release", "--key", KEY, "--even-if-running", "--yes"], 0);
        assert_eq!((&done["result"], &done["records"][0]["state"]), (&"removed".into(), &"in_flight".into()));
        let (status, body, _) = other.post("/pay", KEY, "another").await;
        assert_eq!((status, body.as_str()), (StatusCode::CREATED, "effect 1 of another"));
        first.gate.notify_one();
        let (_, told, _) = running.await.unwrap();
        assert!(!told.starts_with("effect"), "its client is not told an outcome that is recorded nowhere: {told}");
        assert_eq!(first.effects(), 1, "but it has happened");
        let (status, body, replayed) = other.post("/pay", KEY, "another").await;
        assert_eq!((status, body.as_str(), replayed), (StatusCode::CREATED, "effect 1 of another", true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_runs_anew_once_and_no_process_replays_it() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        let processes = [place.service(), place.service()];
        assert_eq!(processes[0].post("/pay", KEY, "x").await.1, "effect 1 of x");
        // Until both answer from what they keep in memory.
        for process in &processes {
            for _ in 0..20 {
                assert_eq!(process.post("/pay", KEY, "x").await, (StatusCode::CREATED, "effect 1 of x".into(), true));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let done = place.json(&["forget", "--key", KEY, "--yes"], 0);
        assert_eq!((&done["result"], &done["records"][0]["state"]), (&"removed".into(), &"finished".into()));
        assert_eq!(place.count("principal_fingerprint <> ''").await, 0);
        for process in &processes {
            let begun = Instant::now();
            while process.post("/pay", KEY, "other").await.0 == StatusCode::UNPROCESSABLE_ENTITY {
                assert!(begun.elapsed() < Duration::from_secs(30), "it replays what was forgotten");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert_eq!(processes[0].effects() + processes[1].effects(), 2, "once before, once after");
        let [one, two] = [processes[0].post("/pay", KEY, "other").await, processes[1].post("/pay", KEY, "other").await];
        assert!(one == two && one.1.ends_with("of other"), "{one:?} {two:?}");
        // The mark is no record.
        assert_eq!(place.json(&["list", "--state", "any"], 0)["state"], "finished");
        assert_eq!(place.json(&["stats"], 0)["rows"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_erased_in_each_namespace_or_in_one() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        let services = [place.service(), place.service().within("orders"), place.service().within("payments")];
        for service in &services {
            for user in ["42", "43"] {
                for key in ["a", "b"] {
                    let sent = service.send(Request::post("/by-number").header("user", user), key, "").await;
                    assert_eq!(sent.0, StatusCode::CREATED);
                }
            }
        }
        let customer = ["forget", "--principal", "42", "--principal-as", "integer"];
        let said = place.json(&customer, 0);
        assert_eq!((&said["removed"], &said["result"]), (&6.into(), &"would_remove".into()));
        assert_eq!(place.count("1 = 1").await, 12, "nothing was changed");

        let one = place.json(&[&customer[..], &["--namespace", "orders", "--yes"]].concat(), 0);
        assert_eq!((&one["removed"], &one["principals"][0]["namespace"]), (&2.into(), &"orders".into()));
        let none = place.json(&[&customer[..], &["--no-namespace", "--yes"]].concat(), 0);
        assert_eq!((&none["removed"], &none["principals"][0]["namespace"]), (&2.into(), &Value::Null));
        let rest = place.json(&[&customer[..], &["--yes"]].concat(), 0);
        assert_eq!((&rest["removed"], &rest["states"]["finished"]), (&2.into(), &2.into()));
        assert_eq!(place.command(&customer).code, 1, "nothing is left");
        assert_eq!(place.count("principal_fingerprint <> ''").await, 6, "of another customer");
        for service in services {
            let sent = service.send(Request::post("/by-number").header("user", "43"), "a", "").await;
            assert!(sent.2, "is replayed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_found_as_the_service_knows_him() {
    const UUID: &str = "8e03978e-40d5-43dd-bc93-6894a57f9324";
    const DIGEST: &str = "622e64b2c22f425807dd4e58a766a477bf47edd1548967fa4fd37ec9ff36d2b1";
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        let by_default = place.service();
        let by_name = Service {
            idempotency: by_default.idempotency.clone().principal(|parts| {
                parts.headers.get("user").map(|user| String::from_utf8(user.as_bytes().to_vec()).unwrap())
            }),
            ..by_default.clone()
        };
        let long = "n".repeat(300);
        for (kind, value, path, service) in [
            ("authorization", "Bearer alice", "/pay", &by_default),
            ("integer", "-7", "/by-number", &by_default),
            ("text", "alice", "/by-text", &by_default),
            ("uuid", UUID, "/by-uuid", &by_default),
            ("named", "alice", "/pay", &by_name),
            ("named", DIGEST, "/pay", &by_name),
            ("named", &long, "/pay", &by_name),
        ] {
            let key = format!("{kind}-{}", value.len());
            for service in [service.clone(), service.clone().within("orders")] {
                let header = if kind == "authorization" { "authorization" } else { "user" };
                assert_eq!(
                    service.send(Request::post(path).header(header, value), &key, "").await.0,
                    StatusCode::CREATED
                );
            }
            let whose = ["show", "--key", &key, "--principal", value, "--principal-as", kind, "--json"];
            assert_eq!(place.command(&whose).stdout.lines().count(), 2, "{kind} {value}");
            let shown = place.json(&[&whose[..7], &["--namespace", "orders"]].concat(), 0);
            assert_eq!(shown["namespace"], "orders", "{kind} {value}");
            // A credential is better not among the arguments.
            let url = place.url();
            let piped = [&whose[..3], &["--principal", "-", "--principal-as", kind, "--database-url", &url]].concat();
            assert_eq!(cratestack_schema_reading(&piped, &format!("{value}\n")).code, 0, "{kind} {value}");
            let other = ["show", "--key", &key, "--principal", "17", "--principal-as", "text"];
            assert_eq!(place.command(&other).code, 1, "{kind} {value}");
        }
        let several = place.command(&["forget", "--key", "text-5", "--yes"]);
        assert_eq!(several.code, 3, "{}", several.stderr);
        assert!(several.stderr.contains("2 records are meant") && several.stderr.contains("--namespace"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_is_shown_only_when_it_is_asked_for() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        place.service().post("/pay", KEY, "a secret\u{1b}[2J").await;
        for arguments in [&["show", "--key", KEY][..], &["list", "--state", "any"], &["forget", "--key", KEY]] {
            let done = place.command(arguments);
            assert_eq!(done.code, 0, "{}", done.stderr);
            for secret in ["a secret", KEY, ALICE] {
                let both = done.stdout.clone() + &done.stderr;
                assert!(!both.contains(secret), "{arguments:?} tells {secret}: {both}");
            }
        }
        let shown = place.command(&["show", "--key", KEY, "--names", "--response"]).stdout;
        assert!(shown.contains("effect 1 of a secret\\u{1b}[2J") && shown.contains(KEY), "{shown}");
        assert!(shown.contains("content-type: text/plain"), "{shown}");
        let json = place.json(&["show", "--key", KEY, "--names", "--response"], 0);
        assert_eq!((&json["key"], &json["body"]), (&KEY.into(), &"effect 1 of a secret\u{1b}[2J".into()));
        assert_eq!(
            (&json["status"], &json["body_bytes"], &json["state"]),
            (&201.into(), &24.into(), &"finished".into())
        );
    }
}

/// What a step gave is its run's alone, as what a handler answers is its client's.
#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_stuck_key_are_named_and_their_values_are_not_told() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        let (store, hour) = (place.store(), Duration::from_secs(3_600));
        let claim = Claim { principal: ALICE, key: KEY, request_hash: [1; 32], lease: hour, retention: 2 * hour };
        let ClaimOutcome::Reserved { token, .. } = store.reserve(claim).await.unwrap() else { panic!() };
        assert_eq!(place.json(&["show", "--key", KEY], 0)["steps_bytes"], 0);
        for (name, value) in [("charge", "a secret"), ("to \u{1b}[2J ship", ""), ("charge", "a secret")] {
            let step = StepRecord { principal: ALICE, key: KEY, token, name, value: value.as_bytes() };
            store.record_step(step).await.unwrap();
        }
        for arguments in
            [&["show", "--key", KEY, "--response"][..], &["list"], &["list", "--json"], &["forget", "--key", KEY]]
        {
            let done = place.command(arguments);
            assert!(!(done.stdout.clone() + &done.stderr).contains("a secret"), "{arguments:?}: {}", done.stdout);
        }
        let shown = place.command(&["show", "--key", KEY]).stdout;
        assert!(shown.contains("steps         2: charge, to \\u{1b}[2J ship\n"), "{shown}");
        let json = place.json(&["show", "--key", KEY], 0);
        assert_eq!(json["steps"], serde_json::json!(["charge", "to \u{1b}[2J ship"]));
        assert_eq!(json["steps_bytes"], 2 * (8 + 6 + 8) + 8 + 12, "the second `charge` has been recorded as well");
        let info = store.show(ALICE, KEY).await.unwrap().unwrap();
        assert_eq!(info.steps_bytes, 64);

        // Released, and then removed by the operator: nothing is left of them.
        store.release(ALICE, KEY, token).await.unwrap();
        let released = place.json(&["show", "--key", KEY], 0);
        assert_eq!((&released["state"], &released["steps_bytes"]), (&"past_lease".into(), &64.into()));
        assert_eq!(place.command(&["release", "--key", KEY, "--yes"]).code, 0);
        assert_eq!(store.show(ALICE, KEY).await.unwrap(), None);
    }
}

/// Once the records are gone, and what was forgotten is marked, the look whether others are running fails.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_leaves_its_line_whatever_fails_after_it() {
    let place = Place::of(Dialect::Postgres).await;
    let Place::Postgres(_, pool) = &place else { unreachable!() };
    place.service().post("/pay", KEY, "x").await;
    run(
        pool,
        "CREATE FUNCTION lose_the_way() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM set_config('search_path', 'nowhere', false); RETURN NEW; END $$;
        CREATE TRIGGER lost AFTER INSERT ON cratestack_idempotency FOR EACH ROW EXECUTE FUNCTION lose_the_way()",
    )
    .await;
    let done = place.command(&["forget", "--principal", ALICE, "--yes"]);
    assert_eq!(place.count("principal_fingerprint <> ''").await, 0, "{}", done.stderr);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert!(done.stderr.starts_with("audit: action=forget rows=1 "), "{}", done.stderr);
    assert!(done.stderr.contains("does not exist"), "{}", done.stderr);
}

/// Between the look and the removal, another process takes the key over.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_takes_what_was_looked_at_and_nothing_else() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        let store = place.store();
        let claim = Claim { principal: "p", key: "k", request_hash: [1; 32], lease: Duration::ZERO, retention: DAY };
        store.reserve(claim).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let name = TableName::default();
        let token = token_of(&place, &name).await;
        let takeover = store.reserve(Claim { lease: Duration::ZERO, ..claim }).await.unwrap();
        let ClaimOutcome::Reserved { attempt: 2, .. } = takeover else { panic!("{takeover:?}") };
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Dead as well, but not the one that was looked at.
        for (token, removed) in [(Some(token), 0), (None, 1)] {
            let removal = Removal { unfinished_only: true, token, ..Removal::default() };
            let statement = name.remove(dialect, "p", "k", &removal);
            assert_eq!(rows(&place, &statement.text, &statement.values).await.len(), removed, "{dialect}");
        }
    }
}

async fn token_of(place: &Place, name: &TableName) -> String {
    let statement = name.records(place.dialect(), &RecordFilter::one("p", "k"), 1);
    rows(place, &statement.text, &statement.values).await.remove(0)
}

/// The fourth column of each row, or the first where there are fewer.
async fn rows(place: &Place, text: &str, values: &[StatementValue]) -> Vec<String> {
    use sqlx::Row as _;

    macro_rules! rows {
        ($pool:expr) => {{
            let mut query = sqlx::query(AssertSqlSafe(text.to_owned()));
            for value in values {
                query = match value {
                    StatementValue::Text(text) => query.bind(text.clone()),
                    StatementValue::Integer(integer) => query.bind(*integer),
                };
            }
            let rows = query.fetch_all($pool).await.unwrap();
            rows.iter().map(|row| row.get(if row.len() > 4 { 3 } else { 0 })).collect()
        }};
    }
    match place {
        Place::Postgres(_, pool) => rows!(pool),
        Place::Sqlite(_, pool) => rows!(pool),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_bounded_and_ordered_and_say_what_they_leave_out() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        let store = place.store();
        for n in 0..5 {
            let key = format!("k{n}");
            let claim = Claim { principal: "p", key: &key, request_hash: [0; 32], lease: DAY, retention: DAY };
            store.reserve(claim).await.unwrap();
        }
        let two = place.command(&["list", "--limit", "2", "--names"]);
        assert!(two.stderr.contains("there may be more: --limit"), "{}", two.stderr);
        let json = place.command(&["list", "--limit", "2", "--names", "--json"]).stdout;
        let keys: Vec<_> =
            json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone()).collect();
        assert_eq!(keys, ["k0", "k1"], "the oldest");
        assert_eq!(two.stdout.lines().count(), 3, "with a line of titles: {}", two.stdout);
        assert_eq!(place.command(&["list", "--longer-than", "1h"]).stdout, "");
        let none = place.command(&["list", "--state", "finished", "--json"]);
        assert_eq!((none.code, none.stdout.as_str(), none.stderr.as_str()), (0, "", "0 records\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_found_within_the_bound_says_so() {
    let place = Place::of(Dialect::Sqlite).await;
    let store = place.store();
    for n in 0..3 {
        let key = format!("k{n}");
        let claim = Claim { principal: "p", key: &key, request_hash: [0; 32], lease: DAY, retention: DAY };
        store.reserve(claim).await.unwrap();
    }
    let absent = ["show", "--key-hash", "0123456789abcdef"];
    assert_eq!(place.command(&absent).code, 1, "all three were looked through");
    let done = place.command(&[&absent[..], &["--scan-limit", "2"]].concat());
    assert!(done.code == 2 && done.stderr.contains("--scan-limit: 3 rows were looked through"), "{}", done.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_quoted_without_the_lines_of_its_source_and_no_password_is_told() {
    let (database, pool) = postgres(2).await;
    PostgresStore::new(pool.clone()).migrate().await.unwrap();
    let role = format!("reader_{}", database.name());
    run(
        &pool,
        &format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'; GRANT SELECT ON cratestack_idempotency TO {role}"),
    )
    .await;
    PostgresStore::new(pool.clone())
        .reserve(Claim { principal: "p", key: "k", request_hash: [0; 32], lease: Duration::ZERO, retention: DAY })
        .await
        .unwrap();
    let (_, server) = database.url().split_once('@').unwrap();
    let url = format!("postgres://{role}:hunter2@{server}");
    let done = cratestack_schema(&["release", "--key", "k", "--yes", "--database-url", &url]);
    run(&pool, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    assert_eq!((done.code, done.stdout.as_str()), (2, ""));
    assert!(done.stderr.starts_with("error: the database: permission denied for table"), "{}", done.stderr);
    assert!(done.stderr.contains("(code 42501)"), "{}", done.stderr);
    for line in [".c:", "aclchk", "routine", "line:", "hunter2"] {
        assert!(!done.stderr.contains(line), "{}", done.stderr);
    }
    for url in
        ["postgres://u:hunter2@127.0.0.1:1/x", "postgres://u:hunter2@[::1/x", "postgres://u:hunter2@127.0.0.1:port/x"]
    {
        let done = cratestack_schema(&["check", "--database-url", url]);
        assert!(done.code == 2 && !done.stderr.contains("hunter2"), "{}", done.stderr);
    }
}

/// The tests' server knows no encryption. `127.1` is this machine to a resolver, and a name like any other to the
/// command.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_plain_text_that_leaves_the_machine_is_said() {
    let (database, _pool) = postgres(2).await;
    let local = cratestack_schema(&["check", "--database-url", database.url()]);
    assert_eq!((local.code, local.stderr.as_str()), (1, ""));
    let elsewhere = database.url().replace("127.0.0.1", "127.1").replace("localhost", "127.1");
    assert!(elsewhere.contains("127.1"), "{elsewhere}");
    for url in [elsewhere.clone(), format!("{elsewhere}?sslmode=disable")] {
        let done = cratestack_schema(&["check", "--database-url", &url]);
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.starts_with("warning: the connection to 127.1 is not encrypted"), "{}", done.stderr);
    }
    let refused = cratestack_schema(&["check", "--database-url", &format!("{elsewhere}?sslmode=require")]);
    assert!(refused.code == 2 && refused.stdout.is_empty(), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_is_json_where_that_is_asked_for() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        let clean = place.json(&["check"], 0);
        assert_eq!(
            (&clean["clean"], &clean["version"], &clean["dialect"]),
            (&true.into(), &3.into(), &dialect.name().into())
        );
        match &place {
            Place::Postgres(_, pool) => run(pool, "DROP INDEX cratestack_idempotency_expires_idx").await,
            Place::Sqlite(_, pool) => run_sqlite(pool, "DROP INDEX cratestack_idempotency_expires_idx").await,
        }
        let found = place.json(&["check"], 1);
        assert_eq!((&found["clean"], &found["findings"][0]["kind"]), (&false.into(), &"index".into()));
        let remedy = found["findings"][0]["remedy"].as_str().unwrap();
        assert!(remedy.starts_with("CREATE INDEX"), "{remedy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_shown_and_can_be_forgotten() {
    for dialect in BOTH {
        let place = Place::of(dialect).await;
        let service = place.service();
        for key in [KEY, "whole"] {
            service.post("/pay", key, "x").await;
        }
        let short = if dialect == Dialect::Postgres { "'\\x00ff'" } else { "x'00ff'" };
        let damage = format!(
            "UPDATE cratestack_idempotency SET request_hash = {short}, response_status = -1, response_headers = {short} \
             WHERE key = '{KEY}'"
        );
        match &place {
            Place::Postgres(_, pool) => run(pool, &damage).await,
            Place::Sqlite(_, pool) => run_sqlite(pool, &damage).await,
        }
        let any = RecordQuery::new(10).states([]);
        let (alice, listed) = (Principal::stored(ALICE), service.idempotency.list(&any).await.unwrap());
        assert_eq!(listed.iter().map(|record| record.request_hash.is_some()).collect::<Vec<_>>(), [false, true]);
        let shown = service.idempotency.show(&alice, KEY).await.unwrap().unwrap();
        assert_eq!((shown.status, shown.request_hash, shown.headers_bytes), (None, None, 2));

        assert_eq!(place.command(&["list", "--state", "any"]).stdout.lines().count(), 3);
        let shown = place.json(&["show", "--key", KEY, "--response"], 0);
        assert_eq!(
            (&shown["status"], &shown["request_hash"], &shown["headers"]),
            (&(-1).into(), &"00ff".into(), &Value::Null)
        );
        let shown = place.command(&["show", "--key", KEY, "--response"]);
        assert!(shown.code == 0 && shown.stdout.contains("the headers are damaged"), "{}", shown.stdout);
        assert_eq!(place.command(&["forget", "--key", KEY, "--yes"]).code, 0);
        assert_eq!(service.idempotency.show(&alice, KEY).await, Ok(None));
    }
}

/// Such a database has no character for the mark of a namespace.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_encoding_has_all_of_it() {
    let (server, admin) = postgres(2).await;
    let name = format!("{}_latin1", server.name());
    run(&admin, &format!("CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"))
        .await;
    let url = server.url().replace(server.name(), &name);
    let pool = crate::databases::pool(&url, 4).await;
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let service = Service::over(Idempotency::new(store.clone()));
    for key in [KEY, "other"] {
        assert_eq!(service.post("/pay", key, "x").await.0, StatusCode::CREATED);
    }
    let before = store.now().await.unwrap().unwrap();
    assert_eq!(service.idempotency.list(&RecordQuery::new(10).states([])).await.unwrap().len(), 2);
    let whose = ["--principal", "Bearer alice", "--principal-as", "authorization", "--database-url", &url];
    for (arguments, code) in [
        (&["list", "--state", "any", "--no-namespace"][..], 0),
        (&["show", "--key", KEY], 0),
        (&["forget", "--key", KEY, "--yes"], 0),
        (&["show", "--key", KEY, "--no-namespace"], 1),
        (&["forget", "--yes"], 0),
        (&["forget", "--yes"], 1),
    ] {
        let done = cratestack_schema(&[arguments, &whose].concat());
        assert_eq!(done.code, code, "{arguments:?}: {}", done.stderr);
    }
    assert_ne!(store.now().await.unwrap().unwrap().session, before.session, "processes are told");
    assert!(cratestack_schema(&["stats", "--json", "--database-url", &url]).stdout.starts_with("{\"rows\":0,"));
    pool.close().await;
    drop((service, store));
    run(&admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
}
