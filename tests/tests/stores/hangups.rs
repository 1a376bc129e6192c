//! Ten thousand clients that hang up when they like.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::routing::post;
use cratestack_runtime::{Idempotency, Reservation, idempotent};
use cratestack_tests::Client;
use futures_util::stream::{self, StreamExt};

use crate::databases::postgres;

const CLIENTS: u64 = 10_000;
const LEASE: Duration = Duration::from_secs(10);

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

/// The moment at which client `n` hangs up, spread over the whole life of a request by a multiplicative hash.
fn patience(seed: u64, n: u64) -> Duration {
    let spread = (n ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    Duration::from_micros(spread % 100_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_hang_ups_pin_no_key_and_double_no_effect() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs())
    });
    println!("SEED={seed}");
    let (_database, _pool, store) = postgres(10).await;
    let ledger = Ledger { idempotency: Idempotency::new(store).lease(LEASE), effects: Arc::default() };
    let router = Router::new().route("/pay", post(pay)).with_state(ledger.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let heard = stream::iter(0..CLIENTS)
        .map(|n| {
            let request = client.post("/pay").key(&format!("k{n}"));
            async move { request.hang_up_after(patience(seed, n)).await.unwrap().is_some() }
        })
        .buffer_unordered(64)
        .filter(|heard| std::future::ready(*heard))
        .count()
        .await;
    println!("{heard} of {CLIENTS} clients heard an answer");
    assert!(heard > 0 && heard < usize::try_from(CLIENTS).unwrap(), "some hang up and some do not");

    let hung_up = Instant::now();
    stream::iter(0..CLIENTS)
        .for_each_concurrent(64, |n| async move {
            let request = client.post("/pay").key(&format!("k{n}"));
            loop {
                let answer = request.send().await.unwrap();
                match answer.status {
                    StatusCode::CREATED => return,
                    StatusCode::CONFLICT => tokio::time::sleep(Duration::from_millis(20)).await,
                    other => panic!("{other}: {answer:?}"),
                }
                assert!(hung_up.elapsed() < Duration::from_secs(60), "k{n} is pinned");
            }
        })
        .await;
    let effects = ledger.effects.lock().unwrap();
    assert_eq!(effects.len(), usize::try_from(CLIENTS).unwrap());
    let doubled: Vec<_> = effects.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
}
