//! A store of one's own is three methods: `cargo run --example own_store`. The trait's docs have one from scratch.

use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, IdempotencyStore, MemoryStore, async_trait, idempotent};
use cratestack_runtime::{ReservationOutcome as Outcome, StoreError as Error};
use std::{env, io, net::SocketAddr, time::SystemTime};
use uuid::Uuid;

/// Spreads callers over several stores. One caller always meets the same one.
pub struct Shards(pub [MemoryStore; 8]);
fn shard<'s>(Shards(stores): &'s Shards, who: &str) -> &'s MemoryStore {
    &stores[who.bytes().map(usize::from).sum::<usize>() % stores.len()]
}

#[async_trait]
impl IdempotencyStore for Shards {
    async fn reserve_or_fetch(&self, who: &str, key: &str, hash: [u8; 32], end: SystemTime) -> Result<Outcome, Error> {
        shard(self, who).reserve_or_fetch(who, key, hash, end).await
    }
    async fn complete(&self, who: &str, key: &str, id: Uuid, code: u16, head: &[u8], body: &[u8]) -> Result<(), Error> {
        shard(self, who).complete(who, key, id, code, head, body).await
    }
    async fn release(&self, who: &str, key: &str, id: Uuid) -> Result<(), Error> {
        shard(self, who).release(who, key, id).await
    }
}

#[idempotent]
async fn pay(amount: String) -> String {
    format!("paid {amount} as {}", Uuid::new_v4())
}
#[tokio::main]
async fn main() -> io::Result<()> {
    let app = Router::new().route("/payments", post(pay)).with_state(Idempotency::new(Shards(Default::default())));
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{0}\ncurl -i {0}/payments -H 'Idempotency-Key: k1' -d 5", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}
