//! HTTP/2: a key, replays, and a stream that the client resets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::server::Server;

#[derive(Clone, FromRef)]
struct App {
    idempotency: Idempotency,
    runs: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
}

#[idempotent(wait = "30s")]
async fn pay(State(runs): State<Arc<AtomicU32>>, State(gate): State<Arc<Semaphore>>, amount: String) -> String {
    let run = runs.fetch_add(1, Ordering::SeqCst);
    gate.acquire().await.unwrap().forget();
    format!("paid {amount}, run {run}")
}

async fn start(permits: usize) -> (Server, App, SendRequest<Bytes>) {
    let gate = Arc::new(Semaphore::new(permits));
    let app = App { idempotency: Idempotency::new(MemoryStore::new()), runs: Arc::default(), gate };
    let server = Server::start(Router::new().route("/payments", post(pay)).with_state(app.clone())).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    (server, app, client)
}

/// Opens a stream with a payment on it.
async fn open(client: &SendRequest<Bytes>, key: &str) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let mut client = client.clone().ready().await.unwrap();
    let request = Request::post("http://shop.example/payments").header("idempotency-key", key).body(()).unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"5"), true).unwrap();
    (response, body)
}

async fn read(response: h2::client::ResponseFuture) -> (StatusCode, HeaderMap, String) {
    let (parts, mut body) = response.await.unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        text.extend(data);
    }
    (parts.status, parts.headers, String::from_utf8(text).unwrap())
}

async fn send(client: &SendRequest<Bytes>, key: &str) -> (StatusCode, HeaderMap, String) {
    read(open(client, key).await.0).await
}

#[tokio::test]
async fn a_retry_on_the_same_connection_is_replayed() {
    let (_server, app, client) = start(10).await;
    let (status, first, text) = send(&client, "k1").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "paid 5, run 0"));
    let (_, again, replayed) = send(&client, "k1").await;
    assert_eq!(replayed, text);
    assert!(!first.contains_key("idempotency-replayed") && again.contains_key("idempotency-replayed"));
    assert_eq!(app.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn streams_of_one_key_at_once_run_once() {
    let (_server, app, client) = start(10).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(open(&client, "k1").await);
    }
    for (response, _) in streams {
        assert_eq!(read(response).await.2, "paid 5, run 0");
    }
    assert_eq!(app.runs.load(Ordering::SeqCst), 1);
}

/// `RST_STREAM` is a client that hangs up.
#[tokio::test]
async fn a_stream_that_is_reset_changes_nothing() {
    let (_server, app, client) = start(0).await;
    let (response, mut body) = open(&client, "k1").await;
    while app.runs.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    body.send_reset(h2::Reason::CANCEL);
    assert_eq!(response.await.unwrap_err().reason(), Some(h2::Reason::CANCEL));
    // What comes after the reset on the same connection is handled after it.
    let (other, _) = open(&client, "k2").await;
    while app.runs.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
    app.gate.add_permits(2);
    assert_eq!(read(other).await.2, "paid 5, run 1");
    let (_, headers, text) = send(&client, "k1").await;
    assert!(headers.contains_key("idempotency-replayed"));
    assert_eq!(text, "paid 5, run 0");
    assert_eq!(app.runs.load(Ordering::SeqCst), 2);
}
