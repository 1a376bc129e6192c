//! Ten thousand callers that go away when they like: no key stays pinned for longer than a release takes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::records::RecordQuery;
use cratestack_runtime::{ClaimOutcome, Idempotency, IdempotencyStore, RedisStore, Reservation, idempotent};
use cratestack_tests::redis::RedisServer;
use cratestack_tests::{Client, RedisOptions};
use futures_util::stream::{self, StreamExt};

use crate::service::{HOUR, claim, on, on_cluster, until};

const CALLERS: u64 = 10_000;

/// When caller `n` goes away, spread by a multiplicative hash.
fn patience(n: u64, longest: Duration) -> Duration {
    let spread = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let micros = u64::try_from(longest.as_micros()).unwrap();
    Duration::from_micros(spread % micros)
}

/// Leases of an hour: what is free again was given back.
async fn dropped_reservations(what: &str, store: RedisStore) {
    let kept = stream::iter(0..CALLERS)
        .map(|n| {
            let store = store.clone();
            async move {
                let key = format!("k{n}");
                // Every third one stays.
                let patience = if n % 3 == 0 { HOUR } else { patience(n, Duration::from_millis(20)) };
                let reserved = tokio::time::timeout(patience, store.reserve(claim(&key, HOUR))).await;
                // On a busy machine an answer may take too long, which leaves nothing behind either.
                let kept = matches!(reserved, Ok(Ok(ClaimOutcome::Reserved { .. })));
                if kept {
                    let info = store.show("p", &key).await.unwrap();
                    assert!(info.is_some(), "{key} was told, and is not there");
                }
                kept
            }
        })
        .buffer_unordered(256)
        .filter(|kept| std::future::ready(*kept))
        .count()
        .await;
    let last = Instant::now();
    assert!(kept > 0 && kept < usize::try_from(CALLERS).unwrap(), "some go away and some do not: {kept}");
    until("only those are left that were told", async || {
        let left = store.list(&RecordQuery::new(u32::MAX)).await.unwrap().len();
        (left == kept).then_some(())
    })
    .await;
    println!("{what}: {kept} of {CALLERS} were told; none of the others is pinned {:?} later", last.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_reservations_pin_nothing() {
    let server = RedisServer::launch().await;
    dropped_reservations("group commit", on(&server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_reservations_that_are_made_alone_pin_nothing() {
    let server = RedisServer::launch().await;
    dropped_reservations("alone", on(&server).group_commit(false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_reservations_that_replicas_acknowledge_pin_nothing() {
    let replicas = RedisOptions::new().start_replicas(1).await;
    dropped_reservations("acknowledged", on(replicas.primary()).acknowledged_by(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_reservations_on_a_cluster_pin_nothing() {
    let cluster = RedisOptions::new().start_cluster().await;
    dropped_reservations("Cluster", on_cluster(&cluster)).await;
}

#[derive(Clone, FromRef)]
struct Ledger {
    idempotency: Idempotency,
    effects: Arc<Mutex<HashMap<String, usize>>>,
}

#[idempotent]
async fn pay(State(ledger): State<Ledger>, reservation: Reservation) -> StatusCode {
    tokio::time::sleep(Duration::from_millis(5)).await;
    *ledger.effects.lock().unwrap().entry(reservation.key().to_owned()).or_default() += 1;
    StatusCode::CREATED
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_hang_ups_pin_no_key_and_double_no_effect() {
    let server = RedisServer::launch().await;
    // Longer than the test takes.
    let idempotency = Idempotency::new(on(&server)).lease(HOUR);
    let ledger = Ledger { idempotency, effects: Arc::default() };
    let router = Router::new().route("/pay", post(pay)).with_state(ledger.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let heard = stream::iter(0..CALLERS)
        .map(|n| {
            let request = client.post("/pay").key(&format!("k{n}"));
            async move { request.hang_up_after(patience(n, Duration::from_millis(100))).await.unwrap().is_some() }
        })
        .buffer_unordered(64)
        .filter(|heard| std::future::ready(*heard))
        .count()
        .await;
    println!("{heard} of {CALLERS} clients heard an answer");
    assert!(heard > 0 && heard < usize::try_from(CALLERS).unwrap(), "some hang up and some do not");

    let hung_up = Instant::now();
    stream::iter(0..CALLERS)
        .for_each_concurrent(64, |n| {
            let request = client.post("/pay").key(&format!("k{n}"));
            async move {
                let answered = until("the key is free or its outcome is there", async || {
                    let answer = request.send().await.unwrap();
                    (answer.status != StatusCode::CONFLICT).then_some(answer)
                });
                let answer = answered.await;
                assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
            }
        })
        .await;
    println!("all keys answer {:?} after the last hang-up", hung_up.elapsed());
    let effects = ledger.effects.lock().unwrap();
    assert_eq!(effects.len(), usize::try_from(CALLERS).unwrap());
    let doubled: Vec<_> = effects.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
}
