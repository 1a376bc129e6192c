//! What a client gets in a handler's place: every problem that a reservation can come to, provoked over a real server,
//! in each of its forms. Those of transactions are in `transaction/either_database.rs`.

#![expect(clippy::needless_pass_by_value, reason = "functions take problems as `Idempotency::problems` gives them")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Json, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cratestack_runtime::{
    Idempotency, IdempotencyStore, MemoryStore, Problem, Reservation, ReservationOutcome, encode_headers, hash_request,
    idempotent,
};
use cratestack_tests::client::{Answer, RequestBuilder};
use serde_json::{Value, json};

use crate::app::App;
use crate::failing_store::{FailingStore, Failure, Method};
use crate::logs::Log;
use crate::server::serve;

/// As Chromium sends it with a form.
const BROWSER: &str =
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8";

#[idempotent(body_limit = 1_000)]
async fn pay(State(app): State<App>, Path(what): Path<String>, _: String) -> Response {
    app.effects.fetch_add(1, Ordering::SeqCst);
    match what.as_str() {
        "held" => {
            app.waiting.notify_one();
            app.gate.notified().await;
        }
        "panics" => panic!("told to panic"),
        "streams" => {
            return (StatusCode::ACCEPTED, [(CONTENT_TYPE, "text/event-stream")], "data: 1\n\n").into_response();
        }
        _ => {}
    }
    (StatusCode::CREATED, "paid").into_response()
}

/// The request has no value to make a key of.
#[idempotent(key = body)]
async fn keyed(body: String) -> String {
    body
}

/// A safe method reserves nothing.
#[idempotent]
async fn reserved(reservation: Reservation) -> String {
    reservation.key().to_owned()
}

fn router(app: App) -> Router {
    Router::new()
        .route("/pay/{what}", post(pay))
        .route("/keyed", post(keyed))
        .route("/reserved", post(reserved).get(reserved))
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// A handle whose callers are alice, but for those who say that they are nobody.
fn handle(store: impl IdempotencyStore) -> Idempotency {
    Idempotency::new(store).principal(|request| (!request.headers.contains_key("x-nobody")).then(|| "alice".to_owned()))
}

/// What a problem's answer came to, beside what it is to say.
#[derive(Debug)]
struct Provoked {
    code: &'static str,
    status: u16,
    retry_after: Option<&'static str>,
    retryable: bool,
    answer: Answer,
}

/// Runs into every problem by requests that ask for `accept`, at services whose handles are set by `set`.
async fn provoke(accept: Option<&str>, set: impl Fn(Idempotency) -> Idempotency) -> Vec<Provoked> {
    let mut provoked = Vec::new();
    let mut put = |code, status, retry_after: Option<&'static str>, retryable, answer: Answer| {
        provoked.push(Provoked { code, status, retry_after, retryable, answer });
    };
    let asking = |request: RequestBuilder| match accept {
        Some(accept) => request.header("accept", accept),
        None => request,
    };
    let store = Arc::new(FailingStore::default());
    let app = App::over(set(handle(Arc::clone(&store))));
    let client = serve(router(app.clone())).await;
    let send = async |path: &str, key: &str, body: &str| {
        asking(client.post(path).key(key).body(body.to_owned())).send().await.unwrap()
    };

    let answer = asking(client.post("/pay/ok")).send().await.unwrap();
    put("idempotency_key_missing", 400, None, false, answer);
    let answer = asking(client.post("/reserved")).send().await.unwrap();
    put("idempotency_key_missing", 400, None, false, answer);
    let answer = asking(client.post("/keyed")).send().await.unwrap();
    put("idempotency_key_missing", 400, None, false, answer);
    put("idempotency_key_invalid", 400, None, false, send("/pay/ok", "", "").await);
    put("idempotency_key_invalid", 400, None, false, send("/reserved", "a b", "").await);

    assert_eq!(send("/pay/ok", "taken", "a").await.status, StatusCode::CREATED);
    put("idempotency_key_conflict", 422, None, false, send("/pay/ok", "taken", "b").await);

    let held = tokio::spawn(client.post("/pay/held").key("held").send_owned());
    app.waiting.notified().await;
    put("idempotency_request_in_flight", 409, Some("1"), true, send("/pay/held", "held", "").await);
    app.gate.notify_one();
    assert_eq!(held.await.unwrap().status, StatusCode::CREATED);

    put("idempotency_request_too_large", 413, None, false, send("/pay/ok", "large", &"x".repeat(1_001)).await);
    let accepting = accept.map(|accept| format!("Accept: {accept}\r\n")).unwrap_or_default();
    let broken_off = format!(
        "POST /pay/ok HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{accepting}Idempotency-Key: \"cut\"\r\n\
         Content-Length: 100\r\n\r\nonly this"
    );
    let cut = parsed(&client.raw_cut_short(broken_off.as_bytes()).await.unwrap().text);
    put("idempotency_request_incomplete", 400, None, true, cut);
    let nobody = asking(client.post("/pay/ok").key("nobody").header("x-nobody", "1")).send().await.unwrap();
    put("idempotency_caller_unknown", 500, None, false, nobody);
    let safe = asking(client.get("/reserved")).send().await.unwrap();
    put("idempotency_no_reservation", 500, None, false, safe);

    let hash = hash_request(&HttpMethod::POST, "/pay/ok", None, b"");
    let expires_at = SystemTime::now() + Duration::from_secs(60);
    let reserved = store.inner.reserve_or_fetch("alice", "damaged", hash, expires_at).await.unwrap();
    let ReservationOutcome::Reserved { token } = reserved else { panic!("{reserved:?}") };
    store.inner.complete("alice", "damaged", token, 201, b"\x07\0\0\0", b"paid").await.unwrap();
    put("idempotency_record_damaged", 500, None, false, send("/pay/ok", "damaged", "").await);

    put("idempotency_handler_panicked", 500, None, false, send("/pay/panics", "panics", "").await);
    let streamed = send("/pay/streams", "streams", "").await;
    assert_eq!((streamed.status, &streamed.body[..]), (StatusCode::ACCEPTED, &b"data: 1\n\n"[..]));
    let effects = app.effects();
    put("idempotency_response_not_replayable", 409, None, false, send("/pay/streams", "streams", "").await);
    assert_eq!(app.effects(), effects);

    store.fail(Method::Finish, Failure::Overtaken);
    put("idempotency_reservation_lost", 409, Some("1"), true, send("/pay/ok", "lost", "").await);
    store.fail(Method::Reserve, Failure::Refused);
    put("idempotency_store_unavailable", 503, Some("5"), true, send("/pay/ok", "unreserved", "").await);

    let busy = App::over(set(handle(MemoryStore::new())).max_running(1));
    let client = serve(router(busy.clone())).await;
    let held = tokio::spawn(client.post("/pay/held").key("held").send_owned());
    busy.waiting.notified().await;
    let overloaded = asking(client.post("/pay/ok").key("another")).send().await.unwrap();
    put("idempotency_overloaded", 503, Some("1"), true, overloaded);
    busy.gate.notify_one();
    held.await.unwrap();
    assert_eq!(provoked.len(), 17);
    provoked
}

/// Of a request that is sent on a task of its own.
trait SendOwned {
    fn send_owned(self) -> impl Future<Output = Answer> + Send;
}

impl SendOwned for RequestBuilder {
    async fn send_owned(self) -> Answer {
        self.send().await.unwrap()
    }
}

/// An answer as its bytes came.
fn parsed(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    Answer { status, headers, body: body.to_owned().into() }
}

fn assert_of_protocol(provoked: &Provoked) {
    let Provoked { code, status, retry_after, answer, .. } = provoked;
    assert_eq!(answer.status.as_u16(), *status, "{code}: {answer:?}");
    assert_eq!(answer.header(RETRY_AFTER.as_str()), *retry_after, "{code}");
    assert_eq!(answer.header(CACHE_CONTROL.as_str()), Some("no-store"), "{code}");
    assert_eq!(answer.headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept"], "{code}");
    assert!(!answer.is_replay() && !answer.headers.contains_key("idempotency-tombstone"), "{code}: {answer:?}");
}

#[tokio::test]
async fn programs_get_problem_details_that_say_whether_to_send_again() {
    for accept in
        [None, Some("*/*"), Some("application/json, text/plain, */*"), Some("text/html;q=0.9, application/json")]
    {
        for provoked in provoke(accept, |handle| handle).await {
            assert_of_protocol(&provoked);
            let Provoked { code, status, retryable, answer, .. } = provoked;
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{code}");
            let problem = answer.json();
            assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{problem}");
            assert_eq!(problem["retryable"], retryable, "{problem}");
            let original_status = (code == "idempotency_response_not_replayable").then_some(202);
            assert_eq!(problem.get("original_status"), original_status.map(Value::from).as_ref());
        }
    }
}

/// Of these the request was executed, or may have been.
const LOOK_FIRST: [&str; 3] =
    ["idempotency_record_damaged", "idempotency_handler_panicked", "idempotency_response_not_replayable"];

#[tokio::test]
async fn a_person_gets_a_page() {
    for provoked in provoke(Some(BROWSER), |handle| handle.documentation_url("/docs/keys?a=1&b=2")).await {
        assert_of_protocol(&provoked);
        let Provoked { code, status, retry_after, retryable, answer } = provoked;
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{code}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("link"), Some("</docs/keys?a=1&b=2>; rel=\"describedby\""), "{code}");
        let page = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(page.contains(&format!("<code>{code}</code>")) && page.contains(&format!("<dd>{status} ")), "{page}");
        assert!(page.contains(&format!("href=\"/docs/keys?a=1&amp;b=2#{code}\"")), "{page}");
        let again = match (retryable, retry_after) {
            (false, _) if LOOK_FIRST.contains(&code) => "It may have been carried out. Look whether it was",
            (false, _) => "To send it again as it is does not help.",
            (true, None) => "You can send it again, unchanged, now.",
            (true, Some("1")) => "You can send it again, unchanged, in a second.",
            (true, Some(_)) => "You can send it again, unchanged, in 5 seconds.",
        };
        assert!(page.contains(again), "{page}");
        for outside in ["<script", "src=", "http://", "https://", "url(", "@import"] {
            assert!(!page.contains(outside), "{outside} in {page}");
        }
    }
}

/// As Stripe's are. It says a body, and nothing else.
fn like_stripe(problem: Problem) -> Json<Value> {
    Json(json!({ "error": { "code": problem.code(), "message": problem.detail(), "retry": problem.retryable() } }))
}

#[tokio::test]
async fn a_service_gives_problems_its_own_shape_and_the_protocol_stays() {
    let set = |handle: Idempotency| handle.documentation_url("https://docs.example.com/").problems(like_stripe);
    for provoked in provoke(Some(BROWSER), set).await {
        assert_of_protocol(&provoked);
        let Provoked { code, retryable, answer, .. } = provoked;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{code}");
        assert_eq!(answer.header("link"), Some("<https://docs.example.com/>; rel=\"describedby\""), "{code}");
        assert!(!answer.headers.contains_key("content-security-policy"));
        let error = &answer.json()["error"];
        assert_eq!((&error["code"], &error["retry"]), (&json!(code), &json!(retryable)), "{error}");
        assert!(error["message"].as_str().unwrap().ends_with('.'), "{error}");
    }
}

/// Says whatever could take something away from the protocol, or add something false to it.
fn hostile(problem: Problem) -> Response {
    let status = match problem.code() {
        "idempotency_key_missing" => StatusCode::OK,
        "idempotency_key_invalid" => StatusCode::SEE_OTHER,
        "idempotency_key_conflict" => StatusCode::NO_CONTENT,
        "idempotency_request_in_flight" => StatusCode::SWITCHING_PROTOCOLS,
        "idempotency_overloaded" => StatusCode::from_u16(999).unwrap(),
        // Errors of its own are the service's to choose.
        "idempotency_store_unavailable" => StatusCode::TOO_MANY_REQUESTS,
        _ => problem.status(),
    };
    let mut response = (status, "shaped").into_response();
    let headers = [
        ("cache-control", "public, max-age=3600"),
        ("vary", "origin, ACCEPT"),
        ("link", "</terms>; rel=\"terms-of-service\""),
        ("idempotency-replayed", "true"),
        ("idempotent-replayed", "true"),
        ("idempotency-tombstone", "true"),
        ("x-own", "1"),
    ];
    for (name, value) in headers {
        response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if problem.code() == "idempotency_reservation_lost" {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("9"));
    }
    response
}

#[tokio::test]
async fn what_the_protocol_needs_is_there_whatever_a_service_says() {
    let set = |handle: Idempotency| {
        let alias = HeaderName::from_static("idempotent-replayed");
        handle.documentation_url("/docs").mark_replays_with(alias).problems(hostile)
    };
    for provoked in provoke(None, set).await {
        let Provoked { code, status, retry_after, answer, .. } = provoked;
        let expected = if code == "idempotency_store_unavailable" { 429 } else { status };
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (expected, &b"shaped"[..]), "{code}");
        let after = if code == "idempotency_reservation_lost" { Some("9") } else { retry_after };
        assert_eq!(answer.header("retry-after"), after, "{code}");
        assert_eq!(answer.headers.get_all(CACHE_CONTROL).iter().collect::<Vec<_>>(), ["no-store"], "{code}");
        assert_eq!(answer.headers.get_all(VARY).iter().collect::<Vec<_>>(), ["origin, ACCEPT"], "{code}");
        let links: Vec<_> = answer.headers.get_all(LINK).iter().collect();
        assert_eq!(links, ["</terms>; rel=\"terms-of-service\"", "</docs>; rel=\"describedby\""], "{code}");
        for mark in ["idempotency-replayed", "idempotent-replayed", "idempotency-tombstone"] {
            assert!(!answer.headers.contains_key(mark), "{code}: {mark}");
        }
        assert_eq!(answer.header("x-own"), Some("1"));
    }
}

/// It panics, or what it gives does so as it becomes a response.
fn panics(problem: Problem) -> Panics {
    assert_ne!(problem.status(), StatusCode::CONFLICT, "told to panic");
    Panics
}

struct Panics;

impl IntoResponse for Panics {
    fn into_response(self) -> Response {
        panic!("told to panic")
    }
}

#[tokio::test]
async fn a_function_that_panics_is_as_good_as_none() {
    let log = Log::default();
    let _guard = crate::logs::listen(log.subscriber("cratestack_runtime=error"));
    let plain = provoke(None, |handle| handle).await;
    assert!(!log.text().contains("Idempotency::problems"));
    let broken = provoke(None, |handle| handle.problems(panics)).await;
    for (plain, broken) in plain.into_iter().zip(broken) {
        assert_of_protocol(&broken);
        assert_eq!((broken.code, &broken.answer.body), (plain.code, &plain.answer.body));
    }
    assert!(log.text().contains("the function of `Idempotency::problems` panicked"), "{}", log.text());
}

/// A panic of the function takes nothing along of what else goes over its connection, or has been recorded.
#[tokio::test]
async fn a_function_that_panics_takes_neither_the_connection_nor_an_outcome_along() {
    // A place in the code that first logs on a thread without a subscriber may be silent for all of them.
    let log = Log::default();
    let _guard = crate::logs::listen(log.subscriber("cratestack_runtime=error"));
    let app = App::over(handle(MemoryStore::new()).problems(panics));
    let client = serve(router(app.clone())).await;
    let mut connection = client.connect().await.unwrap();
    let paid = client.post("/pay/ok").key("k1").body("a");
    assert_eq!(paid.send_over(&mut connection).await.unwrap().status, StatusCode::CREATED);
    for _ in 0..5 {
        let conflict = client.post("/pay/ok").key("k1").body("b").send_over(&mut connection).await.unwrap();
        assert_eq!(conflict.code(), "idempotency_key_conflict");
        assert!(paid.send_over(&mut connection).await.unwrap().is_replay());
    }
    assert_eq!(app.effects(), 1);
    assert_eq!(log.text().matches("the function of `Idempotency::problems` panicked").count(), 5, "{}", log.text());
}

#[tokio::test]
async fn a_page_for_a_person_can_be_kept_beside_a_shape_for_programs() {
    let set = |handle: Idempotency| {
        handle.problems(|problem| {
            if problem.prefers_html() { problem.into_response() } else { like_stripe(problem).into_response() }
        })
    };
    let kinds = |provoked: Vec<Provoked>| -> Vec<String> {
        provoked.iter().map(|provoked| provoked.answer.header("content-type").unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(provoke(Some(BROWSER), set).await), ["text/html; charset=utf-8"; 17]);
    assert_eq!(kinds(provoke(None, set).await), ["application/json"; 17]);
}

/// Several requests at once, each in the form that it asks for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_many_gets_the_form_that_it_asks_for() {
    let client = serve(router(App::over(handle(MemoryStore::new())))).await;
    assert_eq!(client.post("/pay/streams").key("k1").send().await.unwrap().status, StatusCode::ACCEPTED);
    let mut asked = tokio::task::JoinSet::new();
    for n in 0..60 {
        let accept = if n % 2 == 0 { BROWSER } else { "application/json" };
        let request = client.post("/pay/streams").key("k1").header("accept", accept);
        asked.spawn(async move { (n % 2 == 0, request.send().await.unwrap()) });
    }
    while let Some(answered) = asked.join_next().await {
        let (is_person, answer) = answered.unwrap();
        assert_eq!(answer.status, StatusCode::CONFLICT);
        let kind = if is_person { "text/html; charset=utf-8" } else { "application/problem+json" };
        assert_eq!(answer.header("content-type"), Some(kind));
    }
}

/// What cannot be read in an `Accept` is as good as not said, and takes nothing along.
#[tokio::test]
async fn an_accept_that_makes_no_sense_gets_problem_details() {
    let client = serve(router(App::new())).await;
    let long = "text/html;q=0,".repeat(500);
    for accept in ["", ";;;,,,///", "text/html;q=9", "\"text/html", "text/html;q=0.0.0", &long] {
        let answer = client.post("/pay/ok").header("accept", accept).send().await.unwrap();
        assert_eq!(answer.code(), "idempotency_key_missing", "{accept}");
    }
    let head = b"POST /pay/ok HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: \xff\xfe/\x80;q=\xff\r\n\r\n";
    assert_eq!(client.raw(head).await.unwrap().status, Some(400));
}

/// A tombstone as a version wrote it that knew neither `retryable` nor pages. A problem is made of it for whoever asks.
#[tokio::test]
async fn a_tombstone_of_an_earlier_version_is_told_in_the_form_that_is_asked_for() {
    let store = Arc::new(MemoryStore::new());
    let hash = hash_request(&HttpMethod::POST, "/pay/streams", None, b"");
    let expires_at = SystemTime::now() + Duration::from_secs(60);
    let reserved = store.reserve_or_fetch("alice", "old", hash, expires_at).await.unwrap();
    let ReservationOutcome::Reserved { token } = reserved else { panic!("{reserved:?}") };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert("idempotency-tombstone", HeaderValue::from_static("true"));
    let body = r#"{"type":"about:blank","title":"Conflict","status":409,"detail":"Read it.",
        "code":"idempotency_response_not_replayable","original_status":207}"#;
    store.complete("alice", "old", token, 409, &encode_headers(&headers), body.as_bytes()).await.unwrap();
    let app = App::over(handle(store));
    let client = serve(router(app.clone())).await;
    let retry = client.post("/pay/streams").key("old");
    let problem = retry.send().await.unwrap();
    assert_eq!((problem.status, problem.is_replay()), (StatusCode::CONFLICT, false));
    assert_eq!((&problem.json()["retryable"], &problem.json()["original_status"]), (&json!(false), &json!(207)));
    let page = retry.header("accept", BROWSER).send().await.unwrap();
    assert!(String::from_utf8(page.body.to_vec()).unwrap().contains("<dd>207</dd>"), "{page:?}");
    assert_eq!(app.effects(), 0);
}
