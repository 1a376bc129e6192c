//! A call that a handler makes is idempotent in its turn: `cargo run --example derive`.

use std::{collections::BTreeSet, env, io, net::SocketAddr};

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, MemoryStore, Reservation, idempotent};
use tokio::sync::Mutex;
use uuid::Uuid;

/// A payment provider that is idempotent itself: one charge for each key that it is shown.
static CHARGES: Mutex<BTreeSet<Uuid>> = Mutex::const_new(BTreeSet::new());

/// The first attempt ends between the charge and its record, so a retry runs. Both show the provider one derived key.
#[idempotent]
async fn pay(reservation: Reservation, amount: String) -> String {
    let is_first = CHARGES.lock().await.insert(reservation.derive("charge-card"));
    assert!(!is_first, "on purpose: the charge is made, and nothing is recorded");
    format!("paid {amount}; charges at the provider: {}", CHARGES.lock().await.len())
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let idempotency = Idempotency::new(MemoryStore::new());
    let app = Router::new().route("/payments", post(pay)).with_state(idempotency);

    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nSend this three times: it fails, is made good, and is replayed.");
    println!("curl -i http://{address}/payments -H 'Idempotency-Key: k1' -d 5");
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}
