//! Which headers of a response are recorded, and which are the library's own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cratestack_runtime::{
    Idempotency, IdempotencyStore, MemoryStore, ReservationOutcome, encode_headers, hash_request, idempotent,
};

use crate::app::{Answer, request, send};
use crate::logs::Log;

#[derive(Clone, FromRef)]
struct Echo {
    idempotency: Idempotency,
    runs: Arc<AtomicUsize>,
}

impl Echo {
    fn over(idempotency: Idempotency) -> Self {
        Self { idempotency, runs: Arc::default() }
    }

    async fn answer(&self, key: &str, lines: &str) -> Answer {
        let router = Router::new().route("/", post(echo)).route("/stream", post(stream)).with_state(self.clone());
        let uri = if key == "stream" { "/stream" } else { "/" };
        send(router, request(key, uri, lines)).await
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

/// Answers with the headers that the request asks for, and status 409, which a tombstone has too.
#[idempotent]
async fn echo(State(state): State<Echo>, lines: String) -> Response {
    state.runs.fetch_add(1, Ordering::SeqCst);
    (StatusCode::CONFLICT, headers(&lines), "idempotency_response_not_replayable").into_response()
}

/// The same, of what is not recorded.
#[idempotent]
async fn stream(State(state): State<Echo>, lines: String) -> Response {
    state.runs.fetch_add(1, Ordering::SeqCst);
    let mut headers = headers(&lines);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    (headers, "data: x\n\n").into_response()
}

fn headers(lines: &str) -> HeaderMap {
    let fields = lines.lines().filter_map(|line| line.split_once(": "));
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

/// Each name with its values, but for what is in every response.
fn of(answer: &Answer) -> BTreeMap<&str, Vec<&str>> {
    let names = answer.headers.keys().map(HeaderName::as_str).filter(|name| !name.starts_with("content-"));
    names
        .map(|name| (name, answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()))
        .collect()
}

const SECRETS: [&str; 12] = [
    "set-cookie",
    "set-cookie2",
    "www-authenticate",
    "optional-www-authenticate",
    "proxy-authenticate",
    "authentication-info",
    "proxy-authentication-info",
    "dpop-nonce",
    "authorization",
    "x-auth-token",
    "x-csrf-token",
    "x-xsrf-token",
];

#[tokio::test]
async fn a_sessions_secrets_are_sent_and_not_recorded() {
    let echo = Echo::over(Idempotency::new(MemoryStore::new()));
    let secrets = SECRETS.map(|name| format!("{name}: a\n{name}: b\n")).concat();
    let lines = format!("{secrets}location: /payments/1\nx-request-id: 7\n");
    let first = echo.answer("k1", &lines).await;
    assert_eq!(of(&first).len(), SECRETS.len() + 2);
    for name in SECRETS {
        assert_eq!(of(&first)[name], ["a", "b"], "the first answer is unharmed");
    }
    let again = echo.answer("k1", &lines).await;
    let kept = [("idempotency-replayed", vec!["true"]), ("location", vec!["/payments/1"]), ("x-request-id", vec!["7"])];
    assert_eq!(of(&again), BTreeMap::from(kept));
    assert_eq!((again.body, echo.runs()), (first.body, 1));
}

#[tokio::test]
async fn a_handle_says_which_headers_are_recorded() {
    let idempotency = Idempotency::new(MemoryStore::new())
        .record_header(header::SET_COOKIE)
        .omit_header(header::LOCATION)
        .omit_header(header::WWW_AUTHENTICATE)
        .record_header(header::WWW_AUTHENTICATE)
        // What is for one connection stays out.
        .record_header(header::PROXY_AUTHENTICATE);
    let echo = Echo::over(idempotency);
    let lines = "set-cookie: a\nset-cookie: b\nlocation: /1\nwww-authenticate: Basic\nproxy-authenticate: Basic\nx-auth-token: t\n";
    echo.answer("k1", lines).await;
    let again = echo.answer("k1", lines).await;
    let kept =
        [("idempotency-replayed", vec!["true"]), ("set-cookie", vec!["a", "b"]), ("www-authenticate", vec!["Basic"])];
    assert_eq!(of(&again), BTreeMap::from(kept));
}

#[tokio::test]
async fn the_log_says_once_for_each_name_what_is_not_recorded() {
    let log = Log::default();
    let _guard = crate::logs::listen(log.subscriber("cratestack_runtime=warn"));
    let echo = Echo::over(Idempotency::new(MemoryStore::new()).omit_header(header::LOCATION));
    for key in ["k1", "k2", "k3"] {
        echo.clone().answer(key, "set-cookie: cookie-secret\nset-cookie: b\nlocation: /1\netag: x\n").await;
    }
    echo.answer("k4", "authentication-info: nextnonce\n").await;
    let text = log.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("record_header")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("header=set-cookie") && lines[1].contains("header=authentication-info"), "{text}");
    assert!(!text.contains("cookie-secret") && !text.contains("nextnonce") && !text.contains("location"), "{text}");
}

#[tokio::test]
async fn the_marks_are_the_librarys_own() {
    for lines in [
        "idempotency-tombstone: true\n",
        "idempotency-tombstone: false\nidempotency-tombstone: true\n",
        "idempotency-replayed: true\n",
        "idempotency-replayed: false\nidempotency-replayed: true\nidempotency-tombstone: true\n",
    ] {
        let echo = Echo::over(Idempotency::new(MemoryStore::new()));
        let first = echo.answer("k1", &format!("{lines}etag: x\n")).await;
        assert_eq!(of(&first), BTreeMap::from([("etag", vec!["x"])]), "a first answer is none that was replayed");
        let again = echo.answer("k1", &format!("{lines}etag: x\n")).await;
        assert_eq!(of(&again), BTreeMap::from([("etag", vec!["x"]), ("idempotency-replayed", vec!["true"])]));
        assert_eq!((again.status, again.body, echo.runs()), (first.status, first.body, 1));

        let live = echo.answer("stream", lines).await;
        assert_eq!(of(&live), BTreeMap::new());
        let again = echo.answer("stream", lines).await;
        assert_eq!((again.code().as_str(), again.is_replay()), ("idempotency_response_not_replayable", false));
        assert_eq!(
            of(&again).keys().collect::<Vec<_>>(),
            [&"cache-control", &"vary"],
            "a tombstone's mark is not sent"
        );
    }
}

/// A row that a service on 0.8 has written: whatever its handler set is in it.
#[tokio::test]
async fn a_row_of_another_service_never_poses_as_a_first_answer() {
    let cases = [
        (201, "idempotency-tombstone: true\n", vec!["true"]),
        (409, "idempotency-tombstone: true\n", vec!["true"]),
        (201, "idempotency-replayed: no\nidempotency-replayed: 2\n", vec![]),
    ];
    for (status, lines, tombstone) in cases {
        let store = MemoryStore::new();
        let hash = hash_request(&Method::POST, "/", Some("application/json"), b"");
        let principal = "alice";
        let expires_at = SystemTime::now() + Duration::from_secs(60);
        let reserved = store.reserve_or_fetch(principal, "k1", hash, expires_at).await.unwrap();
        let ReservationOutcome::Reserved { token } = reserved else { panic!("{reserved:?}") };
        let blob = encode_headers(&headers(lines));
        store.complete(principal, "k1", token, status, &blob, b"theirs").await.unwrap();
        let idempotency = Idempotency::new(store).principal(move |_| Some(principal.to_owned()));
        let replay = Echo::over(idempotency).answer("k1", "").await;
        assert_eq!((replay.status.as_u16(), &replay.body[..]), (status, &b"theirs"[..]));
        assert_eq!(of(&replay)["idempotency-replayed"], ["true"], "{status} {lines}");
        assert_eq!(of(&replay).remove("idempotency-tombstone").unwrap_or_default(), tombstone, "as it was recorded");
    }
}
