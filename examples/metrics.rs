//! Events become metrics: `cargo run --example metrics`.

use std::{collections::BTreeMap, env, fmt::Write as _, io, net::SocketAddr, sync::Mutex};

use axum::{Router, http::StatusCode, routing::get, routing::post};
use cratestack_runtime::{Event, Idempotency, MemoryStore, idempotent};

static COUNTS: Mutex<BTreeMap<&str, u64>> = Mutex::new(BTreeMap::new());

/// It is called in the path of a request, so it counts and does nothing else.
fn count(event: &Event<'_>) {
    *COUNTS.lock().expect("counting does not panic").entry(event.kind.as_str()).or_default() += 1;
}

/// What Prometheus reads.
async fn metrics() -> String {
    COUNTS.lock().expect("counting does not panic").iter().fold(String::new(), |mut text, (event, count)| {
        let _ = writeln!(text, "idempotency_events_total{{event=\"{event}\"}} {count}");
        text
    })
}

#[idempotent]
async fn pay(amount: String) -> (StatusCode, String) {
    (StatusCode::CREATED, format!("paid {amount}"))
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let idempotency = Idempotency::new(MemoryStore::new()).on_event(count);
    let app = Router::new().route("/payments", post(pay)).route("/metrics", get(metrics)).with_state(idempotency);

    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}\nSend the first twice:");
    println!("curl -i http://{address}/payments -H 'Idempotency-Key: k1' -d 5\ncurl http://{address}/metrics");
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}
