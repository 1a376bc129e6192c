//! The mark of a replay under the names that a service gives it, over a real server.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cratestack_runtime::{
    Idempotency, IdempotencyStore, MemoryStore, ReservationOutcome, encode_headers, hash_request, idempotent,
};
use cratestack_tests::Client;
use cratestack_tests::client::Answer;

use crate::logs::Log;
use crate::server::serve;

const STRIPES: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A gateway: it passes on the headers that another service has answered with.
#[idempotent(optional)]
async fn pass_on(headers: HeaderMap, body: String) -> Response {
    let mut response = (StatusCode::CREATED, body).into_response();
    for (name, value) in &headers {
        if let Some(name) = name.as_str().strip_prefix("x-theirs-") {
            response.headers_mut().append(HeaderName::try_from(name).unwrap(), value.clone());
        }
    }
    if headers.contains_key("x-stream") {
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
    }
    response
}

async fn client(idempotency: Idempotency) -> Client {
    serve(Router::new().route("/", post(pass_on)).with_state(idempotency)).await
}

async fn send(client: &Client, key: Option<&str>, headers: &[(&str, &str)]) -> Answer {
    let mut request = client.post("/").body("paid");
    if let Some(key) = key {
        request = request.key(key);
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.send().await.unwrap()
}

fn marks(answer: &Answer, name: &str) -> Vec<String> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_replay_bears_each_mark_once_and_a_first_answer_none() {
    let idempotency = Idempotency::new(MemoryStore::new())
        .mark_replays_with(STRIPES)
        .mark_replays_with(HeaderName::from_static("x-replayed"))
        // Said twice, and said of the mark itself: it changes nothing.
        .mark_replays_with(STRIPES)
        .mark_replays_with(HeaderName::from_static("idempotency-replayed"));
    let client = client(idempotency).await;
    let theirs = [
        ("x-theirs-idempotent-replayed", "true"),
        ("x-theirs-idempotent-replayed", "false"),
        ("x-theirs-x-replayed", "yes"),
        ("x-theirs-idempotency-replayed", "true"),
        ("x-theirs-etag", "7"),
    ];
    for headers in [&[][..], &theirs] {
        let key = headers.len().to_string();
        let first = send(&client, Some(&key), headers).await;
        let again = send(&client, Some(&key), headers).await;
        assert_eq!((first.status, &again.body), (again.status, &first.body));
        for mark in ["idempotency-replayed", "idempotent-replayed", "x-replayed"] {
            assert_eq!(marks(&first, mark), [""; 0], "{mark}");
            assert_eq!(marks(&again, mark), ["true"], "{mark}");
        }
        assert_eq!(
            (first.header("etag"), again.header("etag")),
            ((!headers.is_empty()).then_some("7"), first.header("etag"))
        );
    }
}

#[tokio::test]
async fn a_response_that_is_not_kept_is_cut_too_and_its_problem_bears_no_mark() {
    let client = client(Idempotency::new(MemoryStore::new()).mark_replays_with(STRIPES)).await;
    let headers = [("x-stream", "1"), ("x-theirs-idempotent-replayed", "true")];
    let first = send(&client, Some("k1"), &headers).await;
    assert_eq!((first.status, marks(&first, "idempotent-replayed").len()), (StatusCode::CREATED, 0));
    let again = send(&client, Some("k1"), &headers).await;
    assert_eq!(again.code(), "idempotency_response_not_replayable");
    assert!(!again.is_replay() && marks(&again, "idempotent-replayed").is_empty(), "{again:?}");
}

/// Where a service gives the mark no other name, that name is an ordinary header of its handlers'.
#[tokio::test]
async fn without_an_alias_the_name_is_the_handlers_own() {
    let client = client(Idempotency::new(MemoryStore::new())).await;
    let headers = [("x-theirs-idempotent-replayed", "false")];
    for is_replay in [false, true] {
        let answer = send(&client, Some("k1"), &headers).await;
        assert_eq!((answer.is_replay(), marks(&answer, "idempotent-replayed")), (is_replay, vec!["false".to_owned()]));
    }
}

/// Rows from before the alias was given, or of another service, may hold anything under its name.
#[tokio::test]
async fn a_row_that_holds_the_alias_is_a_replay_all_the_same() {
    let store = Arc::new(MemoryStore::new());
    let hash = hash_request(&Method::POST, "/", None, b"paid");
    let expires_at = SystemTime::now() + Duration::from_secs(60);
    let reserved = store.reserve_or_fetch("alice", "k1", hash, expires_at).await.unwrap();
    let ReservationOutcome::Reserved { token } = reserved else { panic!("{reserved:?}") };
    let mut headers = HeaderMap::new();
    headers.append(STRIPES, HeaderValue::from_static("false"));
    headers.append(STRIPES, HeaderValue::from_static("no"));
    store.complete("alice", "k1", token, 201, &encode_headers(&headers), b"theirs").await.unwrap();
    let idempotency = Idempotency::new(store).principal(|_| Some("alice".to_owned())).mark_replays_with(STRIPES);
    let replay = send(&client(idempotency).await, Some("k1"), &[]).await;
    assert_eq!((marks(&replay, "idempotent-replayed"), &replay.body[..]), (vec!["true".to_owned()], &b"theirs"[..]));
}

/// A header that says something of the connection or the body is no mark: what was recorded under it would be lost.
#[tokio::test]
async fn a_name_with_a_meaning_of_its_own_is_ignored_with_a_warning() {
    let log = Log::default();
    let _guard = crate::logs::listen(log.subscriber("cratestack_runtime=warn"));
    let names = ["content-type", "content-length", "transfer-encoding", "connection", "date", "idempotency-tombstone"];
    let idempotency = names.into_iter().fold(Idempotency::new(MemoryStore::new()), |idempotency, name| {
        idempotency.mark_replays_with(HeaderName::from_static(name))
    });
    for name in names {
        assert!(log.text().contains(&format!("name={name}")), "{name} is not in {}", log.text());
    }
    let client = client(idempotency).await;
    let first = send(&client, Some("k1"), &[]).await;
    let again = send(&client, Some("k1"), &[]).await;
    assert!(again.is_replay());
    assert_eq!((again.header("content-type"), &again.body), (first.header("content-type"), &first.body));
    assert_eq!(again.header("content-length"), Some("4"));
}

/// Such a mark would take a session's cookie from who logs in, or `private` from what no cache may keep.
#[tokio::test]
async fn no_mark_takes_a_header_away_that_clients_and_caches_know() {
    let names = ["set-cookie", "cache-control", "vary", "location", "retry-after", "etag"];
    let idempotency = names.into_iter().fold(Idempotency::new(MemoryStore::new()), |idempotency, name| {
        idempotency.mark_replays_with(HeaderName::from_static(name))
    });
    let client = client(idempotency).await;
    let theirs = names.map(|name| (format!("x-theirs-{name}"), "7"));
    let theirs: Vec<_> = theirs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    for is_replay in [false, true] {
        let answer = send(&client, Some("k1"), &theirs).await;
        assert_eq!(answer.is_replay(), is_replay);
        for name in names {
            // A cookie is a session's, and not recorded.
            let expected = if is_replay && name == "set-cookie" { vec![] } else { vec!["7".to_owned()] };
            assert_eq!(marks(&answer, name), expected, "{name}");
        }
    }
}
